"""What a service manager hears of a real daemon, from its start to its end."""

import re
import signal
from pathlib import Path

import pytest

from imdsd.sandbox.faults import hang, server_error
from tests.system.manager import Manager
from tests.system.settings import role, settings

AT = r"\d\d:\d\d:\d\dZ"
OK = re.compile(rf"STATUS=dev ok until {AT}, next refresh {AT}")


@pytest.fixture
def manager(daemons):
    manager = Manager(daemons.place() / "notify")
    yield manager
    manager.close()


def serve(daemons, manager, text, **variables):
    return daemons.serve(text, NOTIFY_SOCKET=manager.address, **variables)


async def ready(manager):
    """Wait for readiness and return its status."""
    first, status = (await manager.hears("READY=1")).split("\n")
    assert first == "READY=1"
    return status


async def test_ready_comes_with_the_first_credentials_and_says_until_when(
    daemons, sandbox, manager
):
    sandbox.sts.faults.always(hang())
    daemon = await serve(daemons, manager, settings(sandbox)).listening()
    await sandbox.sts.faults.until_hanging()
    assert await manager.hears() == "STATUS=dev starting"
    assert (await daemon.ask("GET", "/readyz")).status == 503
    sandbox.sts.faults.clear()
    assert OK.fullmatch(await ready(manager))


async def test_a_failure_is_told_with_its_reason_and_so_is_its_end(daemons, sandbox, manager):
    daemon = serve(daemons, manager, settings(sandbox))
    await ready(manager)
    sandbox.sts.faults.always(server_error())
    assert (await daemon.refresh()).status == 503
    status = await manager.hears("STATUS=dev degraded")
    assert re.match(rf"STATUS=dev degraded, valid until {AT}, next try {AT}; ", status)
    health = (await daemon.ask("GET", "/readyz")).json
    assert status.endswith(f"; {health['reason']}")

    sandbox.sts.faults.clear()
    assert (await daemon.refresh()).status == 200
    assert OK.fullmatch(await manager.hears("STATUS=dev ok"))


async def test_a_reload_is_told_whether_it_is_taken_or_refused(daemons, sandbox, manager):
    daemon = serve(daemons, manager, settings(sandbox))
    await ready(manager)
    daemons.configure(settings(sandbox, role(sandbox, name="prod")))
    daemon.send(signal.SIGHUP)
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", await manager.hears("RELOADING"))
    assert (await ready(manager)).startswith("STATUS=prod ok until ")

    daemons.configure("listen = [")
    daemon.send(signal.SIGHUP)
    assert await manager.hears("RELOADING")
    status = await ready(manager)
    assert status.startswith("STATUS=prod ok until ")
    assert "; reload refused: " in status

    daemons.configure(settings(sandbox, role(sandbox, name="prod")))
    daemon.send(signal.SIGHUP)
    assert await manager.hears("RELOADING")
    assert "refused" not in await ready(manager)


async def test_the_end_is_told_before_the_daemon_has_ended(daemons, sandbox, manager):
    daemon = serve(daemons, manager, settings(sandbox))
    await ready(manager)
    daemon.send(signal.SIGTERM)
    assert await manager.hears("STOPPING=1") == "STOPPING=1\nSTATUS=stopping"
    assert await daemon.ended() == 0


async def test_a_daemon_that_cannot_listen_says_why(daemons, sandbox, manager):
    # TEST-NET-1 (RFC 5737): no machine has this address.
    listen = [{"address": "192.0.2.1:9254", "imds": "off"}]
    daemon = serve(daemons, manager, settings(sandbox, listen=listen))
    assert (await manager.hears()).startswith("STATUS=192.0.2.1:9254 is not an address of this")
    assert await daemon.ended() == 1


async def test_the_watchdog_is_fed_by_a_loop_that_turns_and_by_nothing_else(
    daemons, sandbox, manager
):
    # Whatever becomes of STS.
    sandbox.sts.faults.always(hang())
    daemon = await serve(daemons, manager, settings(sandbox), WATCHDOG_USEC="200000").listening()
    for _ in range(5):
        assert await manager.hears("WATCHDOG=1")
    daemon.send(signal.SIGSTOP)
    await daemon.until(lambda: _stopped(daemon.pid), what="the process is frozen")
    manager.forget()
    assert await manager.hears("WATCHDOG=1", within=1.0) is None
    daemon.send(signal.SIGCONT)
    assert await manager.hears("WATCHDOG=1")


def _stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def test_a_watchdog_of_another_process_is_not_fed(daemons, sandbox, manager):
    variables = {"WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"}
    serve(daemons, manager, settings(sandbox), **variables)
    await ready(manager)
    assert await manager.hears("WATCHDOG=1", within=1.0) is None
