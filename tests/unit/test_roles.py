"""The roles in service: one timer for all, and changes that lose nothing."""

import asyncio
import itertools
import random
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from imdsd.credentials.roles import Roles
from imdsd.errors import ExchangeError, Retry
from tests.fakes.clock import settle
from tests.fakes.refresh import Bench, web_identity_token

UNREACHABLE = ExchangeError("STS could not be reached", code="Unreachable")
DENIED = ExchangeError("no", retry=Retry.NEVER)


@asynccontextmanager
async def running(roles):
    task = asyncio.create_task(roles.run())
    await settle()
    try:
        yield roles
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def bench():
    return Bench()


def roles_of(bench, *definitions, default="dev", **settings_):
    return Roles(definitions or (bench.definition(),), bench.workshop, default=default, **settings_)


async def test_a_day_of_refreshes_keeps_more_than_half_of_every_session_left():
    bench = Bench(draw=random.Random(1).random)
    async with running(roles_of(bench)) as roles:
        least = 3600.0
        for _ in range(24 * 60):
            await bench.clock.advance(60)
            least = min(least, roles.default.remaining_seconds)
    gaps = [b - a for a, b in itertools.pairwise(bench.exchange.asked_at)]
    assert least >= 1920 - 60
    assert 51 <= len(bench.exchange.asked) <= 60
    assert min(gaps[1:]) >= 0.9 * 1680
    assert max(gaps) <= 1680


@settings(max_examples=30)
@given(session=st.integers(900, 43200), seed=st.integers())
def test_no_session_length_makes_refreshes_closer_than_a_minute(session, seed):
    async def hours() -> None:
        bench = Bench(draw=random.Random(seed).random)
        definition = bench.definition(duration_seconds=session)
        async with running(roles_of(bench, definition)) as roles:
            for _ in range(60):
                await bench.clock.advance(session / 10)
                assert roles.default.remaining_seconds > 0
        gaps = [b - a for a, b in itertools.pairwise(bench.exchange.asked_at)]
        assert min(gaps) >= 60

    asyncio.run(hours())


async def test_all_roles_start_side_by_side(bench):
    bench.exchange.takes_seconds = 2
    names = [f"role{n}" for n in range(5)]
    roles = roles_of(bench, *map(bench.definition, names), default="role0")
    async with running(roles):
        await bench.clock.advance(2)
        assert all(roles.find(name).current() for name in names)


@pytest.mark.parametrize("seed", range(20))
async def test_an_outage_is_survived_and_recovered_from_within_thirty_five_seconds(seed):
    bench = Bench(draw=random.Random(seed).random)
    async with running(roles_of(bench)) as roles:
        bench.exchange.always = UNREACHABLE
        await bench.clock.advance(3600)
        assert roles.default.current() is None
        bench.exchange.always = None
        await bench.clock.advance(35)
        assert roles.default.current() is not None


async def test_after_a_resume_credentials_are_back_within_a_nap_without_any_request(bench):
    async with running(roles_of(bench)) as roles:
        bench.clock.suspend(8 * 3600)
        assert roles.default.current() is None
        await bench.clock.advance(30)
        assert roles.default.current() is not None


async def test_after_a_resume_the_first_request_is_enough(bench):
    async with running(roles_of(bench)) as roles:
        bench.clock.suspend(8 * 3600)
        assert await roles.default.current_within(0.4) is not None


@pytest.mark.parametrize(
    ("seconds", "tries"), [(10, 2), (-10, 2), (2.1, 2), (-2.1, 2), (1.9, 1), (-1.9, 1), (0, 1)]
)
async def test_a_jump_of_the_clock_is_told_and_ends_the_wait_of_who_has_nothing(
    bench, seconds, tries
):
    bench.exchange.next.append(ExchangeError("Throttling", retry_after_seconds=60))
    async with running(roles_of(bench)):
        bench.clock.step(seconds)
        with capture_logs() as logs:
            await bench.clock.advance(30)
    assert len(bench.exchange.asked) == tries
    told = [event["seconds"] for event in logs if event["event"] == "clock_jumped"]
    assert told == [seconds] * (tries - 1)


async def test_a_clock_set_back_an_hour_still_refreshes_in_time(bench):
    async with running(roles_of(bench)) as roles:
        bench.clock.step(-3600)
        for _ in range(100):
            await bench.clock.advance(60)
            assert roles.default.remaining_seconds > 0


async def test_an_idle_daemon_wakes_twice_a_minute(bench):
    async with running(roles_of(bench)):
        before = bench.clock.naps
        await bench.clock.advance(600)
        assert bench.clock.naps - before <= 21


async def test_a_start_may_be_spread_but_a_request_ends_the_wait():
    bench = Bench(draw=lambda: 0.5)
    async with running(roles_of(bench, spread_seconds=60)) as roles:
        await bench.clock.advance(29)
        assert bench.exchange.asked == []
        assert await roles.default.current_within(0.8) is not None


async def test_a_restart_storm_waits_for_its_turn_even_if_asked(bench):
    async with running(roles_of(bench, first_after_seconds=5)) as roles:
        assert await roles.default.current_within(0.8) is None
        await bench.clock.advance(4.9)
        assert bench.exchange.asked == []
        await bench.clock.advance(0.1)
        assert roles.default.current() is not None


async def test_a_role_is_found_by_exactly_its_name_or_alias(bench):
    roles = roles_of(bench, bench.definition(aliases=("old", "older")))
    assert roles.find("dev") is roles.find("old") is roles.find("older") is roles.default
    for name in ("", "DEV", "dev/", "../dev", "de", "old "):
        assert roles.find(name) is None


async def test_a_rename_keeps_the_credentials_and_makes_no_call(bench):
    async with running(roles_of(bench)) as roles:
        snapshot = roles.default.current()
        await roles.replace([bench.definition("new", aliases=("dev",))], "new")
        await bench.clock.advance(60)
        assert roles.default.current() is snapshot
        assert roles.find("dev") is roles.find("new")
        assert len(bench.exchange.asked) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"role_arn": "arn:aws:iam::123456789012:role/other"},
        {"policy": "{}"},
        {"policy_arns": ("arn:aws:iam::aws:policy/ReadOnlyAccess",)},
        {"chain": ("arn:aws:iam::123456789012:role/next",)},
        {"allowed_account_ids": ("999999999999",)},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_another_role_or_policy_stops_the_old_set_at_once(bench, change):
    async with running(roles_of(bench)) as roles:
        bench.exchange.always = UNREACHABLE
        await roles.replace([bench.definition(**change)], "dev")
        assert roles.default.current() is None


@pytest.mark.parametrize(
    "change",
    [
        {"duration_seconds": 7200},
        {"session_name": "other"},
        {"region": "us-east-1"},
        {"source": "another"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_other_changes_serve_the_old_set_until_the_first_publish(bench, change):
    async with running(roles_of(bench)) as roles:
        snapshot = roles.default.current()
        bench.exchange.takes_seconds = 1
        await roles.replace([bench.definition(**change)], "dev")
        await settle()
        assert roles.default.current() is snapshot
        await bench.clock.advance(1)
        assert roles.default.current() is not snapshot
        assert roles.default.current() is not None


async def test_a_removed_role_is_gone_and_its_late_results_are_dropped(bench):
    bench.exchange.takes_seconds = 5
    async with running(roles_of(bench, bench.definition(), bench.definition("b"))) as roles:
        removed = roles.find("b")
        await roles.replace([bench.definition()], "dev")
        await bench.clock.advance(10)
        assert roles.find("b") is None
        assert removed.snapshot is None


async def test_of_roles_on_the_same_terms_each_that_keeps_its_name_keeps_its_own(bench):
    definitions = (bench.definition("a"), bench.definition("b"))
    async with running(roles_of(bench, *definitions, default="a")) as roles:
        first, second = roles.find("a"), roles.find("b")
        await roles.replace([bench.definition("b"), bench.definition("a")], "a")
        assert (roles.find("a"), roles.find("b")) == (first, second)
        await roles.replace([bench.definition("c"), bench.definition("b")], "b")
        assert (roles.find("b"), roles.find("c")) == (second, first)


async def test_a_role_that_a_reload_brings_does_not_wait_for_the_start_to_be_over(bench):
    async with running(roles_of(bench, first_after_seconds=5)) as roles:
        await roles.replace([bench.definition("new")], "new")
        await settle()
        assert roles.default.current() is None, "the same terms, still in the wait of the start"
        await roles.replace([bench.definition("new", region="us-east-1")], "new")
        await settle()
        assert roles.default.current() is not None


async def test_two_roles_that_swap_names_keep_their_credentials(bench):
    a = {"duration_seconds": 1800}
    definitions = (bench.definition("a", **a), bench.definition("b"))
    async with running(roles_of(bench, *definitions, default="a")) as roles:
        first, second = roles.find("a").current(), roles.find("b").current()
        await roles.replace([bench.definition("b", **a), bench.definition("a")], "a")
        assert roles.find("b").current() is first
        assert roles.find("a").current() is second


async def test_a_reload_asks_at_once_for_a_denied_role(bench):
    bench.exchange.next.append(DENIED)
    async with running(roles_of(bench)) as roles:
        assert roles.default.current() is None
        await roles.replace([bench.definition()], "dev")
        await settle()
        assert roles.default.current() is not None


async def test_a_reload_asks_at_once_where_the_last_credentials_of_the_only_token_ended(bench):
    bench.source.renewable = False
    good = web_identity_token(bench.clock, exp=bench.clock.now().timestamp() + 100)
    bench.source.next.append(good)
    async with running(roles_of(bench)) as roles:
        await bench.clock.advance(3570)
        assert roles.default.current() is None
        assert bench.source.minted == 1
        await roles.replace([bench.definition()], "dev")
        await settle()
        assert roles.default.current() is not None


async def test_attempts_are_given_up_side_by_side(bench):
    class Stubborn:
        description = "stubborn"
        renewable = minted_on_demand = True

        async def mint(self):
            try:
                await asyncio.Event().wait()
            finally:
                await bench.clock.sleep(2)

    bench.source = Stubborn()
    roles = roles_of(bench, *map(bench.definition, "abc"), default="a")
    task = asyncio.create_task(roles.run())
    await settle()
    task.cancel()
    await bench.clock.advance(2)
    assert task.done()
