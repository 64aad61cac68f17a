"""How a listening socket is opened, and what is said when it cannot be."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import closing

import pytest

from imdsd.errors import ListenError
from imdsd.host.listening.opening import AddressBusyError, limit_hops, open_listener
from tests.support import measured_environ, need, room

OPEN = """
import socket, sys
from imdsd.errors import ListenError
from imdsd.host.listening.opening import open_listener
try:
    opened = open_listener(sys.argv[1], int(sys.argv[2]))
except ListenError as error:
    sys.exit(f"{type(error).__name__}: {error}")
with opened:
    device = opened.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
    print(device.rstrip(bytes(1)).decode() or "every device")
"""
WITHOUT_DESCRIPTORS = """
import resource
from imdsd.errors import ListenError
from imdsd.host.listening.opening import open_listener
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
try:
    open_listener("127.0.0.1", 9254)
except ListenError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def house():
    with room("169.254.169.254/32", "169.254.170.2/32", "192.0.2.7/32") as made:
        yield made


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_accepts_without_blocking_and_is_not_inherited(host):
    with closing(open_listener(host, 0)) as opened:
        assert opened.getblocking() is False
        assert opened.get_inheritable() is False
        with pytest.raises(BlockingIOError):
            opened.accept()
        with socket.create_connection(opened.getsockname()[:2]):
            pass


def test_a_port_is_free_again_as_soon_as_its_holder_has_stopped():
    with closing(open_listener("127.0.0.1", 0)) as opened:
        address = opened.getsockname()
        client = socket.create_connection(address)
    with client:
        open_listener(*address).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_in_use_is_told_from_other_trouble_with_how_to_find_its_holder(host):
    with closing(open_listener(host, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressBusyError) as caught:
            open_listener(host, port)
    shown = f"[{host}]" if ":" in host else host
    assert str(caught.value).startswith(f"{shown}:{port} is in use")
    assert f"sport = :{port}" in str(caught.value)
    assert "--listen" in str(caught.value)


def test_an_address_of_another_machine_is_named_with_what_to_do():
    with pytest.raises(ListenError, match="not an address of this machine") as caught:
        open_listener("192.0.2.1", 9254)
    assert not isinstance(caught.value, AddressBusyError)
    assert "optional = true" in str(caught.value)


def test_what_has_no_sentence_of_its_own_says_what_the_system_said():
    # No descriptor is left, as where a kernel has no IPv6: not even a socket can be had.
    command = [sys.executable, "-c", WITHOUT_DESCRIPTORS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "127.0.0.1:9254 cannot be opened: Too many open files\n"


def test_a_low_port_needs_a_privilege(house, tmp_path):
    unprivileged = (
        need("setpriv"),
        "--bounding-set=-net_bind_service",
        "--inh-caps=-net_bind_service",
    )
    done = house.try_run(
        *unprivileged,
        sys.executable,
        "-c",
        OPEN,
        "127.0.0.1",
        "80",
        environ=measured_environ(tmp_path),
    )
    assert done.stderr.startswith("ListenError: 127.0.0.1:80 needs a privilege")
    assert "--listen" in done.stderr


@pytest.mark.parametrize(
    ("host", "device"),
    [
        ("169.254.169.254", "lo"),
        ("169.254.170.2", "lo"),
        ("127.0.0.1", "every device"),
        ("192.0.2.7", "every device"),
    ],
)
def test_a_link_local_address_is_bound_to_loopback(house, tmp_path, host, device):
    environ = measured_environ(tmp_path)
    done = house.run(sys.executable, "-c", OPEN, host, "8080", environ=environ)
    assert done.stdout == f"{device}\n"


def hops(connection):
    if connection.family == socket.AF_INET6:
        return connection.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
    return connection.getsockopt(socket.IPPROTO_IP, socket.IP_TTL)


def accepted_hops(opened):
    """What a connection has that a listening socket just accepted."""
    opened.settimeout(10)
    with socket.create_connection(opened.getsockname()[:2]), opened.accept()[0] as connection:
        return hops(connection)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_a_listener_accepts_has_its_hop_limit(host):
    with closing(open_listener(host, 0, hop_limit=3)) as opened:
        assert accepted_hops(opened) == 3


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_that_was_opened_by_another_can_be_limited(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as opened:
        before = hops(opened)
        limit_hops(opened, 7)
        assert (before, accepted_hops(opened)) == (64, 7)


def test_the_systems_own_hop_limit_stays_where_none_is_given():
    with socket.socket() as plain, closing(open_listener("127.0.0.1", 0)) as opened:
        assert hops(opened) == hops(plain)


@pytest.mark.parametrize("number", [0, 256])
def test_a_hop_limit_that_no_packet_can_have_is_an_error(number):
    with socket.create_server(("127.0.0.1", 0)) as opened, pytest.raises(OSError, match="nvalid"):
        limit_hops(opened, number)
