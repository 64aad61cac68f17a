"""The machine's clocks, and how instants are written."""

import asyncio
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from imdsd.clock import SystemClock, format_instant

zones = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
# A day from either end of the calendar, which another zone would leave.
edges = (datetime.fromisoformat("0001-01-03"), datetime.fromisoformat("9999-12-29"))
instants = st.datetimes(*edges, timezones=zones)


@given(instants)
def test_an_instant_is_written_in_whole_seconds_of_utc(instant):
    text = format_instant(instant)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text, re.ASCII)
    assert datetime.fromisoformat(text).utcoffset() == timedelta()


@given(instants)
def test_the_fraction_is_cut_off_so_that_no_expiry_is_promised_late(instant):
    lost = instant - datetime.fromisoformat(format_instant(instant))
    assert timedelta() <= lost < timedelta(seconds=1)


@given(instants, zones)
def test_an_instant_is_written_the_same_whatever_its_zone(instant, zone):
    assert format_instant(instant) == format_instant(instant.astimezone(zone))


@given(instants, instants)
def test_written_instants_sort_as_the_instants_do(one, other):
    if one <= other:
        assert format_instant(one) <= format_instant(other)


def test_the_wall_clock_is_aware_and_in_utc():
    assert SystemClock().now().tzinfo is UTC


def test_the_monotonic_clock_is_the_loops_own():
    async def compare():
        before = asyncio.get_running_loop().time()
        read = SystemClock().monotonic()
        return before <= read <= asyncio.get_running_loop().time()

    assert asyncio.run(compare())


async def test_a_nap_ends_when_it_is_woken():
    wake = asyncio.Event()
    napping = asyncio.create_task(SystemClock().nap(3600, wake))
    wake.set()
    async with asyncio.timeout(30):
        assert await napping is True


async def test_a_nap_that_nobody_wakes_says_so():
    assert await SystemClock().nap(0.01, asyncio.Event()) is False


async def test_a_nap_that_begins_awake_ends_at_once():
    wake = asyncio.Event()
    wake.set()
    async with asyncio.timeout(30):
        assert await SystemClock().nap(3600, wake) is True


async def test_sleep_and_pause_last_as_long_as_asked_at_least():
    clock = SystemClock()
    start = clock.monotonic()
    await clock.sleep(0.02)
    clock.pause(0.02)
    assert clock.monotonic() - start >= 0.039


def test_a_verb_that_runs_no_loop_does_not_pay_for_one():
    code = "import sys, imdsd.clock; imdsd.clock.SystemClock().pause(0); print('asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
