"""What a connection takes in, without a loop: a transport of the test's over a pair of sockets."""

import asyncio
import socket

import pytest

from imdsd.endpoints.door.connection import Connection
from imdsd.endpoints.door.limits import LIMITS
from imdsd.endpoints.door.table import ConnectionTable
from imdsd.endpoints.guards import Listener
from imdsd.host.peer import PeerLookup
from tests.fakes.manual_loop import ManualLoop


class Transport(asyncio.Transport):
    """Knows its socket, and takes whatever is asked of it."""

    def __init__(self, opened):
        super().__init__({"socket": opened})

        self.unsent = 0

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def get_write_buffer_size(self):
        return self.unsent


class Handler(asyncio.Protocol):
    """Keeps what it hears, piece by piece."""

    def __init__(self):
        self.heard, self.lost = [], False

    def connection_lost(self, exc):
        self.lost = True

    def data_received(self, data):
        self.heard.append(data)

    def pause_writing(self):
        pass

    def resume_writing(self):
        pass


class Client:
    """A connection, the handler behind it, and the other end."""

    def __init__(self, table, peers):
        self.handler, self.table = Handler(), table
        listener = Listener(frozenset(), imds="open", peers=peers, allowed_uids=frozenset())
        self.connection = Connection(
            listener, table, lambda *_: None, lambda _: self.handler, closed=print
        )
        self.here, self.there = socket.socketpair()
        self.transport = Transport(self.here)
        self.connection.connection_made(self.transport)

    def take_in(self):
        """Do what an event loop does with a socket that is readable."""
        self.connection.data_received(self.here.recv(16 * 1024))

    def close(self):
        self.here.close()
        self.there.close()


@pytest.fixture
def connect():
    table, peers, clients = ConnectionTable(ManualLoop(), LIMITS), PeerLookup(), []

    def connect():
        clients.append(Client(table, peers))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
    peers.close()


def test_a_request_of_which_nothing_was_read_waits_in_the_queue(connect):
    client = connect()
    assert not client.connection.unread()
    client.there.send(b"GET / HTTP/1.1\r\n")
    assert client.connection.unread()


def test_more_bytes_of_a_request_that_does_not_end_are_no_request_that_waits(connect):
    client = connect()
    client.there.send(b"GET / HTTP/1.1\r\n")
    client.take_in()
    client.there.send(b"X: and on, and on")
    assert not client.connection.unread()


def test_no_client_is_heard_for_more_than_16_kib_at_a_time(connect):
    client = connect()
    client.there.send(b"x" * 40_000)
    client.take_in()
    assert [len(piece) for piece in client.handler.heard] == [16 * 1024]


def test_what_one_client_said_is_not_what_the_next_says(connect):
    first, second = connect(), connect()
    for client, said in ((first, b"first"), (second, b"2nd")):
        client.there.send(said)
        client.take_in()
    assert (first.handler.heard, second.handler.heard) == ([b"first"], [b"2nd"])


class Body:
    """The body of a request: this much of it is to be read still."""

    def __init__(self, left=0):
        self._left = left

    def at_eof(self):
        return not self._left

    def is_eof(self):
        return True


@pytest.fixture
def stuck(connect):
    """A client who does not read the word to go on, while its request is worked at."""
    client = connect()
    client.there.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    client.take_in()
    client.connection.asked(Body(3))
    client.connection.read_body()
    client.transport.unsent = 25
    client.connection.pause_writing()
    return client


def test_who_does_not_read_has_that_deadline_whatever_is_done_meanwhile(stuck):
    stuck.connection.work()
    stuck.connection.answered()
    assert list(stuck.table.write.members) == [stuck.connection]


@pytest.mark.parametrize("done", ["nothing", "body", "answer"])
def test_who_has_read_goes_on_where_the_request_is(stuck, done):
    phases = {"nothing": "body", "body": "work", "answer": "idle"}
    if done != "nothing":
        stuck.connection.work()
    if done == "answer":
        stuck.connection.answered()
    stuck.transport.unsent = 0
    stuck.connection.resume_writing()
    assert stuck.connection.phase is getattr(stuck.table, phases[done])


def test_who_has_read_and_said_more_meanwhile_has_begun_a_head(stuck):
    stuck.connection.work()
    stuck.connection.answered()
    stuck.there.send(b"GET /")
    stuck.take_in()
    stuck.transport.unsent = 0
    stuck.connection.resume_writing()
    assert stuck.connection.phase is stuck.table.head


class Outlet(asyncio.Transport):
    """Takes down what is sent; of `unread` bytes the client has read none."""

    def __init__(self, *, unread=0):
        super().__init__()
        self.said, self.closed, self._unread = [], False, unread

    def write(self, data):
        self.said.append(data)

    def get_write_buffer_size(self):
        return self._unread

    def close(self):
        self.closed = True


class AtOnce:
    """A connection whose first request is answered like this, and the table behind it."""

    def __init__(self, found, *, others=0, **outlet):
        self.table, self.outlet = ConnectionTable(ManualLoop(), LIMITS), Outlet(**outlet)
        listener = Listener(frozenset(), imds="open", peers=PeerLookup(), allowed_uids=frozenset())
        self._make = lambda: Connection(
            listener, self.table, lambda *_: found, lambda _: Handler(), closed=print
        )
        for _ in range(others):
            self.table.admit(self._make())
        self.connection = self._make()
        self.answered = self.connection.answers_at_once(self.outlet, b"a plain request")
        listener._peers.close()


def test_who_asked_by_now_is_answered_first_and_entered_then():
    client = AtOnce((b"words", False))
    assert (client.answered, client.outlet.said, client.outlet.closed) == (True, [b"words"], False)
    assert list(client.table.idle.members) == [client.connection]


def test_an_answer_that_is_the_last_ends_the_connection():
    client = AtOnce((b"words", True))
    assert (client.answered, client.outlet.said, client.outlet.closed) == (True, [b"words"], True)


@pytest.mark.parametrize("ends", [True, False])
def test_who_does_not_read_an_answer_has_its_deadline(ends):
    client = AtOnce((b"words", ends), unread=1)
    assert list(client.table.write.members) == [client.connection]


def test_who_asks_what_is_not_plain_has_no_place_yet():
    client = AtOnce(None)
    assert (client.answered, client.outlet.said, len(client.table)) == (False, [], 0)


def test_where_places_are_few_everybody_takes_one_first():
    half = LIMITS.connections // 2
    assert AtOnce((b"words", False), others=half - 1).answered
    refused = AtOnce((b"words", False), others=half)
    assert (refused.answered, refused.outlet.said, len(refused.table)) == (False, [], half)


async def test_a_handler_that_has_not_begun_is_told_of_the_end_in_a_later_turn(connect):
    client = connect()
    client.there.send(b"GET / HTTP/1.1\r\n")
    client.take_in()
    client.connection.connection_lost(None)
    assert not client.handler.lost
    await asyncio.sleep(0)  # noqa: TID251  # a turn of the loop
    assert client.handler.lost
