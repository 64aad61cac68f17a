"""An address that is taken, or that this machine has not: what is said, and what is waited for."""

import asyncio
import socket
import time

from tests.system.settings import settings

BUSY_SECONDS = 5.0
ELSEWHERE = "169.254.77.77:9254"
NO_FAULT_OF_THE_CONFIGURATION = 1


def taken():
    return socket.create_server(("127.0.0.1", 0))


def address(server):
    return f"127.0.0.1:{server.getsockname()[1]}"


def errors(daemon):
    """What was said to people, beside the events."""
    return [line for line in daemon.log.splitlines() if line and not line.startswith("{")]


async def test_a_port_in_use_is_waited_for_and_then_given_up_in_one_line(daemons, sandbox):
    with taken() as freed, taken() as kept:
        began = time.monotonic()
        patient = daemons.serve(settings(sandbox, listen=[address(freed)]), name="patient")
        doomed = daemons.serve(settings(sandbox, listen=[address(kept)]), name="doomed")
        await patient.until(lambda: patient.events("address_busy"), what="it is told")
        freed.close()
        await patient.ready()
        assert await doomed.ended() == NO_FAULT_OF_THE_CONFIGURATION
        assert time.monotonic() - began >= BUSY_SECONDS
        (line,) = errors(doomed)
        assert f"{address(kept)} is in use" in line
        assert "ss -ltnp" in line
        assert len(doomed.events("address_busy")) == 1


async def test_an_address_of_another_machine_is_one_line_with_the_remedy(daemons, sandbox):
    optional = {"address": ELSEWHERE, "optional": True}
    served = daemons.serve(settings(sandbox, listen=["127.0.0.1:0", optional]), name="optional")
    doomed = daemons.serve(settings(sandbox, listen=["127.0.0.1:0", ELSEWHERE]), name="doomed")
    _, status = await asyncio.gather(served.ready(), doomed.ended())
    assert status == NO_FAULT_OF_THE_CONFIGURATION
    (line,) = errors(doomed)
    assert f"{ELSEWHERE} is not an address of this machine" in line
    assert "optional = true" in line
    (skipped,) = served.events("listener_skipped")
    assert ELSEWHERE in skipped["reason"]
    assert (await served.credentials()).status == 200
