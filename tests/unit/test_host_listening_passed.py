"""What a service manager may hand over, and what is said of all else."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from contextlib import ExitStack, contextmanager

import pytest

from imdsd.errors import ConfigurationError
from imdsd.host.listening.passed import take_passed
from tests.support import measured_environ, room

PID = 4711
# Free in any process: a test's own descriptors are lower.
FIRST = 700

TAKE = """
import os, socket, sys
from imdsd.errors import ConfigurationError
from imdsd.host.listening.passed import take_passed
address, device = sys.argv[1:]
with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as opened:
    if device:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    opened.bind((address, 8080))
    opened.listen()
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "our.socket"}
    try:
        taken = take_passed(environ, pid=1, first=os.dup(opened.fileno()))
    except ConfigurationError as error:
        print(error)
    else:
        print(*taken[0].address)
        taken[0].opened.close()
"""


@contextmanager
def passed(*handed, **environ):
    """What was taken of descriptors that a manager put in a row."""
    numbers = [each.fileno() for each in handed]
    for index, number in enumerate(numbers):
        os.dup2(number, FIRST + index)
    told = {"LISTEN_PID": str(PID), "LISTEN_FDS": str(len(handed)), **environ}
    with ExitStack() as stack:
        taken = take_passed(told, pid=PID, first=FIRST)
        for each in taken:
            stack.enter_context(each.opened)
        yield taken


def refused(*handed, **environ):
    with pytest.raises(ConfigurationError) as caught, passed(*handed, **environ):
        pass
    for index in range(len(handed)):
        os.close(FIRST + index)  # nobody else has: it could be a file of the daemon's own
    return str(caught.value)


@pytest.fixture(params=["127.0.0.1", "::1"])
def listening(request):
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as opened:
        yield opened


def test_a_passed_socket_serves_without_blocking_and_is_not_inherited(listening):
    with passed(listening, LISTEN_FDNAMES="imdsd.socket") as (taken,):
        assert taken.unit == "imdsd.socket"
        assert taken.address == listening.getsockname()[:2]
        assert taken.opened.getblocking() is False
        assert fcntl.fcntl(taken.opened.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        with socket.create_connection(taken.address), taken.opened.accept()[0]:
            pass


def test_every_passed_socket_is_taken_in_order():
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
        passed(one, other, LISTEN_FDNAMES="a.socket:b.socket") as taken,
    ):
        assert [each.unit for each in taken] == ["a.socket", "b.socket"]
        assert [each.address for each in taken] == [one.getsockname(), other.getsockname()]


def test_closing_what_was_passed_leaves_the_managers_queue_open(listening):
    with passed(listening):
        pass
    with socket.create_connection(listening.getsockname()[:2]), listening.accept()[0]:
        pass


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": "", "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(PID)},
        {"LISTEN_PID": str(PID), "LISTEN_FDS": "0"},
    ],
)
def test_what_was_passed_to_nobody_or_to_another_process_is_left_alone(environ):
    assert take_passed(environ, pid=PID, first=FIRST) == ()


@pytest.mark.parametrize("number", ["", "-1", "x", "65", "1e3", "٣"])
def test_a_number_of_sockets_that_is_none_is_refused(number):
    with pytest.raises(ConfigurationError, match=r"LISTEN_FDS.*a number up to 64.*by its unit"):
        take_passed({"LISTEN_PID": str(PID), "LISTEN_FDS": number}, pid=PID, first=FIRST)


def test_a_descriptor_that_is_not_open_is_named():
    environ = {"LISTEN_PID": str(PID), "LISTEN_FDS": "1"}
    with pytest.raises(ConfigurationError, match=f"descriptor {FIRST}: .*that is not open"):
        take_passed(environ, pid=PID, first=FIRST)


def test_a_fifo_is_refused():
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as other:
        said = refused(other, LISTEN_FDNAMES="imdsd.socket")
    assert said.startswith(
        "imdsd.socket: ListenStream: found a file or FIFO, expected ADDRESS:PORT"
    )


def test_a_unix_socket_is_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(tmp_path / "it"))
        opened.listen()
        said = refused(opened)
    assert f"descriptor {FIRST}: ListenStream: found a Unix socket" in said
    assert "expected ADDRESS:PORT" in said


def test_a_datagram_socket_is_refused():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        said = refused(opened)
    assert "ListenDatagram: found a UDP socket" in said
    assert "write ListenStream= in its place" in said


def test_a_connection_is_refused():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
        server.accept()[0] as connection,
    ):
        assert "Accept: found one connection" in (said := refused(connection))
        assert "write Accept=no" in said


def test_every_wrong_socket_is_told_at_once(listening, tmp_path):
    with (
        socket.socket(socket.AF_UNIX) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        said = refused(one, listening, other, LISTEN_FDNAMES="a:b:c").splitlines()
    assert [line[:3] for line in said] == ["a: ", "c: "]


@pytest.fixture(scope="module")
def house():
    with room("169.254.170.2/32") as made:
        made.run("ip", "link", "add", "wire", "type", "veth", "peer", "name", "eriw", environ={})
        yield made


@pytest.mark.parametrize(
    ("address", "device", "said"),
    [
        ("169.254.170.2", "lo", "169.254.170.2 8080"),
        ("169.254.170.2", "", "our.socket: BindToDevice: found nothing, expected lo; write BindTo"),
        ("169.254.170.2", "wire", "our.socket: BindToDevice: found 'wire', expected lo; write Bin"),
        ("127.0.0.1", "", "127.0.0.1 8080"),
    ],
)
def test_a_link_local_address_must_be_bound_to_loopback(house, tmp_path, address, device, said):
    environ = measured_environ(tmp_path)
    done = house.run(sys.executable, "-c", TAKE, address, device, environ=environ)
    assert done.stdout.startswith(said)
    if "found" in said:
        assert "on a line of its own, with no comment at its end" in done.stdout
        assert "a neighbour with a route reaches 169.254.170.2" in done.stdout
