"""What a daemon says of the machine it runs on: each shortcoming once, in the log and in words."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
from structlog.testing import capture_logs

from imdsd.daemon.shortcomings import Announcement, tell_shortcomings
from imdsd.errors import NoRoomError, RuntimeDirectoryError
from imdsd.host.peer import PeerLookup, ProcTable
from imdsd.telemetry.log import configure_logging
from tests.fakes.clock import ManualClock


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


class FullDisk:
    """A run-time directory that takes a record only after so many tries."""

    def __init__(self, *refusals):
        self.refusals = list(refusals)
        self.records = []

    def announce(self, record):
        if self.refusals:
            raise self.refusals.pop(0)
        self.records.append(record)


NO_ROOM = NoRoomError("daemon.json cannot be written: No space left on device; free space")


async def test_a_record_that_finds_no_room_is_told_and_written_later():
    clock = ManualClock()
    directory = FullDisk(NO_ROOM, NO_ROOM, RuntimeDirectoryError("another trouble"))
    announcement = Announcement(directory, clock=clock)
    with capture_logs() as logged:
        announcement.make("the record")
        insisting = asyncio.create_task(announcement.insist())
        for _ in range(2):
            await clock.advance(30)
            assert directory.records == []
        (warning,) = announcement.warnings
        await clock.advance(30)
        await insisting
    assert (directory.records, announcement.warnings) == (["the record"], ())
    assert logged == [
        {"event": "record_unwritten", "log_level": "warning", "detail": warning},
        {"event": "record_written", "log_level": "info"},
    ]
    assert warning == f"{NO_ROOM}; until then no verb finds this daemon"


async def test_a_record_that_is_written_is_nothing_to_speak_of():
    directory = FullDisk()
    announcement = Announcement(directory, clock=ManualClock())
    with capture_logs() as logged:
        announcement.make("the record")
        await announcement.insist()
    assert (directory.records, announcement.warnings, logged) == (["the record"], (), [])


def test_a_trouble_that_stays_ends_the_start():
    announcement = Announcement(FullDisk(RuntimeDirectoryError("no")), clock=ManualClock())
    with pytest.raises(RuntimeDirectoryError):
        announcement.make("the record")
