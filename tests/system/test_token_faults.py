"""A token source that fails, through the whole daemon."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from imdsd.sandbox.app import SandboxRole
from tests.system.command import Command
from tests.system.machine import alive, as_user, descendants, eventually
from tests.system.settings import ARN, AUDIENCE, role, settings

SOMEBODY = 54321

HANGING = """setsid sleep 1000 & echo $! > "$0.orphan"; sleep 1000"""


class Case(NamedTuple):
    """A script, the stage and the code under which its failure is told, words of the reason."""

    script: str
    stage: str
    code: str
    reason: str


def mint(script, reason):
    return Case(script, "mint", "MintFailed", reason)


def check(script, reason):
    return Case(script, "check", "TokenRefused", reason)


FAULTS = {
    "hangs": mint(HANGING, "gave no token within 0.6 s and was killed"),
    "fails": mint("echo 'no login here' >&2; exit 7", "status 7: no login here"),
    "is-killed": mint("kill -9 $$", "killed by SIGKILL"),
    "prints-nothing": mint("true", "gave nothing, expected"),
    "prints-garbage": mint("echo please log in", "'please log in', expected"),
    "prints-colours": mint(r"printf '\033[31mred\033[0m'", "escape sequences"),
    "prints-two-lines": mint("echo one; echo two", "2 lines"),
    "prints-10-MB": mint("head -c 10000000 /dev/zero | tr '\\0' x", "more than 16384 bytes"),
    "prints-for-ever": mint("yes eyJhbGciOi", "more than 16384 bytes"),
    "asks-for-input": mint("read answer || exit 9", "ended with status 9"),
    "wrong-audience": check('cat "$0.audience"', "aud is 'somebody'"),
    "expired": check('cat "$0.expired"', "exp is "),
    "nearly-expired": check('cat "$0.brief"', "s ahead), expected"),
}

failing = pytest.mark.parametrize("case", FAULTS.values(), ids=FAULTS.keys())


@pytest.fixture
def command(daemons, sandbox):
    return Command(daemons.place(), sandbox.issuer)


def by_command(sandbox, command, *, timeout_seconds=20.0):
    token = {"command": [str(command.path)], "timeout_seconds": timeout_seconds}
    return settings(sandbox, role(sandbox, token=token))


@failing
async def test_a_failing_command_takes_nothing_away(daemons, sandbox, command, case):
    # Only the one that hangs is to meet its deadline.
    timeout_seconds = 0.6 if case.script == HANGING else 20.0
    text = by_command(sandbox, command, timeout_seconds=timeout_seconds)
    daemon = await daemons.serve(text).ready()
    held = await daemon.access_key_id()
    exchanges = sandbox.sts.calls("AssumeRoleWithWebIdentity")
    command.becomes(case.script)
    failed = await daemon.refresh()
    assert (failed.status, failed.json["Code"]) == (503, case.code)
    told = await daemon.role()
    assert (told["state"], told["last_error"]["stage"]) == ("degraded", case.stage)
    assert case.reason in told["last_error"]["reason"]
    assert await daemon.access_key_id() == held
    assert sandbox.sts.calls("AssumeRoleWithWebIdentity") == exchanges

    command.mend()
    assert (await daemon.refresh()).status == 200
    assert await daemon.access_key_id() not in (held, None)
    assert (await daemon.role())["state"] == "ok"


# What stays behind holds the command's stdout and stderr, so that waiting for those would not end.
LEFT_BEHIND = {
    "a child": "sleep 1000 &",
    "a session of its own": "setsid sleep 1000 &",
    "a daemon": "(setsid sleep 1000 &)",
    "a daemon of a daemon": "(setsid sh -c '(setsid sleep 1000 &)' &)",
    "one that is deaf": """(setsid sh -c 'trap "" TERM HUP INT; sleep 1000' &)""",
    "many": "for i in 1 2 3 4 5 6 7 8; do setsid sleep 1000 & done",
}
THEN = {"success": 'cat "$0.good"', "failure": "exit 3", "death": "kill -SEGV $$"}


async def test_a_command_leaves_no_process_and_no_descriptor_however_it_detached(
    daemons, sandbox, command
):
    daemon = await daemons.serve(by_command(sandbox, command)).ready()
    before = descriptors(daemon)
    for left in LEFT_BEHIND.values():
        for end, then in THEN.items():
            command.becomes(f"{left}\n{then}")
            assert (await daemon.refresh()).status == (200 if end == "success" else 503)
            # What is dead but was not waited for counts too, and what found another parent.
            assert not [pid for pid in descendants(daemon.pid) if is_left(pid)], (left, end)
            family = {pid for pid in at_work_in(daemons.place()) if is_left(pid)}
            assert family == {daemon.pid}, (left, end)
    await eventually(lambda: not descendants(daemon.pid), what="the exchange process ends")
    assert descriptors(daemon) == before


def is_left(pid):
    """Whether it is there, and not for a second more as the process that asked STS is."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"imdsd.daemon.exchanging.worker" not in command


def at_work_in(place):
    """Every process that has this working directory, as a daemon and all it starts do."""
    found = set()
    for each in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if each.readlink() == place:
                found.add(int(each.parent.name))
    return found


def descriptors(daemon):
    """What a daemon has open, but for connections: those of clients come and go."""
    links = [str(each.readlink()) for each in Path(f"/proc/{daemon.pid}/fd").iterdir()]
    return sorted(link.partition(":")[0] for link in links if not link.startswith("socket:"))


async def test_what_a_hanging_command_left_behind_is_killed(daemons, sandbox, command):
    command.becomes(HANGING)
    daemon = await daemons.serve(by_command(sandbox, command, timeout_seconds=1)).listening()
    orphan = command.path.with_name("mint.orphan")
    await eventually(lambda: orphan.exists() and orphan.read_text().strip(), what="it forked")
    pid = int(orphan.read_text())

    async def gave_up():
        return (await daemon.role())["last_error"]

    await daemon.until(gave_up, what="the command's time is over")
    assert not alive(pid)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "is not found"),
        (lambda path: path.chmod(0o644), "is not executable"),
        (lambda path: path.write_text("#!/no/such/interpreter\n"), "interpreter that is not found"),
    ],
    ids=["absent", "not-executable", "no-interpreter"],
)
async def test_a_command_that_cannot_be_started_is_told_to_clients(
    daemons, sandbox, command, spoil, reason
):
    spoil(command.path)
    daemon = await daemons.serve(by_command(sandbox, command)).listening()

    async def answer():
        reply = await daemon.credentials()
        return reply if reply.json["Code"] == "MintFailed" else None

    reply = await daemon.until(answer, what="the first attempt fails")
    assert reply.status == 503
    assert reason in reply.json["Message"]
    assert "(stage: mint)" in reply.json["Message"]

    command.mend()
    await daemon.until(daemon.access_key_id, what="it recovers by itself")


async def test_a_command_is_asked_once_more_for_a_token_that_is_too_old(daemons, sandbox, command):
    once = 'test -e "$0.asked" && exec cat "$0.good"; touch "$0.asked"; cat "$0.expired"'
    command.becomes(once)
    daemon = await daemons.serve(by_command(sandbox, command)).ready()
    assert (await daemon.role())["failures"] == 0


async def test_a_token_file_is_read_anew_for_each_refresh(daemons, sandbox):
    path = daemons.place() / "token"
    path.write_text(sandbox.issuer.issue(AUDIENCE).reveal())
    text = settings(sandbox, role(sandbox, token={"file": str(path)}))
    daemon = await daemons.serve(text).ready()
    held = await daemon.access_key_id()
    path.write_text("half a tok")
    assert (await daemon.refresh()).status == 503
    path.chmod(0o666)
    assert "has mode 0666" in (await daemon.refresh()).json["Message"]
    path.unlink()
    assert (await daemon.refresh()).json["Code"] == "MintFailed"
    assert await daemon.access_key_id() == held
    path.write_text(sandbox.issuer.issue(AUDIENCE).reveal())
    path.chmod(0o600)
    assert (await daemon.refresh()).status == 200


def a_huge_one(path):
    path.touch()
    os.truncate(path, 10 * 1024**3)


KINDS = {
    "a directory": Path.mkdir,
    "a FIFO": os.mkfifo,
    "10737418240 bytes": a_huge_one,
    "cannot be opened": lambda path: path.symlink_to(path),
}


async def test_whatever_stands_in_the_place_of_a_token_file_is_named_and_holds_up_nobody(
    daemons, sandbox
):
    path = daemons.place() / "token"
    path.write_text(sandbox.issuer.issue(AUDIENCE).reveal())
    text = settings(sandbox, role(sandbox, token={"file": str(path)}))
    daemon = await daemons.serve(text).ready()
    held = await daemon.access_key_id()
    for said, put in KINDS.items():
        path.rename(path.with_name(f"before {said}"))
        put(path)
        failed = await daemon.refresh()
        assert (failed.status, failed.json["Code"]) == (503, "MintFailed")
        assert said in failed.json["Message"]
        assert await daemon.access_key_id() == held
    assert sandbox.sts.calls("AssumeRoleWithWebIdentity") == 1


async def test_a_token_file_that_is_rotated_again_and_again_is_read_whole(daemons, sandbox):
    path = daemons.place() / "token"
    token = sandbox.issuer.issue(AUDIENCE).reveal()
    path.write_text(token)
    text = settings(sandbox, role(sandbox, token={"file": str(path)}))
    daemon = await daemons.serve(text).ready()
    over = asyncio.Event()

    async def rotate():
        while not over.is_set():
            draft = path.with_name("draft")
            draft.write_text(token)
            draft.rename(path)
            await asyncio.sleep(0)

    rotating = asyncio.create_task(rotate())
    for _ in range(20):
        assert (await daemon.refresh()).status == 200
    over.set()
    await rotating


async def test_a_token_from_a_variable_serves_one_long_session(daemons, sandbox):
    sandbox.add_role(SandboxRole(ARN, max_session_seconds=43200))
    token = sandbox.issuer.issue(AUDIENCE).reveal()
    text = settings(sandbox, role(sandbox, token={"variable": "HANDED_OVER"}))
    daemon = await daemons.serve(text, HANDED_OVER=token).ready()
    told = await daemon.role()
    assert not told["renewable"]
    assert told["seconds_left"] > 43000


# As ssh-agent and gpg-agent do: out of the group, out of the family, closed to its own user.
AGENT = """
import ctypes, os, sys, time
for _ in range(2):
    if os.fork():
        sys.exit()
    os.setsid()
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
with open(sys.argv[1], "w") as note:
    note.write(str(os.getpid()))
time.sleep(1000)
"""
# As ProtectProc=invisible shows it to a service.
HIDING = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'


async def test_an_agent_that_proc_hides_ends_with_the_command(daemons, sandbox):
    place = daemons.place()
    note = place / "agent.pid"
    prefix = ["unshare", "--mount", "sh", "-c", HIDING, "sh", *as_user(SOMEBODY, [])]
    os.chown(place, SOMEBODY, SOMEBODY)
    script = f'"$0" -c "$1" {note}; until test -s {note}; do sleep 0.02; done; exit 7'
    command = ["sh", "-c", script, sys.executable, AGENT]
    text = settings(sandbox, role(sandbox, token={"command": command}))
    daemon = await daemons.serve(text, prefix=prefix).listening()
    await daemon.until(lambda: daemon.events("refresh_failed"), what="the command has ended")
    assert "ended with status 7" in daemon.events("refresh_failed")[0]["reason"]
    agent = int(note.read_text())
    try:
        await eventually(lambda: not alive(agent), what="the agent has ended")
    finally:
        with suppress(ProcessLookupError):
            os.kill(agent, signal.SIGKILL)
