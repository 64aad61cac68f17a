"""What the door says of connections that it had to end; on a loop whose time a test turns."""

import asyncio
import contextlib

import pytest
from structlog.testing import capture_logs

from imdsd.endpoints.door import Door
from imdsd.endpoints.door.limits import Limits
from imdsd.telemetry.metrics import Metrics
from tests.fakes.clock import ManualClock


class Loop(asyncio.SelectorEventLoop):
    """A loop that goes nowhere, and whose time is what a test says."""

    now = 100.0

    def time(self):
        return self.now


@pytest.fixture
def loop():
    with contextlib.closing(Loop()) as loop:
        yield loop


@pytest.fixture
def metrics():
    return Metrics("0")


@pytest.fixture
def closed(loop, metrics):
    """What a connection calls when a limit ends it."""
    nobody = dict.fromkeys(("credentials", "imds", "ops", "events"))
    limits = Limits(connections=7)
    door = Door(**nobody, clock=ManualClock(), metrics=metrics, loop=loop, limits=limits)
    yield door._closed
    door._poller.close()


def told(loop, closed, *, seconds, reasons):
    """Return when the lack was told of, of connections that end four times a second."""
    began, instants = loop.now, []
    while loop.now - began < seconds:
        with capture_logs() as logged:
            for reason in reasons:
                closed(reason)
        instants += [(loop.now - began, each["limit"]) for each in logged]
        loop.now += 0.25
    return instants


@pytest.mark.parametrize("reasons", [["displaced"], ["full"], ["full", "displaced"]])
def test_that_places_are_lacking_is_told_once_a_minute(loop, closed, reasons):
    assert told(loop, closed, seconds=125, reasons=reasons) == [(0.0, 7), (60.0, 7), (120.0, 7)]


def test_that_they_lack_again_after_a_quiet_hour_is_told_at_once(loop, closed):
    told(loop, closed, seconds=1, reasons=["full"])
    loop.now += 3600
    assert told(loop, closed, seconds=1, reasons=["full"]) == [(0.0, 7)]


@pytest.mark.parametrize(
    "reason", ["silent", "slow_head", "slow_reader", "idle", "large_head", "malformed"]
)
def test_what_a_client_did_to_itself_is_counted_and_not_told(loop, closed, metrics, reason):
    assert told(loop, closed, seconds=1, reasons=[reason]) == []
    counted = f'imdsd_connections_closed_total{{reason="{reason}"}} 4.0'
    assert counted.encode() in metrics.render()
