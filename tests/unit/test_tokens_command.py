import asyncio
import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.errors import MintError
from imdsd.tokens.command import CommandSource, child_environ, split_command
from tests.fakes.web_identity import make_token

TOKEN = make_token()
# What measures coverage follows the warden, too.
MEASURING = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
ENVIRON = {"PATH": "/usr/local/bin:/usr/bin:/bin", **MEASURING}


def shell(script, **options):
    options.setdefault("environ", ENVIRON)
    options.setdefault("timeout_seconds", 20)
    return CommandSource(["sh", "-c", script], **options)


async def refusal(source):
    with pytest.raises(MintError) as caught:
        await source.mint()
    assert caught.value.remedy
    return caught.value.reason


def is_alive(pid):
    """Whether a process runs; a zombie counts, so that one that is not reaped is noticed."""
    return Path(f"/proc/{pid}").exists()


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children():
    """The children of this process, dead ones that nobody reaped included."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if entry.read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                found.add(entry.parent.name)
    return found


def descriptors():
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def fifo(tmp_path):
    """A pipe with a name, through which a command says that it runs, and its pids."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = children()
    yield
    assert children() == before


def wait_for_end(pid, *, seconds):
    """Wait until a process of somebody else has ended; says whether it did in time."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(watched):
        return bool(select.select([watched], [], [], seconds)[0])


# What a command prints


async def test_the_token_a_command_prints_is_handed_on():
    source = CommandSource(["echo", TOKEN], environ=ENVIRON)
    assert (await source.mint()).reveal() == TOKEN
    assert source.renewable


async def test_a_token_is_taken_whatever_stderr_says():
    assert (await shell(f"echo deprecated >&2; echo {TOKEN}").mint()).reveal() == TOKEN


async def test_arguments_are_handed_on_untouched():
    source = CommandSource(["printf", "%s", "$HOME; `id` *\n"], environ=ENVIRON)
    assert "gave '$HOME; `id` *'" in await refusal(source)


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("true", "gave nothing, expected a web identity token"),
        ("echo please log in", "gave 'please log in', expected"),
        (r"printf '\033[1mtoken\033[0m'", "gave text with terminal escape sequences"),
        (f"echo {TOKEN}; echo {TOKEN}", "gave 2 lines, the first one word of"),
        ("head -c 100 /dev/zero", "gave 100 bytes that are not text"),
        ("head -c 10000000 /dev/zero", "printed more than 16384 bytes and was killed"),
        ("head -c 16385 /dev/zero", "printed more than 16384 bytes and was killed"),
        ("yes", "printed more than 16384 bytes and was killed"),
    ],
)
async def test_what_is_no_token_is_refused(script, found):
    reason = await refusal(shell(script))
    assert found in reason
    assert TOKEN not in reason


# How a command fails


async def test_a_failure_says_the_status_and_the_last_line_of_stderr():
    reason = await refusal(shell("echo first >&2; echo 'not logged in' >&2; echo >&2; exit 3"))
    assert reason.endswith("ended with status 3: not logged in")


async def test_stderr_is_read_to_its_end_however_long():
    reason = await refusal(shell("yes chatter | head -n 100000 >&2; echo at last >&2; exit 1"))
    assert reason.endswith("ended with status 1: at last")


async def test_what_looks_like_a_secret_is_cut_out_of_stderr():
    script = f"echo 'refused {TOKEN} token=abc' | tee /dev/stderr; exit 1"
    reason = await refusal(CommandSource(["sh", "-c", 'eval "$CODE"'], environ={"CODE": script}))
    assert reason.endswith("ended with status 1: refused … token=…")


async def test_a_command_that_dies_by_a_signal_says_which():
    assert "was killed by SIGSEGV" in await refusal(shell("kill -SEGV $$"))


async def test_a_command_that_is_not_on_the_path_says_so():
    reason = await refusal(CommandSource(["no-such-thing"], environ={"PATH": "/usr/bin:/bin"}))
    assert reason == "token command no-such-thing is not on the PATH (/usr/bin:/bin)"


async def test_the_path_is_that_of_the_environment_handed_in(tmp_path):
    program = tmp_path / "mint"
    program.write_text(f"#!/bin/sh\necho {TOKEN}\n")
    program.chmod(0o755)
    assert (await CommandSource(["mint"], environ={"PATH": str(tmp_path)}).mint()).reveal() == TOKEN


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (None, 0, "is not found"),
        ("#!/bin/sh\n", 0o644, "is not executable"),
        ("#!/no/such/shell\n", 0o755, "names an interpreter that is not found"),
        ("no first line", 0o755, "is no program"),
    ],
)
async def test_a_file_that_cannot_be_started_says_why(tmp_path, content, mode, reason):
    program = tmp_path / "mint"
    if content is not None:
        program.write_text(content)
        program.chmod(mode)
    found = await refusal(CommandSource([str(program)], environ=ENVIRON))
    assert found == f"token command {program} {reason}"


async def test_a_command_whose_guard_dies_is_a_failure_and_dies_with_it(fifo):
    minting = asyncio.create_task(shell(f"echo $$ >{fifo}; exec sleep 60").mint())
    pid = int(await asyncio.to_thread(fifo.read_text))
    os.kill(parent_of(pid), signal.SIGKILL)
    with pytest.raises(MintError, match="was lost: its guard was killed"):
        await minting
    assert await asyncio.to_thread(wait_for_end, pid, seconds=2)


async def test_a_guard_that_does_not_answer_is_killed_and_its_command_with_it(fifo):
    source = shell(f"echo $$ >{fifo}; exec sleep 60", timeout_seconds=1, kill_after_seconds=0.1)
    minting = asyncio.create_task(source.mint())
    pid = int(await asyncio.to_thread(fifo.read_text))
    os.kill(parent_of(pid), signal.SIGSTOP)
    with pytest.raises(MintError, match="gave no token within 1 s and was killed;"):
        await minting
    assert await asyncio.to_thread(wait_for_end, pid, seconds=2)


def test_a_daemon_whose_python_is_gone_says_so():
    program = (
        "import asyncio, sys\n"
        "from imdsd.tokens.command import CommandSource\n"
        "sys.executable = '/nowhere/python'\n"
        "asyncio.run(CommandSource(['true'], environ={}).mint())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "/nowhere/python, which runs token commands, cannot be started" in done.stderr


# What a command sees


async def test_stdin_is_empty():
    assert "ended with status 1" in await refusal(shell("read line"))


async def test_what_could_lead_a_command_astray_is_withheld(tmp_path):
    withheld = {"AWS_PROFILE": "x", "IMDSD_X": "x", "LD_BIND_NOW": "1", "PYTHONPATH": "x"}
    withheld |= {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "imdsd.socket"}
    withheld |= {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_PID": "1", "WATCHDOG_USEC": "1"}
    kept = {**ENVIRON, "HOME": "/home/x", "GITPOD_ENVIRONMENT_ID": "e", "LC_ALL": "C.UTF-8"}
    out = tmp_path / "environ"
    await refusal(CommandSource(["sh", "-c", f"exec env >{out}"], environ={**withheld, **kept}))
    seen = dict(line.split("=", 1) for line in out.read_text().splitlines())
    assert kept.items() <= seen.items()
    assert not withheld.keys() & seen.keys()


@given(
    st.dictionaries(
        st.sampled_from(
            ["AWS_X", "IMDSD_", "LD_P", "PYTHON", "NOTIFY_SOCKET", "A", "aws_x", "LISTEN_ADDRESS"]
        ),
        st.text(),
    )
)
def test_exactly_the_withheld_names_are_withheld(environ):
    kept = {"A", "aws_x", "LISTEN_ADDRESS"}
    assert child_environ(environ) == {k: v for k, v in environ.items() if k in kept}


# How a command ends


async def test_a_command_that_hangs_gets_a_signal_at_its_deadline(tmp_path):
    script = f"trap 'echo >{tmp_path}/asked; exit 9' TERM; echo waiting >&2; sleep 60 & wait"
    reason = await refusal(shell(script, timeout_seconds=0.5, kill_after_seconds=20))
    assert "gave no token within 0.5 s and was killed: waiting" in reason
    assert (tmp_path / "asked").exists()


async def test_a_command_that_ignores_the_signal_is_killed(fifo):
    script = f"trap '' TERM; echo $$ >{fifo}; echo stubborn >&2; while :; do sleep 60; done"
    source = shell(script, timeout_seconds=0.5, kill_after_seconds=0.1)
    minting = asyncio.create_task(source.mint())
    pid = int(await asyncio.to_thread(fifo.read_text))
    with pytest.raises(MintError, match="was killed: stubborn"):
        await minting
    assert not is_alive(pid)


ESCAPES = {
    "in the background": "sleep 60 & echo $!",
    "in a session of its own": "setsid sleep 60 & echo $!",
    "as a daemon": "(setsid sh -c 'echo $$; exec sleep 60' &)",
    "as a daemon of a daemon": "(setsid sh -c '(setsid sh -c \"echo \\$\\$; exec sleep 60\" &)' &)",
    "deaf to signals": "(setsid sh -c 'trap \"\" TERM HUP; echo $$; exec sleep 60' &)",
}


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
async def test_what_a_command_leaves_behind_is_killed_though_it_holds_the_pipe(fifo, escape):
    # The subshell's stdout is the fifo for one line; the sleeper keeps the command's own stderr.
    script = f"{{ {escape}; }} >{fifo}; read x <{fifo}.2; echo {TOKEN}"
    os.mkfifo(f"{fifo}.2")
    minting = asyncio.create_task(shell(script).mint())
    with await asyncio.to_thread(fifo.open) as said:
        pid = int(await asyncio.to_thread(said.readline))
    assert is_alive(pid)
    await asyncio.to_thread(Path(f"{fifo}.2").write_text, "go on\n")
    assert (await minting).reveal() == TOKEN
    assert not is_alive(pid)


async def test_the_process_is_waited_for_and_not_its_pipe():
    assert (await shell(f"sleep 60 & echo {TOKEN}").mint()).reveal() == TOKEN


async def test_a_command_that_closes_its_output_is_still_waited_for():
    reason = await refusal(shell("exec >&- 2>&-; exit 4"))
    assert "ended with status 4" in reason


async def test_a_tree_of_processes_is_killed_at_the_deadline(fifo):
    script = f"for i in 1 2 3; do setsid sh -c 'sleep 60 & sleep 60' & done; echo >{fifo}; wait"
    minting = asyncio.create_task(shell(script, timeout_seconds=0.5).mint())
    await asyncio.to_thread(fifo.read_text)
    with pytest.raises(MintError, match="gave no token within"):
        await minting


async def test_a_cancelled_mint_takes_its_command_along(fifo):
    script = f"setsid sleep 60 & echo $$ $! >{fifo}; wait"
    minting = asyncio.create_task(shell(script).mint())
    pids = (await asyncio.to_thread(fifo.read_text)).split()
    minting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await minting
    assert not any(is_alive(pid) for pid in pids)


async def test_a_mint_that_is_cancelled_twice_leaves_nothing(fifo):
    script = f"trap '' TERM; setsid sleep 60 & echo $$ $! >{fifo}; while :; do wait; done"
    minting = asyncio.create_task(shell(script).mint())
    pids = (await asyncio.to_thread(fifo.read_text)).split()
    minting.cancel()
    await asyncio.to_thread(int)  # lets the loop turn: the first cancellation is being waited out
    minting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await minting
    assert not any(is_alive(pid) for pid in pids)


async def test_a_mint_that_is_cancelled_before_it_began_leaves_nothing():
    before = descriptors()
    for turns in range(4):
        minting = asyncio.create_task(shell("sleep 60").mint())
        for _ in range(turns):
            await asyncio.to_thread(int)
        minting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await minting
    assert descriptors() == before


async def test_a_command_outlives_no_killed_daemon(fifo):
    program = (
        "import asyncio, sys\n"
        "from imdsd.tokens.command import CommandSource\n"
        f"environ = {ENVIRON!r}\n"
        "asyncio.run(CommandSource(['sh', '-c', sys.argv[1]], environ=environ).mint())\n"
    )
    script = f"setsid sleep 60 & sleep 60 & echo $$ $! >{fifo}; wait"
    daemon = await asyncio.to_thread(subprocess.Popen, [sys.executable, "-c", program, script])
    pids = [int(pid) for pid in (await asyncio.to_thread(fifo.read_text)).split()]
    daemon.kill()
    daemon.wait()
    for pid in pids:
        assert await asyncio.to_thread(wait_for_end, pid, seconds=2)


async def test_no_descriptor_is_leaked():
    before = descriptors()
    for script in (f"echo {TOKEN}", "exit 1", "yes", "sleep 60 & echo x y"):
        with contextlib.suppress(MintError):
            await shell(script).mint()
    await refusal(CommandSource(["no-such-thing"], environ=ENVIRON))
    await refusal(shell("sleep 60", timeout_seconds=0.1))
    assert descriptors() == before


async def test_a_guard_that_ends_between_its_deadline_and_the_word_of_it_is_late_in_order(fifo):
    """As where a machine stands still: the deadline is noticed in one turn, and told in the next."""

    def let_it_end():
        fifo.write_text(TOKEN)
        subprocess.run(["sleep", "1"], check=True)

    minting = asyncio.create_task(refusal(shell(f"echo >{fifo}; cat {fifo}", timeout_seconds=5)))
    await asyncio.to_thread(fifo.read_text)
    asyncio.get_running_loop().call_later(5.2, let_it_end)
    subprocess.run(["sleep", "5.5"], check=True)
    assert "within 5 s" in await minting


async def test_the_loop_turns_while_a_command_runs(fifo):
    minting = asyncio.create_task(shell(f"read x <{fifo}; echo {TOKEN}").mint())
    await asyncio.to_thread(fifo.write_text, "go on\n")
    assert (await minting).reveal() == TOKEN


async def test_commands_run_side_by_side(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    os.mkfifo(here)
    os.mkfifo(there)
    first = shell(f"echo x >{here}; read x <{there}; echo {TOKEN}")
    second = shell(f"read x <{here}; echo x >{there}; echo {TOKEN}")
    for token in await asyncio.gather(first.mint(), second.mint()):
        assert token.reveal() == TOKEN


# What is said of a command


def test_the_description_is_what_a_person_would_type():
    source = CommandSource(split_command("gitpod idp token --audience sts"), environ={})
    assert source.description == "command gitpod idp token --audience sts"


async def test_no_secret_is_in_any_output(caplog):
    caplog.set_level(logging.DEBUG)
    environ = {**ENVIRON, "API_KEY": "hunter2"}
    source = CommandSource(["echo", TOKEN, "--password", "opensesame"], environ=environ)
    reason = await refusal(source)
    for secret in (TOKEN, "hunter2", "opensesame"):
        assert secret not in f"{source!r} {source.description} {reason} {caplog.text}"


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("gitpod idp token", ("gitpod", "idp", "token")),
        ("a 'b c' \"d e\" f\\ g ''", ("a", "b c", "d e", "f g", "")),
        ("echo $HOME; id", ("echo", "$HOME;", "id")),
    ],
)
def test_a_command_line_is_split_like_a_shell_would(text, argv):
    assert split_command(text) == argv


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the command is empty"),
        ("  ", "the command is empty"),
        ("'' x", "the command is empty"),
        ("echo 'a", "no closing quotation"),
        ("echo a\\", "no escaped character"),
        ("echo a\0b", "holds a NUL"),
    ],
)
def test_a_command_line_that_cannot_be_split_is_refused(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        split_command(text)
