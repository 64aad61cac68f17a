"""A machine whose clock is set, that is suspended, or that is paused: a real daemon under each."""

import asyncio
import signal
from datetime import datetime, timedelta

import pytest

from imdsd.clock import SystemClock
from imdsd.sandbox.app import Sandbox, SandboxRole
from tests.system.settings import ARN, settings
from tests.system.sky import Sky

HOUR = 3600
SERVE_MARGIN_SECONDS = 30
DEMO_SESSION_SECONDS = 60


@pytest.fixture
def sky(daemons):
    return Sky(daemons.place())


@pytest.fixture
async def sandbox(sky):
    async with Sandbox(clock=sky.clock, roles=[SandboxRole(ARN)]) as sandbox:
        yield sandbox


async def served_anew(daemon, held, *, clock):
    """Wait for other credentials than those held, and see that no answer is an expired one."""

    async def is_new():
        reply = await daemon.credentials()
        if reply.status != 200:
            return False
        assert seconds_left(reply, clock) >= SERVE_MARGIN_SECONDS - 1
        return reply.json["AccessKeyId"] != held

    await daemon.until(is_new, what="new credentials are served")


def seconds_left(reply, clock):
    return (datetime.fromisoformat(reply.json["Expiration"]) - clock.now()).total_seconds()


async def test_the_daemon_is_under_the_sky(daemons, sandbox, sky):
    sky.set(5 * HOUR)
    daemon = await daemons.serve(settings(sandbox), **sky.variables).ready()
    started = datetime.fromisoformat((await daemon.status())["started_at"])
    assert (started - SystemClock().now()).total_seconds() > 4 * HOUR
    assert (await daemon.role())["seconds_left"] > HOUR - 120


@pytest.mark.parametrize("hours", [1, 8, 24 * 365])
async def test_a_clock_that_jumps_ahead_has_what_expired_replaced(daemons, sandbox, sky, hours):
    daemon = await daemons.serve(settings(sandbox), **sky.variables).ready()
    held = await daemon.access_key_id()
    sky.set(hours * HOUR)
    first = await daemon.credentials()
    assert first.status == 503 or first.json["AccessKeyId"] != held
    await served_anew(daemon, held, clock=sky.clock)


async def test_a_clock_that_is_set_back_takes_nothing_away_and_adds_nothing(daemons, sandbox, sky):
    daemon = await daemons.serve(settings(sandbox), **sky.variables).ready()
    held = await daemon.access_key_id()
    before = await daemon.role()
    sky.set(-HOUR)
    assert await daemon.access_key_id() == held
    after = await daemon.role()
    assert after["state"] == "ok"
    assert after["seconds_left"] <= before["seconds_left"]
    assert (await daemon.refresh()).status == 200
    assert await daemon.access_key_id() not in (held, None)


async def test_a_clock_that_disagrees_with_the_issuers_is_a_warning(daemons, sandbox, sky):
    sky.set(-600)
    sky.clock.shift = timedelta(0)
    daemon = await daemons.serve(settings(sandbox), **sky.variables).ready()
    (warning,) = daemon.events("clock_skewed")
    assert warning["level"] == "warning"
    assert (await daemon.credentials()).status == 200


async def test_a_suspended_machine_is_served_anew_after_its_resume(daemons, sandbox, sky):
    daemon = await daemons.serve(settings(sandbox), **sky.variables).ready()
    held = await daemon.access_key_id()
    daemon.send(signal.SIGSTOP)
    sky.set(8 * HOUR)
    daemon.send(signal.SIGCONT)
    await served_anew(daemon, held, clock=sky.clock)
    assert (await daemon.role())["state"] == "ok"


async def test_a_paused_daemon_answers_those_who_waited(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    held = await daemon.access_key_id()
    daemon.send(signal.SIGSTOP)
    waiting = [asyncio.create_task(daemon.access_key_id()) for _ in range(5)]
    await asyncio.sleep(1)
    assert not any(task.done() for task in waiting)
    daemon.send(signal.SIGCONT)
    assert await asyncio.gather(*waiting) == [held] * 5


async def test_a_refresh_comes_by_itself_whatever_the_clock_does(daemons, sandbox, sky):
    """Side by side, because each takes the half minute in which nobody asks for anything."""
    short = ("--session-seconds", str(DEMO_SESSION_SECONDS))
    past = Sky(daemons.place("past"))
    undisturbed = daemons.demo(*short, name="undisturbed")
    set_back = daemons.demo(*short, name="past", **past.variables)
    put_ahead = daemons.serve(settings(sandbox), **sky.variables)
    every = [await daemon.ready() for daemon in (undisturbed, set_back, put_ahead)]
    held = [await daemon.access_key_id() for daemon in every]
    past.set(-HOUR)
    sky.set(HOUR / 2)  # into the time in which a session of an hour is to be refreshed

    async def all_refreshed():
        now = [await daemon.access_key_id() for daemon in every]
        assert None not in now  # before it expired, so never without
        return not set(now) & set(held)

    await put_ahead.until_within(60, all_refreshed, what="all three have refreshed")
