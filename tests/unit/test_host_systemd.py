"""What a service manager hears, and that none of it can stop the daemon."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from contextlib import contextmanager

import pytest

from imdsd.host.systemd import notify, watchdog_seconds


@contextmanager
def manager(address):
    """A service manager's socket, at a path or at an abstract address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + address[1:] if address.startswith("@") else address)
        listening.settimeout(30)
        yield listening


@pytest.fixture(params=["path", "abstract"])
def address(request, tmp_path):
    return str(tmp_path / "notify") if request.param == "path" else f"@imdsd-{uuid.uuid4()}"


def fill(channel):
    """Send until the other end can take no more."""
    channel.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        for _ in range(100_000):
            channel.send(b"x")
        pytest.fail("the other end takes everything")


@pytest.mark.parametrize("message", ["READY=1", "STOPPING=1", "STATUS=läuft"])
def test_a_message_is_one_datagram(address, message):
    with manager(address) as listening:
        notify({"NOTIFY_SOCKET": address}, message)
        assert listening.recv(4096) == message.encode()
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.recv(4096)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "relative/path"},
        {"NOTIFY_SOCKET": "vsock:2:1234"},
        {"NOTIFY_SOCKET": "/no/such/socket"},
        {"NOTIFY_SOCKET": "@nobody-listens-here-" + "0" * 16},
        {"NOTIFY_SOCKET": "/" + "long" * 100},
    ],
)
def test_where_no_manager_listens_nothing_happens(environ):
    notify(environ, "READY=1")


def test_a_manager_that_went_away_stops_nobody(tmp_path):
    address = str(tmp_path / "notify")
    with manager(address):
        pass
    notify({"NOTIFY_SOCKET": address}, "READY=1")


def test_a_manager_that_reads_nothing_is_not_waited_for_for_ever(address):
    with manager(address):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filling:
            filling.connect("\0" + address[1:] if address.startswith("@") else address)
            fill(filling)
        telling = threading.Thread(
            target=notify, args=({"NOTIFY_SOCKET": address}, "READY=1"), daemon=True
        )
        telling.start()
        telling.join(30)
        assert not telling.is_alive()


def test_several_lines_are_one_datagram(address):
    with manager(address) as listening:
        assert notify({"NOTIFY_SOCKET": address}, "READY=1", "STATUS=fine")
        assert listening.recv(4096) == b"READY=1\nSTATUS=fine"


def test_whether_another_try_may_succeed_is_said(address):
    environ = {"NOTIFY_SOCKET": address}
    with manager(address) as listening:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filling:
            filling.connect("\0" + address[1:] if address.startswith("@") else address)
            fill(filling)
        assert not notify(environ, "READY=1", patience_seconds=0)
        listening.recv(4096)
        assert notify(environ, "READY=1", patience_seconds=0)
    # Nobody is there any more, and nobody will be.
    assert notify(environ, "READY=1", patience_seconds=0)


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "7"}, 0.5),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": ""}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "1min"}, None),
        ({"WATCHDOG_USEC": "9" * 400}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
    ],
)
def test_the_watchdog_is_fed_where_the_manager_waits_for_this_process(environ, seconds):
    assert watchdog_seconds(environ, pid=7) == seconds
