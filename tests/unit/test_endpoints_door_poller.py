"""Who is called when a socket can be read, over real sockets."""

import asyncio
import socket

import pytest

from imdsd.endpoints.door.poller import Poller
from tests.fakes.clock import settle


@pytest.fixture
async def poller():
    poller = Poller(asyncio.get_running_loop())
    yield poller
    poller.close()


@pytest.fixture
def pair():
    here, there = socket.socketpair()
    with here, there:
        yield here, there


async def test_a_watcher_is_called_until_it_has_read(poller, pair):
    here, there = pair
    calls = []
    poller.watch(here.fileno(), lambda: calls.append(here.recv(2)))
    await settle()
    assert calls == []
    there.send(b"abcd")
    await settle()
    assert calls == [b"ab", b"cd"]


async def test_an_end_calls_too(poller, pair):
    here, there = pair
    ended = []

    def heard():
        ended.append(here.recv(1))
        poller.unwatch(here.fileno())

    poller.watch(here.fileno(), heard)
    there.close()
    await settle()
    assert ended == [b""]


async def test_who_was_ended_by_another_in_the_same_turn_is_not_called(poller):
    pairs = [socket.socketpair() for _ in range(2)]
    numbers = [here.fileno() for here, _ in pairs]
    called = []

    def heard():
        called.append(True)
        for number in numbers:
            poller.unwatch(number)

    for number in numbers:
        poller.watch(number, heard)
    for _, there in pairs:
        there.send(b"x")
    await settle()
    assert called == [True]
    for pair in pairs:
        for each in pair:
            each.close()


async def test_all_of_very_many_are_heard(poller):
    pairs = [socket.socketpair() for _ in range(300)]
    heard = set()
    for here, there in pairs:
        poller.watch(here.fileno(), lambda here=here: heard.add(here.recv(1) and here.fileno()))
        there.send(b"x")
    await settle()
    assert len(heard) == len(pairs)
    for pair in pairs:
        for each in pair:
            each.close()


async def test_what_is_asked_for_while_clients_are_heard_comes_once_all_are(poller):
    pairs = [socket.socketpair() for _ in range(3)]
    calls = []
    for here, there in pairs:

        def heard(here=here):
            calls.append(here.recv(1))
            poller.soon(lambda: calls.append("soon"))

        poller.watch(here.fileno(), heard)
        there.send(b"x")
    await settle()
    assert calls == [b"x"] * 3 + ["soon"] * 3
    for pair in pairs:
        for each in pair:
            each.close()


async def test_what_is_asked_for_otherwise_comes_with_the_next_turn(poller):
    calls = []
    poller.soon(lambda: calls.append("soon"))
    assert calls == []
    await settle()
    assert calls == ["soon"]


async def test_a_defect_of_one_takes_nothing_from_the_others(poller, pair):
    here, there = pair
    loop, told, calls = asyncio.get_running_loop(), [], []
    loop.set_exception_handler(lambda _loop, context: told.append(context["exception"]))

    def heard():
        poller.unwatch(here.fileno())
        poller.soon(lambda: calls.append("soon"))
        raise ZeroDivisionError

    poller.watch(here.fileno(), heard)
    there.send(b"x")
    await settle()
    assert calls == ["soon"]
    assert [type(each) for each in told] == [ZeroDivisionError]


async def test_it_can_be_closed_twice():
    poller = Poller(asyncio.get_running_loop())
    poller.close()
    poller.close()


async def test_it_says_whether_several_can_be_heard_at_once(poller):
    pairs = [socket.socketpair() for _ in range(2)]
    seen = []
    for here, there in pairs:
        poller.watch(here.fileno(), lambda here=here: seen.append((here.recv(1), poller.crowded)))
        there.send(b"x")
    await settle()
    pairs[0][1].send(b"y")
    await settle()
    assert seen == [(b"x", True), (b"x", True), (b"y", False)]
    for pair in pairs:
        for each in pair:
            each.close()
