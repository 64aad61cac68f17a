"""An accepted socket as a transport: what is heard, sent, kept and ended, over real sockets."""

import asyncio
import contextlib
import errno
import os
import socket

import pytest

from imdsd.endpoints.door.line import ACCEPTED_AT_ONCE, Acceptor, Line
from imdsd.endpoints.door.poller import Poller
from tests.fakes.clock import settle

LARGE = b"x" * 8_000_000


class Protocol(asyncio.Protocol):
    """Writes down what happens to it."""

    def __init__(self, *, keeps_half_open=False, plain=None):
        self.plain, self.made = plain, False
        self.events, self.heard = [], b""
        self.keeps_half_open = keeps_half_open
        self.ended = asyncio.Event()

    def answers_at_once(self, transport, data):
        if data != self.plain:
            return False
        self.transport = transport
        transport.write(b"answered")
        return True

    def connection_made(self, transport):
        self.made = True
        self.transport = transport

    def data_received(self, data):
        self.heard += data
        if self.heard.endswith(b"break"):
            raise ZeroDivisionError

    def eof_received(self):
        self.events.append("eof")
        return self.keeps_half_open

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")

    def connection_lost(self, exc):
        self.events.append("lost")
        self.ended.set()


@pytest.fixture
async def poller():
    poller = Poller(asyncio.get_running_loop())
    yield poller
    poller.close()


@pytest.fixture
async def pair(poller):
    opened = []

    def pair(said=b"", **options):
        here, there = socket.socketpair()
        opened.extend((here, there))
        here.settimeout(0)
        there.settimeout(0)
        if said:
            there.send(said)
        protocol = Protocol(**options)
        line = Line(here, protocol, running(), poller)
        line.open()
        return protocol, line, there

    yield pair
    for each in opened:
        each.close()


async def received(there, size):
    heard = b""
    async with asyncio.timeout(10):
        while len(heard) < size:
            chunk = await asyncio.get_running_loop().sock_recv(there, 1 << 20)
            if not chunk:
                break
            heard += chunk
    return heard


async def test_what_is_here_is_heard_at_once(pair):
    protocol, _, _ = pair(b"hello")
    assert protocol.heard == b"hello"


async def test_a_bug_of_the_protocol_at_its_first_request_ends_its_line_too(poller):
    here, there = socket.socketpair()
    here.settimeout(0)
    with there:
        there.send(b"break")
        protocol = Protocol()
        with pytest.raises(ZeroDivisionError):
            Line(here, protocol, running(), poller).open()
        await settle()
        assert (protocol.events, here.fileno()) == (["lost"], -1)


async def test_who_can_be_answered_at_once_is_and_then_heard(pair):
    protocol, _, there = pair(b"plain", plain=b"plain")
    assert (there.recv(100), protocol.made, protocol.heard) == (b"answered", False, b"")
    there.send(b"hello")
    await settle()
    assert protocol.heard == b"hello"


async def test_what_comes_later_is_heard_too(pair):
    protocol, _, there = pair()
    there.send(b"hello")
    await settle()
    assert protocol.heard == b"hello"


async def test_a_protocol_that_pauses_hears_nothing_until_it_resumes(pair):
    protocol, line, there = pair()
    line.pause_reading()
    there.send(b"hello")
    await settle()
    assert (protocol.heard, line.is_reading()) == (b"", False)
    line.resume_reading()
    await settle()
    assert protocol.heard == b"hello"


async def test_what_is_not_taken_at_once_pauses_and_arrives_whole(pair):
    protocol, line, there = pair()
    line.write(LARGE)
    line.write(b"the end")
    assert protocol.events == ["pause"]
    assert line.get_write_buffer_size() > 0
    heard = await received(there, len(LARGE) + 7)
    assert heard == LARGE + b"the end"
    await settle()
    assert protocol.events == ["pause", "resume"]


async def test_a_line_that_closes_sends_what_it_has_first(pair):
    protocol, line, there = pair()
    line.write(LARGE)
    line.close()
    line.write(b"too late")
    assert await received(there, len(LARGE) + 1) == LARGE
    await protocol.ended.wait()
    assert protocol.events == ["pause", "lost"]


async def test_a_line_that_is_aborted_sends_no_more(pair):
    protocol, line, there = pair()
    line.write(LARGE)
    line.abort()
    line.abort()
    assert len(await received(there, len(LARGE))) < len(LARGE)
    await settle()
    assert protocol.events == ["pause", "lost"]


async def test_the_end_of_what_is_written_follows_all_of_it(pair):
    protocol, line, there = pair()
    line.write(LARGE)
    line.write_eof()
    assert await received(there, len(LARGE) + 1) == LARGE
    assert not line.is_closing()
    there.send(b"bye")
    await settle()
    assert protocol.heard == b"bye"


async def test_the_end_of_what_is_heard_ends_it_unless_the_protocol_has_more_to_say(pair):
    ending, _, there = pair()
    there.shutdown(socket.SHUT_WR)
    await ending.ended.wait()
    assert ending.events == ["eof", "lost"]
    staying, line, there = pair(keeps_half_open=True)
    there.shutdown(socket.SHUT_WR)
    await settle()
    line.resume_reading()
    line.write(b"answer")
    await settle()
    assert staying.events == ["eof"]
    assert there.recv(100) == b"answer"


async def test_who_is_gone_is_lost_once(pair):
    protocol, line, there = pair()
    there.close()
    line.write(b"x")
    line.write(b"x")
    line.close()
    await settle()
    assert protocol.events[-1] == "lost"
    assert protocol.events.count("lost") == 1


async def test_a_bug_of_the_protocol_ends_its_line_and_is_told(pair):
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    protocol, _, there = pair()
    there.send(b"break")
    await settle()
    assert protocol.events == ["lost"]
    assert isinstance(told[0]["exception"], ZeroDivisionError)


async def test_addresses_are_told_as_long_as_there_are_any(poller):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        there = socket.create_connection(listening.getsockname())
        here, _ = listening.accept()
    with there, here:
        here.settimeout(0)
        line = Line(here, Protocol(), running(), poller)
        assert line.get_extra_info("peername") == there.getsockname()
        assert line.get_extra_info("sockname") == there.getpeername()
        assert line.get_extra_info("socket") is here
        assert line.get_extra_info("cipher", "none") == "none"
    assert line.get_extra_info("peername") is None


# Accepting


@contextlib.contextmanager
def failing(acceptor, number):
    """Have the kernel lack something."""

    def accept():
        raise OSError(number, os.strerror(number))

    acceptor._listening.accept = accept
    yield
    del acceptor._listening.accept


@pytest.fixture
async def listening():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


async def test_a_few_are_taken_in_at_a_time(listening, poller):
    made = []
    clients = [
        socket.create_connection(listening.getsockname()) for _ in range(ACCEPTED_AT_ONCE + 1)
    ]
    acceptor = Acceptor(listening, lambda: made.append(Protocol()) or made[-1], running(), poller)
    acceptor._accept()
    assert len(made) == ACCEPTED_AT_ONCE
    await settle()
    assert len(made) == len(clients)
    acceptor.close()
    for client in clients:
        client.close()
    for protocol in made:
        await protocol.ended.wait()


async def test_who_comes_once_it_is_closed_is_left_to_the_next_one(listening, poller):
    Acceptor(listening, Protocol, running(), poller).close()
    with socket.create_connection(listening.getsockname()):
        await settle()
        listening.accept()[0].close()


async def test_without_descriptors_it_rests_and_says_why(listening, poller):
    told, made = [], []
    running().set_exception_handler(lambda _, context: told.append(context["exception"]))
    acceptor = Acceptor(listening, lambda: made.append(Protocol()) or made[-1], running(), poller)
    with socket.create_connection(listening.getsockname()) as client:
        with failing(acceptor, errno.EMFILE):
            await settle()
        assert [error.errno for error in told] == [errno.EMFILE]
        await settle()
        assert not made
        acceptor._again._run()
        await settle()
        assert len(made) == 1
        client.close()
        await made[0].ended.wait()
    acceptor.close()


async def test_one_that_rests_can_be_closed(listening, poller):
    running().set_exception_handler(lambda *_: None)
    acceptor = Acceptor(listening, Protocol, running(), poller)
    with failing(acceptor, errno.ENOMEM), socket.create_connection(listening.getsockname()):
        await settle()
        acceptor.close()
        assert acceptor._again.cancelled()


def running():
    return asyncio.get_running_loop()
