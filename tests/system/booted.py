"""A machine with systemd as PID 1, in namespaces and a control group of its own."""

import json
import os
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support import lack, need
from tests.system.machine import PATIENCE_SECONDS, need_file, need_root

SYSTEMD = Path("/lib/systemd/systemd")
BOOT = Path(__file__).with_name("boot.sh")
NAMESPACES = ("--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup")
PROGRAMS = ("unshare", "nsenter", "setpriv", "ip", "mount", "systemctl", "dbus-daemon", "useradd")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Joins the control group, then becomes the parent of the machine.
_ENTER = 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"'


class Machine:
    """A booted machine, seen from outside; `pid` is its PID 1."""

    def __init__(self, pid: int) -> None:
        self._enter = (need("nsenter"), f"--target={pid}", "--all")

    def words(self, *command, user=None):
        """Return a command that runs in there, as root or as another user with its groups."""
        identity = ()
        if user is not None:
            identity = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups")
        return [*self._enter, *identity, *map(str, command)]

    def try_run(self, *command, user=None, stdin=None, seconds=60, **variables):
        """Run a command in there to its end, whatever that is, with these variables only."""
        return subprocess.run(
            self.words(*command, user=user),
            env=environ_of(user, variables),
            input=stdin,
            stdin=None if stdin else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def run(self, *command, **options):
        """Run a command in there to its end, which must be a success, and return its output."""
        done = self.try_run(*command, **options)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def running(self, *command, user=None, **variables):
        """Run a command beside the test; it is told to end by the end of its stdin."""
        with subprocess.Popen(
            self.words(*command, user=user),
            env=environ_of(user, variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.stdin.close()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()

    def write(self, path, text, *, mode="644", owner="root:root"):
        self.run("sh", "-c", 'mkdir -p "${1%/*}" && cat >"$1"', "sh", path, stdin=text)
        self.run("chmod", mode, path)
        self.run("chown", owner, path)

    def pids(self):
        """The processes in there, as numbered in there."""
        return {int(word) for word in self.run("ps", "-eo", "pid=").split()}

    # systemd

    def systemctl(self, *words):
        done = self.try_run("systemctl", *words)
        assert done.returncode == 0, f"{words}\n{done.stderr}\n{self.told('imdsd*')}"
        return done.stdout

    def show(self, unit, name):
        return self.run("systemctl", "show", f"--property={name}", "--value", unit).strip()

    def instant(self, unit, name):
        """A timestamp of a unit, in seconds since the machine's start."""
        return int(self.show(unit, f"{name}TimestampMonotonic")) / 1e6

    def is_active(self, unit):
        return self.try_run("systemctl", "is-active", unit).stdout.strip()

    def main_pid(self, unit):
        return int(self.show(unit, "MainPID"))

    def journal(self, unit):
        """What a unit's processes and systemd said about it, as journal entries."""
        words = ("journalctl", "--no-pager", "--output=json", f"--unit={unit}")
        return [json.loads(line) for line in self.run(*words).splitlines()]

    def told(self, unit):
        """The same as text, for a message."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")


def environ_of(user, variables):
    home = "/root" if user is None else f"/home/{user}"
    return {"PATH": PATH, "LANG": "C.UTF-8", "HOME": home, **variables}


def need_all_to_boot():
    need_root()
    for program in PROGRAMS:
        need(program)
    need_file(SYSTEMD)


@contextmanager
def booted(shown):
    """Boot a machine in which each path of `shown` can be seen at its value; leave nothing of it."""
    need_all_to_boot()
    with _control_group() as group, tempfile.TemporaryDirectory(prefix="imdsd-boot-") as place:
        pairs = [word for pair in shown.items() for word in map(str, pair)]
        boot = ("sh", BOOT, place, *pairs)
        words = ("unshare", *NAMESPACES, "--fork", "--kill-child", *boot)
        log = Path(place, "log")
        with log.open("w") as output:
            parent = subprocess.Popen(
                # A test run that is killed takes the machine with it.
                ["setpriv", "--pdeathsig=KILL", "sh", "-c", _ENTER, "sh", str(group), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield Machine(_wait_for_boot(parent, log))
        finally:
            parent.send_signal(signal.SIGKILL)
            parent.wait(30)


@contextmanager
def _control_group():
    base = next(
        (
            path
            for path in map(Path, ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"))
            if (path / "cgroup.procs").exists() and (path / "cgroup.controllers").exists()
        ),
        None,
    )
    if base is None:
        lack("control groups of version 2")
    group = base / f"imdsd-boot-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        lack(f"a control group of its own: {error}")
    try:
        yield group
    finally:
        _remove(group)


def _remove(group):
    """Remove a control group and those below it, once their processes are gone."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while group.exists() and time.monotonic() < deadline:
        below = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
        with suppress(OSError):
            for path in (*below, group):
                path.rmdir()
        time.sleep(0.02)
    assert not group.exists(), f"{group} is left behind"


def _wait_for_boot(parent, log):
    deadline = time.monotonic() + PATIENCE_SECONDS
    state = ""
    while time.monotonic() < deadline:
        if parent.poll() is not None:
            lack(f"namespaces to boot in: {log.read_text().strip()}")
        for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split():
            asked = Machine(int(pid)).try_run("systemctl", "is-system-running")
            state = asked.stdout.strip()
            if state in ("running", "degraded"):
                return int(pid)
        time.sleep(0.05)
    raise AssertionError(f"not booted but {state!r}\n{log.read_text()}")
