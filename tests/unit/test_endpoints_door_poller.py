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
    pairs = [socket.socketpair() for _ in range(200)]
    heard = set()
    for here, there in pairs:
        poller.watch(here.fileno(), lambda here=here: heard.add(here.recv(1) and here.fileno()))
        there.send(b"x")
    await settle()
    assert len(heard) == len(pairs)
    for pair in pairs:
        for each in pair:
            each.close()
