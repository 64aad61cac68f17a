"""A daemon that has too few descriptors: at its start, and while it serves."""

import asyncio
import json
import re
import resource
from pathlib import Path

from imdsd.daemon.descriptors import LEAST
from tests.system.machine import need_root
from tests.system.settings import role, settings

MORE_THAN_ARE_LEFT = 20
LEFT = 3


def limited(option, number):
    return ["sh", "-c", f'ulimit {option} {number}; exec "$@"', "sh"]


async def test_a_limit_that_clients_could_use_up_is_refused(daemons, sandbox):
    config = str(daemons.configure(settings(sandbox)))
    too_few = LEAST - 1
    done = await daemons.cli("serve", "--config", config, prefix=limited("-n", too_few))
    assert done.returncode == 78
    assert f"open files (RLIMIT_NOFILE): found {too_few}, expected" in done.stderr
    daemon = daemons.serve(settings(sandbox), prefix=limited("-n", LEAST))
    await daemon.listening()


async def test_a_low_limit_is_raised_as_far_as_a_token_command_can_take_it(daemons, sandbox):
    seen = daemons.place() / "seen"
    roles = [role(sandbox, token={"command": ["sh", "-c", f"ulimit -n >{seen}"]})]
    daemon = daemons.serve(settings(sandbox, *roles), prefix=limited("-Sn", 256))
    await daemon.listening()
    limits = Path(f"/proc/{daemon.pid}/limits").read_text()
    assert re.search(r"Max open files +(\d+)", limits)[1] == "1024"
    await daemon.until(lambda: seen.read_text() == "1024\n", what="the command has run")


def leave_descriptors(daemon, number):
    """Let a process open so many more, as if it had leaked all others."""
    highest = max(int(each.name) for each in Path(f"/proc/{daemon.pid}/fd").iterdir())
    _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (highest + 1 + number, hard))
    return lambda: resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)


async def ask_again(reader, writer):
    """Ask on a connection that stays, and return the status."""
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head)[1]))
    return head.split()[1]


async def exhaust(daemon):
    """Connect more often than there are descriptors left; return what gives them back."""
    connected = [
        await asyncio.open_connection("127.0.0.1", daemon.port) for _ in range(MORE_THAN_ARE_LEFT)
    ]
    await daemon.until(lambda: daemon.events("descriptors_exhausted"), what="it is told")
    return lambda: [writer.close() for _, writer in connected]


async def test_a_daemon_out_of_descriptors_says_so_once_and_serves_again(daemons, sandbox):
    need_root()  # to see what a daemon has open
    daemon = await daemons.serve(settings(sandbox)).ready()
    kept = await asyncio.open_connection("127.0.0.1", daemon.port)
    assert await ask_again(*kept) == b"200"
    before = len(daemon.events())
    restore = leave_descriptors(daemon, LEFT)
    for _ in range(2):
        give_back = await exhaust(daemon)
        assert await ask_again(*kept) == b"200"
        give_back()
        # The listener is looked at again after a second, under the same limit.
        await daemon.until(daemon.is_ready, what="it serves")
        assert (await daemon.credentials()).status == 200
    restore()
    assert (await daemon.refresh()).status == 200
    kept[1].close()
    told = [json.dumps(event) for event in daemon.events()[before:]]
    assert [json.loads(event)["event"] for event in told] == [
        "descriptors_exhausted",
        "credentials_refreshed",
    ]
