"""What is logged of errors that reach the loop: once for each trouble, and no values."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os

import pytest

from imdsd.daemon.loop_errors import QUIET_SECONDS, LoopErrors
from imdsd.telemetry.log import configure_logging
from tests.fakes.clock import ManualClock, settle

CANARY = "canary-" + "50e7ab"
TRIES = 1024


@pytest.fixture
def log():
    out = io.StringIO()
    configure_logging(level="debug", log_format="json", stream=out)
    return lambda: [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.fixture
async def clock():
    """A clock, with the handler that reads it in the place of the loop's own."""
    clock = ManualClock()
    asyncio.get_running_loop().set_exception_handler(LoopErrors(clock))
    yield clock
    asyncio.get_running_loop().set_exception_handler(None)


def accept_in_vain(number=errno.EMFILE):
    loop = asyncio.get_running_loop()
    for _ in range(TRIES):
        message = "socket.accept() out of system resource"
        error = OSError(number, os.strerror(number))
        loop.call_exception_handler({"message": message, "exception": error})


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_a_lack_of_descriptors_is_told_once_however_often_it_is_met(clock, log, number):
    for _ in range(60):
        accept_in_vain(number)
        await clock.advance(1)
    (event,) = log()
    assert (event["event"], event["level"]) == ("descriptors_exhausted", "warning")
    assert event["reason"] == os.strerror(number)


async def test_another_lack_after_a_while_is_told_again(clock, log):
    accept_in_vain()
    await clock.advance(QUIET_SECONDS - 1)
    accept_in_vain()
    assert len(log()) == 1
    await clock.advance(QUIET_SECONDS)
    accept_in_vain()
    assert len(log()) == 2


async def test_a_callback_that_fails_is_told_without_what_it_was_given(clock, log):
    def fail(secret):
        raise ValueError(secret)

    asyncio.get_running_loop().call_soon(fail, CANARY)
    await settle()
    (event,) = log()
    assert (event["event"], event["level"]) == ("loop_error", "error")
    assert event["detail"].startswith("Exception in callback")
    assert "ValueError" in event["exception"]
    assert "in fail" in event["exception"]
    assert CANARY not in json.dumps(event)


async def test_a_task_that_nobody_asked_is_told_without_what_it_said(clock, log):
    async def fail():
        raise KeyError(CANARY)

    task = asyncio.ensure_future(fail())
    await asyncio.wait([task])
    del task
    (event,) = log()
    assert event["detail"] == "Task exception was never retrieved"
    assert "KeyError" in event["exception"]
    assert CANARY not in json.dumps(event)


async def test_another_trouble_of_a_socket_is_no_lack_of_descriptors(clock, log):
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": "odd", "exception": OSError(errno.EIO, "x")})
    loop.call_exception_handler({"message": "odd"})
    assert [event["event"] for event in log()] == ["loop_error"] * 2
