"""The memory of a daemon and of what it starts: closed to its own user, and never in a core file."""

import os
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest

from imdsd.sandbox.faults import hang
from tests.system.intruder import USER, WAYS, intrude, same_user, without
from tests.system.machine import descendants, eventually, need_file
from tests.system.settings import role, settings

IMDSD = (sys.executable, "-m", "imdsd")
REFUSED, OPEN = dict.fromkeys(WAYS, "refused"), dict.fromkeys(WAYS, "open")
CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")
# Blocks are of half or of a whole KiB; a part of a core file is one, too.
MAY_LEAVE_A_CORE = ["sh", "-c", 'ulimit -c 2048; exec "$@"', "sh"]


def start(daemons, sandbox, program=IMDSD, *, roles=(), prefix=(), **top):
    """Start a daemon of an unprivileged user, of whatever is run as `imdsd`."""
    place = daemons.place()
    config = daemons.configure(settings(sandbox, *roles, **top))
    argv = [*program, "serve", "--config", str(config)]
    if os.geteuid() == 0:
        os.chown(place, USER, USER)
    return daemons.start(argv, prefix=[*prefix, *same_user([])])


def core_limit(pid):
    limits = Path(f"/proc/{pid}/limits").read_text()
    return re.search(r"Max core file size +(\S+) +(\S+)", limits).groups()


async def running_command(daemons, daemon):
    """The pids of a token command that waits, and of the warden above it."""
    started = daemons.place() / "started"
    await eventually(started.read_text, what=lambda: f"the command runs\n{daemon.log}")
    command = int(started.read_text())
    (warden,) = (pid for pid in descendants(daemon.pid) if command in descendants(pid))
    return command, warden


def waiting_command(daemons):
    script = f"echo $$ >{shlex.quote(str(daemons.place() / 'started'))}; exec sleep 1000"
    return {"command": ["sh", "-c", script]}


async def test_a_process_of_the_same_user_cannot_look_into_the_daemon(daemons, sandbox):
    daemon = await start(daemons, sandbox).listening()
    assert await intrude(daemon.pid) == REFUSED
    assert core_limit(daemon.pid) == ("0", "0")
    assert (await daemon.status())["warnings"] == []


async def test_it_could_look_into_a_daemon_that_did_not_close_its_memory(daemons, sandbox):
    daemon = await start(daemons, sandbox, without("close_memory")).listening()
    assert await intrude(daemon.pid) == OPEN


async def test_the_process_above_a_token_command_is_closed_and_the_command_is_not(daemons, sandbox):
    roles = [role(sandbox, token=waiting_command(daemons))]
    daemon = await start(daemons, sandbox, roles=roles).listening()
    command, warden = await running_command(daemons, daemon)
    assert await intrude(warden) == REFUSED
    assert await intrude(command) == OPEN
    assert (core_limit(warden), core_limit(command)) == (("0", "0"), ("0", "0"))


async def test_the_process_that_asks_sts_is_closed(daemons, sandbox):
    sandbox.sts.faults.always(hang())
    daemon = await start(daemons, sandbox).listening()
    await sandbox.sts.faults.until_hanging()
    (exchanging,) = descendants(daemon.pid)
    assert await intrude(exchanging) == REFUSED
    assert core_limit(exchanging) == ("0", "0")


@pytest.mark.parametrize("verb", ["login", "token", "doctor"])
async def test_verbs_that_hold_a_token_for_a_while_are_closed(daemons, sandbox, verb):
    place = daemons.place()
    roles = [role(sandbox, token=waiting_command(daemons))]
    config = daemons.configure(settings(sandbox, *roles))
    if os.geteuid() == 0:
        os.chown(place, USER, USER)
        (place / "home").mkdir()
        os.chown(place / "home", USER, USER)
    argv = [*IMDSD, verb, "--config", str(config)]
    running = daemons.start(argv, prefix=[*MAY_LEAVE_A_CORE, *same_user([])])
    await running_command(daemons, running)
    assert await intrude(running.pid) == REFUSED
    assert core_limit(running.pid) == ("0", "0")


async def test_a_command_of_a_demo_has_the_limits_of_its_user(daemons):
    place = daemons.place()
    if os.geteuid() == 0:
        os.chown(place, USER, USER)
    script = f"{{ ulimit -Hc; ulimit -Sc; echo $PPID; }} >{place}/seen; exec sleep 60"
    demo = daemons.demo("--", "sh", "-c", script, prefix=[*MAY_LEAVE_A_CORE, *same_user([])])
    seen = lambda: (place / "seen").read_text().split()  # noqa: E731
    await eventually(lambda: len(seen()) == 3, what=lambda: demo.log)
    assert seen() == ["2048", "2048", str(demo.pid)]
    assert await intrude(demo.pid) == REFUSED
    demo.send(signal.SIGTERM)
    await demo.ended()


async def died(daemons, sandbox, number, program=IMDSD):
    """Kill a daemon as a defect would; return whether its core was kept, and the files of cores."""
    need_file(CORE_PATTERN)
    daemon = start(daemons, sandbox, program, prefix=MAY_LEAVE_A_CORE)
    await daemon.listening()
    daemon.send(number)
    ended = lambda: os.waitid(os.P_PID, daemon.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)  # noqa: E731
    how = await eventually(ended, what="the daemon is dead")
    assert how.si_status == number
    return how.si_code == os.CLD_DUMPED, list(daemons.place().glob("core*"))


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
async def test_a_crash_leaves_no_core_file(daemons, sandbox, number):
    assert await died(daemons, sandbox, number) == (False, [])


@pytest.mark.parametrize("lacking", ["close_memory", "leave_no_core"])
async def test_each_defence_alone_prevents_a_core_file(daemons, sandbox, lacking):
    if lacking == "close_memory" and CORE_PATTERN.read_text().startswith("|"):
        return  # a core that is handed to a program knows no limit
    assert await died(daemons, sandbox, signal.SIGABRT, without(lacking)) == (False, [])


async def test_a_crash_would_leave_one_without_both(daemons, sandbox):
    program = without("close_memory", "leave_no_core")
    kept, files = await died(daemons, sandbox, signal.SIGABRT, program)
    assert kept
    assert files or not CORE_PATTERN.read_text().startswith("core")
