"""What a daemon says of the machine it runs on: each shortcoming once, in the log and in words."""

from __future__ import annotations

import io
import json

import pytest

from imdsd.daemon.shortcomings import tell_shortcomings
from imdsd.host.peer import PeerLookup, ProcTable
from imdsd.telemetry.log import configure_logging


def no_netlink():
    raise OSError("Address family not supported by protocol")


@pytest.fixture
def told():
    """What is logged and returned, side by side, of ways to look up callers and open memory."""
    out = io.StringIO()
    configure_logging(level="debug", log_format="json", stream=out)

    def told(*ways, open_memory=""):
        with PeerLookup(*ways) as peers:
            words = tell_shortcomings(open_memory=open_memory, peers=peers)
        logged = [json.loads(line) for line in out.getvalue().splitlines()]
        assert [event["detail"] for event in logged] == list(words)
        assert {event["level"] for event in logged} <= {"warning"}
        return [event["event"] for event in logged]

    return told


def test_a_usual_machine_has_none(told):
    assert told() == []


def test_a_machine_without_netlink_is_slower(told):
    assert told((no_netlink, ProcTable)) == ["netlink_missing"]


def test_a_machine_that_tells_nothing_of_callers_refuses_them(told):
    assert told((no_netlink,)) == ["kernel_guards_missing"]


def test_memory_that_is_open_is_told_beside_that(told):
    assert told((no_netlink,), open_memory="why") == ["memory_exposed", "kernel_guards_missing"]
