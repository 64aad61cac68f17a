"""Who was accepted and has not asked yet is waited for, but not for ever."""

from __future__ import annotations

import asyncio

import pytest

from imdsd.endpoints.newcomers import Newcomers
from tests.fakes.clock import settle

LONG = 60.0


@pytest.fixture
async def waiting():
    """Newcomers, and a task that waits for them from the first arrival on."""
    newcomers = Newcomers()
    newcomers.arrived("one")
    newcomers.arrived("other")
    task = asyncio.create_task(newcomers.until_none(seconds=LONG))
    await settle()
    yield newcomers, task
    task.cancel()


async def test_nobody_is_waited_for_where_nobody_came():
    await Newcomers().until_none(seconds=LONG)


async def test_the_last_one_that_asks_ends_the_wait(waiting):
    newcomers, task = waiting
    newcomers.known("one")
    newcomers.known("one")  # asked, then gone
    await settle()
    assert not task.done()
    newcomers.known("other")
    await settle()
    assert task.done()


async def test_who_asked_before_is_not_waited_for(waiting):
    newcomers, task = waiting
    newcomers.known("one")
    newcomers.known("other")
    await task
    newcomers.known("one")
    await newcomers.until_none(seconds=LONG)


async def test_who_never_asks_is_not_waited_for_for_ever():
    newcomers = Newcomers()
    newcomers.arrived("one")
    await newcomers.until_none(seconds=0.01)
