from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest

from imdsd.host.peer import PeerLookup, ProcTable, SockDiagTable

UID = os.geteuid()
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
needs_root = pytest.mark.skipif(UID != 0, reason="needs a second user")
pytestmark = needs_linux


@pytest.fixture(params=[SockDiagTable, ProcTable])
def lookup(request):
    with PeerLookup((request.param,)) as lookup:
        assert lookup.supported
        yield lookup


@contextmanager
def listener(host, family=socket.AF_INET, *, dual_stack=False):
    kind = {"family": family, "dualstack_ipv6": dual_stack}
    with socket.create_server((host, 0), **kind) as listening:
        yield listening


@contextmanager
def connection(host="127.0.0.1", *, to=None, dual_stack=False):
    """The client's and the accepted socket of a connection to `host`, made by way of `to`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with listener(host, family, dual_stack=dual_stack) as listening:
        port = listening.getsockname()[1]
        with closing(socket.create_connection((to or host, port))) as client:
            accepted, _ = listening.accept()
            with closing(accepted):
                yield client, accepted


def ends(accepted):
    return accepted.getsockname()[:2], accepted.getpeername()[:2]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_client_of_a_connection_is_named_by_uid_and_inode(lookup, host):
    with connection(host) as (client, accepted):
        peer = lookup.find_peer(*ends(accepted))
        assert peer.uid == UID
        assert peer.inode == os.fstat(client.fileno()).st_ino


def test_an_ipv4_client_of_a_dual_stack_listener_is_named(lookup):
    with connection("::", to="127.0.0.1", dual_stack=True) as (client, accepted):
        assert accepted.getpeername()[0] == "::ffff:127.0.0.1"
        assert lookup.find_peer(*ends(accepted)).inode == os.fstat(client.fileno()).st_ino


def test_a_client_whose_socket_is_an_ipv6_one_is_named(lookup):
    with listener("127.0.0.1") as listening, socket.socket(socket.AF_INET6) as client:
        client.connect(("::ffff:127.0.0.1", listening.getsockname()[1]))
        accepted, _ = listening.accept()
        with closing(accepted):
            found = lookup.find_peer(*ends(accepted))
            assert found.inode == os.fstat(client.fileno()).st_ino


@needs_root
def test_a_client_bound_to_the_loopback_device_is_named(lookup):
    with listener("127.0.0.1") as listening, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        client.connect(listening.getsockname())
        accepted, _ = listening.accept()
        with closing(accepted):
            assert lookup.find_peer(*ends(accepted)).uid == UID


def test_a_client_that_has_gone_is_nobody(lookup):
    with connection() as (client, accepted):
        local, remote = ends(accepted)
        client.close()
        assert lookup.find_peer(local, remote) is None


def test_a_client_that_only_stopped_sending_is_still_named(lookup):
    with connection() as (client, accepted):
        client.shutdown(socket.SHUT_WR)
        assert lookup.find_peer(*ends(accepted)).uid == UID


def test_a_listener_on_the_port_of_a_gone_client_is_not_taken_for_it(lookup):
    with listener("127.0.0.1") as ours, listener("127.0.0.1") as other:
        assert lookup.find_peer(ours.getsockname(), other.getsockname()) is None


def test_ends_that_never_met_are_nobody(lookup):
    assert lookup.find_peer(("127.0.0.1", 1), ("127.0.0.1", 2)) is None


@pytest.mark.parametrize(
    ("bound", "asked", "dual_stack"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("0.0.0.0", "127.0.0.1", False),
        ("::1", "::1", False),
        ("::", "::1", False),
        ("::", "127.0.0.1", True),
    ],
)
def test_the_owner_of_a_listener_is_told_where_a_connection_would_arrive(
    lookup, bound, asked, dual_stack
):
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    with listener(bound, family, dual_stack=dual_stack) as listening:
        assert lookup.listener_uid(asked, listening.getsockname()[1]) == UID


def test_a_port_without_a_listener_has_no_owner(lookup):
    with listener("127.0.0.1") as listening:
        port = listening.getsockname()[1]
    assert lookup.listener_uid("127.0.0.1", port) is None


def test_a_connected_socket_is_no_listener(lookup):
    with connection() as (client, _):
        assert lookup.listener_uid(*client.getsockname()) is None


AS_STRANGER = (
    "import os, socket, sys\n"
    "os.setgroups([]); os.setuid(12345)\n"
    "held = socket.socket()\n"
    "if len(sys.argv) > 1: held.connect(('127.0.0.1', int(sys.argv[1])))\n"
    "else: held.bind(('127.0.0.1', 0)); held.listen()\n"
    "print(held.getsockname()[1], flush=True); sys.stdin.read()"
)


@contextmanager
def stranger(*words):
    """Another user's process that connects to a port, or listens; and its own port."""
    command = [sys.executable, "-c", AS_STRANGER, *map(str, words)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        yield int(process.stdout.readline())
        process.stdin.close()


@needs_root
def test_another_users_client_is_named_as_such(lookup):
    with listener("127.0.0.1") as listening, stranger(listening.getsockname()[1]):
        accepted, _ = listening.accept()
        with closing(accepted):
            assert lookup.find_peer(*ends(accepted)).uid == 12345


@needs_root
def test_another_users_listener_is_named_as_such(lookup):
    with stranger() as port:
        assert lookup.listener_uid("127.0.0.1", port) == 12345


def test_a_kernel_that_cannot_tell_makes_everybody_nobody(tmp_path):
    with PeerLookup((lambda: ProcTable(tmp_path),)) as lookup, connection() as (_, accepted):
        assert not lookup.supported
        assert lookup.find_peer(*ends(accepted)) is None
        assert lookup.listener_uid(*accepted.getsockname()) is None


def test_the_next_way_is_taken_where_one_does_not_work(tmp_path):
    def broken():
        raise OSError("no such family")

    ways = (broken, lambda: ProcTable(tmp_path), ProcTable)
    with PeerLookup(ways) as lookup, connection() as (_, accepted):
        assert not lookup.by_netlink
        assert lookup.find_peer(*ends(accepted)).uid == UID


def test_many_questions_in_a_row_get_their_own_answers():
    with PeerLookup() as lookup, connection() as (client, accepted):
        assert lookup.by_netlink
        inode = os.fstat(client.fileno()).st_ino
        for _ in range(200):
            assert lookup.find_peer(("127.0.0.1", 1), ("127.0.0.1", 2)) is None
            assert lookup.find_peer(*ends(accepted)).inode == inode


def test_a_closed_lookup_denies():
    lookup = PeerLookup()
    lookup.close()
    with connection() as (_, accepted):
        assert lookup.find_peer(*ends(accepted)) is None
