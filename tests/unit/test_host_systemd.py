"""What a service manager hears, and that none of it can stop the daemon."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from contextlib import contextmanager

import pytest

from imdsd.host.systemd import notify


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
