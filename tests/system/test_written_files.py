"""Every file that a daemon writes in its life, and that the document names them all and no other."""

import re
import signal
import sys

from tests.documents.prose import codes_in, rows, section, text_of
from tests.support import need
from tests.system.settings import AUDIENCE, role, settings
from tests.system.test_reload import reload

CALLS = (
    "open,openat,openat2,creat,rename,renameat,renameat2,mkdir,mkdirat,link,linkat,symlink,"
    "symlinkat,mknod,mknodat,truncate,memfd_create"
)
OPENED = re.compile(r"(?:open|openat|openat2|creat)\(.*= \d+<(?P<path>[^>]*)>$")
WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_TMPFILE|^creat")
FAILED = re.compile(r"= -1 E\w+ \(.*\)$")
QUOTED = re.compile(r'(?:\d+<(?P<folder>[^>]*)>, )?"(?P<name>[^"]*)"')


def written(traces):
    """Return the paths that traced processes opened for writing, made, or gave a name to."""
    found = set()
    for line in (line for trace in traces for line in trace.read_text().splitlines()):
        if FAILED.search(line) or line.startswith(("---", "+++")):
            continue
        if opened := OPENED.match(line):
            if WRITES.search(line):
                found.add(opened["path"].removesuffix(" (deleted)"))
        else:
            assert not line.startswith(("memfd_create", "truncate")), line
            *_, (folder, name) = QUOTED.findall(line)
            found.add(name if name.startswith("/") else f"{folder}/{name}")
    return found


def as_documented(path, daemon, files):
    """Name a path as the document does."""
    if path.startswith(f"{daemon.directory}/"):
        return re.sub(r"^(\.\w[\w.-]*)\.\d+$", r"\1.PID", path.rpartition("/")[2])
    if path == str(files):
        return "credentials_file"
    return path.replace(str(files.parent) + "/", "").replace(files.name, "NAME")


def traced(place, argv, environ):
    """Return a command that leaves a trace of itself and of each child; its pid is the daemon's."""
    # What measures coverage writes files of its own.
    clean = ["env", *(f"--unset={name}" for name in environ if name.startswith("COVERAGE_"))]
    trace = [need("strace"), "-D", "-ff", "-q", "-y", "--seccomp-bpf", "-s", "4096"]
    return [*clean, *trace, f"--trace={CALLS}", "-o", str(place / "trace"), *argv]


def is_complete(trace):
    return "+++ " in trace.read_text().splitlines()[-1]


async def test_a_daemon_writes_the_files_that_are_documented_and_no_other(daemons, sandbox):
    place = daemons.place()
    files = place / "aws/work"
    files.parent.mkdir(mode=0o700)
    token = place / "token"
    token.write_text(sandbox.issuer.issue(AUDIENCE).reveal())
    roles = [
        role(sandbox, default=True) + f'\n[role.files]\ncredentials_file = "{files}"',
        role(sandbox, name="by-command", token={"command": ["cat", str(token)]}),
    ]
    text = settings(sandbox, *roles)
    # Compiled modules are the interpreter's, wherever it may write them.
    program = [sys.executable, "-B", "-m", "imdsd", "serve", "--config"]
    argv = [*program, str(daemons.configure(text))]
    daemon = await daemons.start(traced(place, argv, daemons.environ())).ready()
    await daemon.until(files.exists, what="the file is written")
    assert (await daemon.refresh()).status == 200
    event = await daemons.cli("event", "rebalance")
    assert event.returncode == 0, event.stderr
    assert (await reload(daemons, daemon, text))["event"] == "configuration_reloaded"
    daemon.send(signal.SIGTERM)
    assert await daemon.ended() == 0
    traces = list(place.glob("trace.*"))
    assert len(traces) > 1  # or the token command was not followed
    await daemon.until(lambda: all(map(is_complete, traces)), what="all is written down")
    made = written(traces)
    assert str(daemon.directory) in made
    found = {as_documented(path, daemon, files) for path in made - {str(daemon.directory)}}
    listed = [row[0] for row in rows(section(text_of("security.md"), "### Files"))[1:]]
    assert found == {name for cell in listed for name in codes_in(cell)}
