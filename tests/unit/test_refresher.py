"""One role: when it refreshes, how it fails, what it keeps."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from imdsd.credentials.model import RoleState
from imdsd.credentials.refresher import Refresher
from imdsd.errors import (
    DurationRefusedError,
    ExchangeError,
    MintError,
    Retry,
    Stage,
)
from imdsd.secret import Secret
from tests.fakes.clock import START, settle
from tests.fakes.refresh import ASSUMED_ARN, ROLE_ARN, Bench, web_identity_token

UNREACHABLE = ExchangeError("STS could not be reached", code="Unreachable")
ACCESS_DENIED = ExchangeError("AccessDenied: no", retry=Retry.LIMITED, code="AccessDenied")
MALFORMED = ExchangeError("MalformedPolicyDocument", retry=Retry.NEVER, code="Malformed")


@pytest.fixture
def bench():
    return Bench()


async def held(refresher):
    assert await refresher.refresh() is None
    return refresher


async def test_a_refresh_publishes_credentials_and_their_documents(bench):
    refresher = await held(bench.refresher())
    snapshot = refresher.current()
    assert snapshot.documents == "documents of ASIA0000000000000001"
    assert snapshot.credentials.assumed_role_arn == ASSUMED_ARN
    assert snapshot.credentials.environment == "https://issuer.example org:1/prj:2/env:3"
    assert refresher.state is RoleState.OK
    assert bench.exchange.asked[0]["session_name"] == "imdsd-box"


async def test_the_next_refresh_is_due_when_the_threshold_is_reached(bench):
    refresher = await held(bench.refresher())
    assert refresher.seconds_until_due() == 1680
    assert refresher.due.at == START + timedelta(seconds=1680)


async def test_callers_that_arrive_together_share_one_attempt(bench):
    bench.exchange.takes_seconds = 1
    refresher = bench.refresher()
    callers = [asyncio.create_task(refresher.refresh()) for _ in range(50)]
    await bench.clock.advance(1)
    assert await asyncio.gather(*callers) == [None] * 50
    assert len(bench.exchange.asked) == 1


async def test_a_caller_who_goes_away_cancels_nothing(bench):
    bench.exchange.takes_seconds = 1
    refresher = bench.refresher()
    caller = asyncio.create_task(refresher.refresh())
    await settle()
    caller.cancel()
    await bench.clock.advance(1)
    assert refresher.current() is not None


async def test_a_failure_leaves_what_is_held_in_service_until_thirty_seconds_before_its_end(bench):
    refresher = await held(bench.refresher())
    bench.exchange.always = UNREACHABLE
    await bench.clock.advance(3569)
    assert await refresher.refresh() is UNREACHABLE
    assert refresher.state is RoleState.DEGRADED
    assert refresher.current() is not None
    await bench.clock.advance(1)
    assert refresher.current() is None
    assert refresher.state is RoleState.EXPIRED
    assert refresher.remaining_seconds == 0


async def test_a_failure_that_is_remembered_keeps_nothing_of_the_way_it_came(bench):
    bench.exchange.always = ExchangeError("STS could not be reached", code="Unreachable")
    bench.exchange.always.__cause__ = OSError("reset")
    refresher = bench.refresher()
    await refresher.refresh()
    error = refresher.failure.error
    assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)


async def test_nothing_yet_is_starting_even_while_attempts_fail(bench):
    bench.source.next.append(MintError("command not found: gitpod"))
    refresher = bench.refresher()
    assert refresher.state is RoleState.STARTING
    await refresher.refresh()
    assert refresher.state is RoleState.STARTING
    assert refresher.failure.error.stage == "mint"


async def test_a_refusal_that_may_pass_is_denied_after_five_tries_within_a_minute():
    bench = Bench(draw=lambda: 0.999)
    bench.exchange.always = ACCESS_DENIED
    refresher = bench.refresher()
    for expected in (RoleState.STARTING,) * 4 + (RoleState.DENIED,):
        await bench.clock.advance(refresher.seconds_until_due())
        await refresher.refresh()
        assert refresher.state is expected
    assert bench.exchange.asked_at[-1] - bench.exchange.asked_at[0] < 60
    assert 48 <= refresher.seconds_until_due() <= 72


async def test_a_refusal_of_claims_shows_the_claims_beside_the_message(bench):
    bench.exchange.always = ACCESS_DENIED
    error = await bench.refresher().refresh()
    assert error.reason == (
        "AccessDenied: no (the token's iss https://issuer.example, sub org:1/prj:2/env:3, "
        "aud sts.amazonaws.com)"
    )
    assert error.retry is Retry.LIMITED


async def test_only_refusals_in_a_row_make_a_role_denied(bench):
    refresher = bench.refresher()
    bench.exchange.next.extend([*[ACCESS_DENIED] * 4, UNREACHABLE, *[ACCESS_DENIED] * 5])
    for _ in range(9):
        await refresher.refresh()
        assert refresher.state is RoleState.STARTING
    await refresher.refresh()
    assert refresher.state is RoleState.DENIED


async def test_the_refresh_after_a_jump_of_the_clock_is_spread_as_after_a_start():
    bench = Bench(draw=lambda: 0.5)
    refresher = await held(bench.refresher())
    assert refresher.seconds_until_due() == 0.75 * 1680
    await held(refresher)
    assert refresher.seconds_until_due() == 0.95 * 1680
    refresher.clock_jumped()
    await held(refresher)
    assert refresher.seconds_until_due() == 0.75 * 1680


async def test_neither_a_long_message_nor_long_claims_crowd_the_other_out(bench):
    error = ExchangeError("AccessDenied: " + "no " * 400, code="AccessDenied", retry=Retry.LIMITED)
    bench.exchange.always = error
    bench.source.next.append(web_identity_token(bench.clock, sub="s\x1b\n" * 400))
    told = (await bench.refresher().refresh()).reason
    assert len(told) <= 500
    assert told.isprintable()
    assert told.startswith("AccessDenied: no no")
    assert "(the token's iss https://issuer.example, sub s s" in told


async def test_a_refusal_for_good_is_denied_at_once(bench):
    bench.exchange.always = MALFORMED
    refresher = bench.refresher()
    await refresher.refresh()
    assert refresher.state is RoleState.DENIED


async def test_denied_says_so_while_what_is_held_is_still_served(bench):
    refresher = await held(bench.refresher())
    bench.exchange.always = MALFORMED
    await refresher.refresh()
    assert refresher.state is RoleState.DENIED
    assert refresher.current() is not None


async def test_a_denied_role_is_asked_for_ever_more_rarely_but_never_given_up(bench):
    bench.exchange.always = MALFORMED
    refresher = bench.refresher()
    pauses = []
    for _ in range(6):
        await refresher.refresh()
        pauses.append(refresher.seconds_until_due())
    assert pauses == [48, 96, 192, 240, 240, 240]


async def test_a_success_ends_every_trouble(bench):
    bench.exchange.next.append(MALFORMED)
    refresher = bench.refresher()
    await refresher.refresh()
    assert await refresher.refresh() is None
    assert refresher.state is RoleState.OK
    assert refresher.failure is None


async def test_retry_after_is_what_sts_asked_for(bench):
    bench.exchange.next.append(ExchangeError("Throttling", retry_after_seconds=17))
    refresher = bench.refresher()
    await refresher.refresh()
    assert refresher.seconds_until_due() == 17


async def test_a_retry_after_of_nothing_makes_no_hot_loop(bench):
    bench = Bench(draw=lambda: 0.5)
    bench.exchange.always = ExchangeError("Throttling", retry_after_seconds=0)
    refresher = bench.refresher()
    pauses = []
    for _ in range(6):
        await refresher.refresh()
        pauses.append(refresher.seconds_until_due())
    assert pauses == [0.5, 1, 2, 4, 8, 15]


async def test_a_denied_role_is_not_hurried_by_a_retry_after(bench):
    bench.exchange.always = ExchangeError("no", retry=Retry.NEVER, retry_after_seconds=1)
    refresher = bench.refresher()
    await refresher.refresh()
    assert refresher.state is RoleState.DENIED
    assert refresher.seconds_until_due() == 48


REFUSED_BEFORE_STS = {
    "another audience": {"aud": "somebody.else"},
    "expired": {"exp": START.timestamp() - 1},
    "less than a minute of life": {"exp": START.timestamp() + 59},
}
refused = pytest.mark.parametrize(
    "claims", REFUSED_BEFORE_STS.values(), ids=REFUSED_BEFORE_STS.keys()
)


@refused
async def test_a_token_that_sts_would_refuse_is_minted_once_more(bench, claims):
    bench.source.next.append(web_identity_token(bench.clock, **claims))
    refresher = bench.refresher()
    assert await refresher.refresh() is None
    assert (bench.source.minted, len(bench.exchange.asked)) == (2, 1)


@refused
async def test_a_second_one_is_the_last_of_the_attempt_and_never_reaches_sts(bench, claims):
    bench.source.next.extend([web_identity_token(bench.clock, **claims)] * 3)
    assert (await bench.refresher().refresh()).stage == "check"
    assert (bench.source.minted, len(bench.exchange.asked)) == (2, 0)


async def test_a_second_bad_token_never_reaches_sts(bench):
    bad = web_identity_token(bench.clock, aud="somebody.else")
    bench.source.next.extend([bad, bad])
    error = await bench.refresher().refresh()
    assert "somebody.else" in error.reason
    assert "sts.amazonaws.com" in error.reason
    assert error.stage == "check"
    assert bench.exchange.asked == []


async def test_a_duration_above_the_roles_maximum_is_asked_for_once_and_remembered(bench):
    bench.exchange.next.append(DurationRefusedError("too long", retry=Retry.NEVER))
    refresher = await held(bench.refresher(duration_seconds=43200))
    await refresher.refresh()
    assert [ask["duration_seconds"] for ask in bench.exchange.asked] == [43200, 3600, 3600]
    assert bench.source.minted == 3


class OneToken:
    """A variable: the same token at every mint, good for `seconds` from the start."""

    description = "variable TOKEN"
    renewable = minted_on_demand = False

    def __init__(self, clock, seconds):
        self._token = web_identity_token(clock, exp=clock.now().timestamp() + seconds)
        self.minted = 0

    async def mint(self):
        self.minted += 1
        return self._token


async def test_after_the_session_of_the_only_token_no_attempt_is_due(bench):
    bench.source = OneToken(bench.clock, 300)
    refresher = bench.refresher()
    with capture_logs() as logs:
        await held(refresher)
    assert refresher.refresh_at is None
    assert refresher.seconds_until_due() > 1e9
    (last,) = (event for event in logs if event["event"] == "last_credentials_obtained")
    assert last["log_level"] == "warning"
    assert last["expires_at"] == START + timedelta(seconds=3600)
    assert "variable TOKEN cannot be minted again" in last["detail"]


async def test_the_last_credentials_are_ok_until_they_expire_and_then_say_what_to_do(bench):
    bench.source = OneToken(bench.clock, 300)
    refresher = await held(bench.refresher())
    await bench.clock.advance(3569)
    assert (refresher.state, refresher.failure) == (RoleState.OK, None)
    await bench.clock.advance(1)
    refresher.clock_jumped()
    assert refresher.state is RoleState.EXPIRED
    assert await refresher.current_within(0.4) is None
    assert bench.source.minted == 1
    error = refresher.failure.error
    assert error.code == "TokenSpent"
    assert "start imdsd again" in error.remedy


async def test_the_only_token_is_used_again_while_it_is_good(bench):
    bench.source = OneToken(bench.clock, 1800)
    refresher = await held(bench.refresher())
    assert refresher.seconds_until_due() == 1680
    await bench.clock.advance(1680)
    await held(refresher)
    assert refresher.refresh_at is None
    assert refresher.remaining_seconds == 3600


async def test_a_person_may_try_the_only_token_again_and_it_stays_at_that_try(bench):
    bench.source = OneToken(bench.clock, 300)
    refresher = await held(bench.refresher())
    await bench.clock.advance(600)
    with capture_logs() as logs:
        assert (await refresher.refresh()).code == "TokenRefused"
    assert [event["log_level"] for event in logs] == ["error"]
    assert refresher.refresh_at is None
    await bench.clock.advance(3600)
    asked = bench.source.minted
    assert await refresher.current_within(0.4) is None
    assert bench.source.minted == asked


async def test_an_outage_is_waited_for_while_the_only_token_is_good(bench):
    bench.source = OneToken(bench.clock, 3600)
    refresher = await held(bench.refresher())
    bench.exchange.next.append(UNREACHABLE)
    assert await refresher.refresh() is UNREACHABLE
    assert refresher.refresh_at is not None


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:sts::123456789012:assumed-role/other/imdsd-box",
        "arn:aws:sts::999999999999:assumed-role/dev/imdsd-box",
        "arn:aws-cn:sts::123456789012:assumed-role/dev/imdsd-box",
        "arn:aws:sts::123456789012:assumed-role/dev",
        "arn:aws:sts::123456789012:assumed-role/dev/",
        "",
    ],
)
async def test_credentials_of_another_role_are_never_served(bench, arn):
    refresher = await held(bench.refresher())
    good = refresher.current()
    bench.exchange.next.append(bench.exchange.session(3600, arn=arn))
    error = await refresher.refresh()
    assert error.code == "WrongRole"
    assert refresher.current() is good
    assert bench.metric("imdsd_wrong_role_total", role="dev") == 1


async def test_credentials_of_an_account_that_is_not_allowed_are_never_served(bench):
    refresher = bench.refresher(allowed_account_ids=("000000000000",))
    error = await refresher.refresh()
    assert error.code == "WrongAccount"
    assert refresher.current() is None
    assert refresher.state is RoleState.DENIED


async def test_an_expiry_in_the_past_is_refused_and_names_both_instants(bench):
    bench.exchange.next.append(bench.exchange.session(-60))
    error = await bench.refresher().refresh()
    assert error.stage == "publish"
    assert "2025-12-31T23:59:00Z" in error.reason
    assert "2026-01-01T00:00:00Z" in error.reason


async def test_a_clock_set_back_never_lengthens_the_life_of_credentials(bench):
    refresher = await held(bench.refresher())
    bench.clock.step(-3600)
    await bench.clock.advance(3569)
    assert refresher.current() is not None
    await bench.clock.advance(2)
    assert refresher.current() is None


async def test_a_clock_that_is_behind_promises_no_more_than_was_asked_for(bench):
    bench.exchange.next.append(bench.exchange.session(7200))
    refresher = await held(bench.refresher())
    assert refresher.remaining_seconds == 3600


async def test_a_suspended_machine_does_not_serve_what_expired_meanwhile(bench):
    refresher = await held(bench.refresher())
    bench.clock.suspend(8 * 3600)
    assert refresher.current() is None
    assert refresher.seconds_until_due() <= 0


async def test_a_cold_request_waits_for_the_attempt_under_way(bench):
    bench.exchange.takes_seconds = 0.3
    refresher = bench.refresher()
    refresher.start()
    await settle()
    request = asyncio.create_task(refresher.current_within(0.4))
    await bench.clock.advance(0.3)
    assert (await request) is not None


async def test_a_cold_request_gives_up_when_its_time_is_over(bench):
    bench.exchange.takes_seconds = 5
    refresher = bench.refresher()
    request = asyncio.create_task(refresher.current_within(0.4))
    await bench.clock.advance(0.4)
    assert (await request) is None
    await bench.clock.advance(5)
    assert refresher.current() is not None


async def test_a_request_that_finds_nothing_cuts_the_pause_once_in_two_seconds():
    bench = Bench(draw=lambda: 0.9)
    bench.exchange.always = UNREACHABLE
    refresher = bench.refresher()
    for _ in range(8):
        await refresher.refresh()
    tries = len(bench.exchange.asked)
    for _ in range(30):
        await refresher.current_within(0.4)
    assert len(bench.exchange.asked) == tries + 1
    await bench.clock.advance(2)
    await refresher.current_within(0.4)
    assert len(bench.exchange.asked) == tries + 2


@pytest.mark.parametrize(
    "error",
    [
        ACCESS_DENIED,
        ExchangeError("Rate exceeded", throttled=True),
        ExchangeError("slow down", retry_after_seconds=60),
    ],
    ids=str,
)
async def test_requests_do_not_hurry_what_sts_refused_throttled_or_asked_to_wait(error):
    bench = Bench(draw=lambda: 0.999)
    bench.exchange.always = error
    refresher = bench.refresher()
    await refresher.refresh()
    assert await refresher.current_within(0.4) is None
    assert len(bench.exchange.asked) == 1


async def test_each_change_of_state_is_told_once_an_expiry_between_two_tries_too(bench):
    refresher = await held(bench.refresher())
    bench.exchange.always = UNREACHABLE
    with capture_logs() as logs:
        for seconds in (60, 60, 3500, 60):
            await bench.clock.advance(seconds)
            await refresher.refresh()
    told = [(event["log_level"], event["state"]) for event in logs]
    assert told == [
        ("warning", "degraded"),
        ("debug", "degraded"),
        ("warning", "expired"),
        ("debug", "expired"),
    ]


async def told_of(refresher, failures, exchange):
    exchange.next.extend(failures)
    with capture_logs() as logs:
        for _ in failures:
            await refresher.refresh()
    return [event["code"] for event in logs if event["log_level"] in ("warning", "error")]


async def test_reasons_that_come_by_turns_are_told_once_each_until_a_success(bench):
    refresher = await held(bench.refresher())
    by_turns = [ExchangeError("502", code="502"), ExchangeError("503", code="503")] * 20
    assert await told_of(refresher, by_turns, bench.exchange) == ["502", "503"]
    await held(refresher)
    assert await told_of(refresher, by_turns, bench.exchange) == ["502", "503"]


async def test_an_sts_that_makes_reasons_up_fills_no_log_and_hides_no_change_of_state(bench):
    refresher = await held(bench.refresher())
    made_up = [ExchangeError(f"No{number}", code=f"No{number}") for number in range(100)]
    assert len(await told_of(refresher, made_up, bench.exchange)) < 10
    await bench.clock.advance(3600)
    assert await told_of(refresher, made_up, bench.exchange) == ["No0"]
    assert await told_of(refresher, [MALFORMED], bench.exchange) == ["Malformed"]


async def test_requests_do_not_hurry_a_denied_role(bench):
    bench.exchange.always = MALFORMED
    refresher = bench.refresher()
    await refresher.refresh()
    assert await refresher.current_within(0.4) is None
    assert len(bench.exchange.asked) == 1


class Broken:
    """A source with a defect."""

    description = "broken"
    renewable = minted_on_demand = True

    async def mint(self) -> Secret:
        raise ZeroDivisionError


async def test_a_bug_in_a_source_costs_one_attempt_and_nothing_else(bench):
    refresher = await held(bench.refresher())
    refresher.attempt.source = Broken()
    error = await refresher.refresh()
    assert "ZeroDivisionError" in error.reason
    assert refresher.current() is not None


async def test_closing_drops_the_attempt_under_way_and_tells_who_waits_for_it(bench):
    bench.exchange.takes_seconds = 5
    refresher = bench.refresher()
    caller = asyncio.create_task(refresher.refresh())
    await settle()
    await refresher.aclose()
    error = await caller
    assert (error.code, error.stage) == ("GivenUp", Stage.EXCHANGE)
    await bench.clock.advance(10)
    assert refresher.current() is None


async def test_once_closed_neither_a_request_nor_a_person_starts_another_attempt(bench):
    refresher = bench.refresher()
    await refresher.aclose()
    assert await refresher.current_within(0.4) is None
    assert (await refresher.refresh()).code == "GivenUp"
    assert bench.source.minted == 0


def events(logs, name):
    return [event for event in logs if event["event"] == name]


async def test_a_refresh_is_told_with_its_role_and_its_instants(bench):
    with capture_logs() as logs:
        await held(bench.refresher())
    assert logs == [
        {
            "event": "credentials_refreshed",
            "log_level": "info",
            "role": "dev",
            "role_arn": ROLE_ARN,
            "expires_at": START + timedelta(seconds=3600),
            "refresh_at": START + timedelta(seconds=1680),
        }
    ]


async def test_the_last_credentials_are_told_after_the_refresh_with_when_they_end(bench):
    bench.source = OneToken(bench.clock, 300)
    with capture_logs() as logs:
        await held(bench.refresher())
    assert logs[1] == {
        "event": "last_credentials_obtained",
        "log_level": "warning",
        "role": "dev",
        "expires_at": START + timedelta(seconds=3600),
        "detail": "they end then, as the token of variable TOKEN cannot be minted again; "
        "hand a new one over the same way and start imdsd again",
    }


async def test_a_failure_is_told_with_all_that_a_person_needs(bench):
    refresher = await held(bench.refresher())
    await bench.clock.advance(1680.4)
    bench.exchange.next.append(
        ExchangeError("no answer", remedy="look", code="Unreachable", retry_after_seconds=7)
    )
    with capture_logs() as logs:
        await refresher.refresh()
    assert logs == [
        {
            "event": "refresh_failed",
            "log_level": "warning",
            "role": "dev",
            "state": "degraded",
            "stage": "exchange",
            "code": "Unreachable",
            "reason": "no answer",
            "remedy": "look",
            "serving_for_seconds": 1920,
            "next_try_at": START + timedelta(seconds=1688.4),
        }
    ]
    assert type(logs[0]["serving_for_seconds"]) is int
    assert {type(logs[0][name]) for name in ("state", "stage")} == {str}


async def test_a_new_reason_is_news_and_one_for_a_person_is_an_error(bench):
    bench.exchange.next.extend([UNREACHABLE, UNREACHABLE, ACCESS_DENIED, MALFORMED, MALFORMED])
    refresher = bench.refresher()
    with capture_logs() as logs:
        for _ in range(5):
            await refresher.refresh()
    assert [(event["log_level"], event["state"]) for event in logs] == [
        ("warning", "starting"),
        ("debug", "starting"),
        ("warning", "starting"),
        ("error", "denied"),
        ("debug", "denied"),
    ]


async def test_after_a_success_the_same_failure_is_news_again(bench):
    refresher = bench.refresher()
    await held(refresher)
    for _ in range(2):
        bench.exchange.next.append(UNREACHABLE)
        with capture_logs() as logs:
            await refresher.refresh()
        assert [event["log_level"] for event in logs] == ["warning"]
        await held(refresher)


async def test_a_bug_is_told_once_with_its_trace_and_fails_like_anything_else(bench):
    refresher = bench.refresher()
    refresher.attempt.source = Broken()
    with capture_logs() as logs:
        first, second = await refresher.refresh(), await refresher.refresh()
    (crash,) = events(logs, "refresh_crashed")
    assert (crash["role"], crash["log_level"]) == ("dev", "error")
    assert isinstance(crash["exc_info"], ZeroDivisionError)
    for error in (first, second):
        assert (error.code, error.stage) == ("InternalError", "mint")
        assert error.reason == "internal error: ZeroDivisionError"
        assert error.retry is Retry.ALWAYS


async def test_a_bug_is_told_with_the_stage_it_was_met_in(bench):
    refresher = bench.refresher()
    refresher.attempt.exchange = None
    assert (await refresher.refresh()).stage == "exchange"


async def test_a_bug_after_another_failure_is_told(bench):
    refresher = bench.refresher()
    bench.exchange.next.append(UNREACHABLE)
    await refresher.refresh()
    refresher.attempt.source = Broken()
    with capture_logs() as logs:
        await refresher.refresh()
    assert len(events(logs, "refresh_crashed")) == 1


async def test_attempts_and_their_failures_are_counted(bench):
    refresher = bench.refresher()
    bench.exchange.next.extend([UNREACHABLE, ACCESS_DENIED])
    for _ in range(4):
        await refresher.refresh()
    assert (refresher.refreshes, refresher.failures) == (2, 2)
    for code in ("Unreachable", "AccessDenied"):
        labels = {"role": "dev", "stage": "exchange", "code": code}
        assert bench.metric("imdsd_refresh_failures_total", **labels) == 1


async def test_how_long_an_attempt_took_is_measured_whether_or_not_it_failed(bench):
    bench.exchange.takes_seconds = 3
    bench.exchange.next.append(UNREACHABLE)
    refresher = bench.refresher()
    for _ in range(2):
        refresher.start()
        await bench.clock.advance(3)
    assert bench.metric("imdsd_refresh_duration_seconds_count", role="dev") == 2
    assert bench.metric("imdsd_refresh_duration_seconds_sum", role="dev") == 6


async def test_whoever_wants_the_credentials_gets_each_set_under_the_roles_name(bench):
    got = []
    bench.workshop = replace(bench.workshop, published=lambda *what: got.append(what))
    refresher = await held(bench.refresher())
    await held(refresher)
    bench.exchange.next.append(UNREACHABLE)
    await refresher.refresh()
    assert [name for name, _ in got] == ["dev", "dev"]
    assert [credentials.access_key_id[-1] for _, credentials in got] == ["1", "2"]


async def test_the_first_credentials_set_published(bench):
    refresher = bench.refresher()
    bench.exchange.next.append(UNREACHABLE)
    await refresher.refresh()
    assert not refresher.published.is_set()
    await held(refresher)
    assert refresher.published.is_set()


def delayed(bench, seconds, **also):
    attempt = bench.refresher().attempt
    return Refresher(attempt, bench.workshop, name="dev", first_after_seconds=seconds, **also)


async def test_a_first_attempt_may_be_put_off(bench):
    refresher = delayed(bench, 7)
    assert refresher.seconds_until_due() == 7
    assert refresher.refresh_at == START + timedelta(seconds=7)
    assert bench.refresher().seconds_until_due() == 0


async def test_what_was_put_off_at_first_no_request_hurries(bench):
    refresher = delayed(bench, 7)
    assert await refresher.current_within(0.4) is None
    await bench.clock.advance(3)
    refresher.clock_jumped()
    assert refresher.seconds_until_due() == 4
    assert await refresher.current_within(0.4) is None
    await bench.clock.advance(3.5)
    assert await refresher.current_within(0.4) is None
    assert bench.exchange.asked == []
    await bench.clock.advance(2)
    assert await refresher.current_within(0.4) is not None


async def test_whoever_waits_for_the_next_attempt_hears_of_every_change(bench):
    heard = []
    refresher = delayed(bench, 0, changed=lambda: heard.append(refresher.state))
    await held(refresher)
    bench.exchange.next.append(MALFORMED)
    await refresher.refresh()
    assert heard == ["ok", "denied"]
    refresher.rename("new", source=bench.source, exchange=bench.exchange)
    assert heard == ["ok", "denied", "denied"]


async def test_a_request_that_is_served_at_once_waits_for_nothing(bench):
    refresher = await held(bench.refresher())
    refresher.start()
    assert await refresher.current_within(0.4) is refresher.current()
    assert bench.clock.naps == 0
    await refresher.aclose()


async def test_a_second_attempt_has_its_own_end_to_wait_for(bench):
    bench.exchange.takes_seconds = 0.3
    bench.exchange.next.append(UNREACHABLE)
    refresher = bench.refresher()
    refresher.start()
    await bench.clock.advance(0.3)
    refresher.start()
    request = asyncio.create_task(refresher.current_within(0.4))
    await bench.clock.advance(0.3)
    assert await request is not None


async def test_one_attempt_at_a_time_under_the_roles_name(bench):
    refresher = bench.refresher()
    assert not refresher.attempting
    first = refresher.start()
    assert refresher.start() is first
    assert refresher.attempting
    assert first.get_name() == "refresh dev"
    assert await first is None
    assert not refresher.attempting
    second = refresher.start()
    assert second is not first
    await second


async def test_a_task_of_an_attempt_gives_its_failure(bench):
    bench.exchange.next.append(UNREACHABLE)
    assert await bench.refresher().start() is UNREACHABLE


async def test_the_failure_of_an_attempt_is_known_with_its_instant_until_a_success(bench):
    refresher = bench.refresher()
    assert refresher.failure is None
    bench.exchange.next.append(UNREACHABLE)
    await bench.clock.advance(9)
    await refresher.refresh()
    assert refresher.failure.error is UNREACHABLE
    assert refresher.failure.at == START + timedelta(seconds=9)
    await held(refresher)
    assert refresher.failure is None


async def test_the_end_of_the_last_credentials_is_a_failure_of_that_instant(bench):
    bench.source = OneToken(bench.clock, 300)
    refresher = await held(bench.refresher())
    await bench.clock.advance(5000)
    assert refresher.failure.at == START + timedelta(seconds=3600)


async def test_what_ended_while_the_machine_slept_is_no_failure_yet(bench):
    refresher = await held(bench.refresher())
    bench.clock.suspend(5000)
    assert (refresher.state, refresher.failure) == (RoleState.EXPIRED, None)


async def test_a_failure_after_the_last_credentials_is_told_rather_than_their_end(bench):
    bench.source = OneToken(bench.clock, 300)
    refresher = await held(bench.refresher())
    await bench.clock.advance(5000)
    error = await refresher.refresh()
    assert error.code == "TokenRefused"
    assert refresher.failure.error is error


async def test_what_is_held_has_the_life_that_is_left_until_it_is_not_served(bench):
    refresher = bench.refresher()
    assert refresher.remaining_seconds == 0
    await held(refresher)
    await bench.clock.advance(600)
    assert refresher.remaining_seconds == 3000


async def test_a_jump_of_the_clock_brings_an_attempt_forward_only_where_it_helps():
    bench = Bench(draw=lambda: 0.999)
    refresher = bench.refresher()
    bench.exchange.next.append(UNREACHABLE)
    await refresher.refresh()
    assert refresher.seconds_until_due() > 0
    refresher.clock_jumped()
    assert refresher.seconds_until_due() == 0
    await held(refresher)
    due = refresher.due
    refresher.clock_jumped()
    assert refresher.due is due


async def test_a_jump_of_the_clock_does_not_bring_a_denied_role_forward(bench):
    refresher = bench.refresher()
    bench.exchange.next.append(MALFORMED)
    await refresher.refresh()
    refresher.clock_jumped()
    assert refresher.seconds_until_due() == 48


async def test_the_end_of_the_only_token_is_not_brought_forward_by_a_jump(bench):
    bench.source = OneToken(bench.clock, 300)
    refresher = await held(bench.refresher())
    bench.clock.suspend(5000)
    refresher.clock_jumped()
    assert refresher.refresh_at is None


async def test_a_delay_adds_to_what_is_left_or_counts_from_now(bench):
    refresher = await held(bench.refresher())
    refresher.delay(20)
    assert refresher.seconds_until_due() == 1700
    await bench.clock.advance(1800)
    refresher.delay(20)
    assert refresher.seconds_until_due() == 20


async def test_another_name_and_other_collaborators_leave_the_schedule_alone(bench):
    other = Bench()
    refresher = await held(bench.refresher())
    due = refresher.due
    refresher.rename("new", source=other.source, exchange=other.exchange)
    assert refresher.due is due
    with capture_logs() as logs:
        await held(refresher)
    assert logs[0]["role"] == "new"
    assert (len(bench.exchange.asked), len(other.exchange.asked)) == (1, 1)
    assert (bench.source.minted, other.source.minted) == (1, 1)


async def test_other_collaborators_are_tried_at_once_where_the_role_is_stuck(bench):
    refresher = bench.refresher()
    bench.exchange.next.append(MALFORMED)
    await refresher.refresh()
    refresher.rename("dev", source=bench.source, exchange=bench.exchange)
    assert refresher.seconds_until_due() == 0


async def test_another_token_is_tried_at_once_where_the_only_one_gave_its_last(bench):
    bench.source = OneToken(bench.clock, 300)
    refresher = await held(bench.refresher())
    fresh = OneToken(bench.clock, 9000)
    refresher.rename("dev", source=fresh, exchange=bench.exchange)
    assert refresher.refresh_at is None
    await bench.clock.advance(3600)
    refresher.rename("dev", source=fresh, exchange=bench.exchange)
    assert refresher.seconds_until_due() == 0


async def test_a_success_begins_every_count_anew():
    bench = Bench(draw=lambda: 0.999)
    refresher = bench.refresher()
    bench.exchange.next.extend([*[ACCESS_DENIED] * 4, None, *[ACCESS_DENIED] * 4])
    for _ in range(9):
        await refresher.refresh()
    assert refresher.state is RoleState.DEGRADED
    bench.exchange.next.extend([None, MALFORMED, MALFORMED, None, MALFORMED])
    pauses = []
    for _ in range(5):
        await refresher.refresh()
        pauses.append(refresher.seconds_until_due())
    assert pauses[1] == pauses[4] < pauses[2]


async def test_pauses_begin_anew_after_a_success_and_follow_the_life_that_is_left():
    bench = Bench(draw=lambda: 0.5)
    refresher = await held(bench.refresher())
    pauses = []
    for outcome in (UNREACHABLE, UNREACHABLE, None, UNREACHABLE):
        bench.exchange.next.append(outcome)
        await refresher.refresh()
        pauses.append(refresher.seconds_until_due())
    assert [pauses[0], pauses[1], pauses[3]] == [2.5, 5, 2.5]


async def test_two_refreshes_keep_the_interval_that_the_daemon_asks_for(bench):
    bench.workshop = replace(bench.workshop, least_interval_seconds=2000)
    refresher = await held(bench.refresher())
    assert refresher.seconds_until_due() == 2000


async def test_the_interval_is_counted_from_when_sts_was_asked(bench):
    bench.exchange.takes_seconds = 5
    refresher = bench.refresher()
    refresher.start()
    await bench.clock.advance(5)
    assert refresher.refresh_at == START + timedelta(seconds=1680)
    assert refresher.due.monotonic == 1000 + 1680


async def test_closing_waits_until_the_attempt_has_ended(bench):
    bench.exchange.takes_seconds = 5
    refresher = bench.refresher()
    attempt = refresher.start()
    await settle()
    await refresher.aclose()
    assert attempt.cancelled()
    error = await refresher.refresh()
    assert error.reason == "the attempt was given up: the daemon stops, or the role was removed"


async def test_nobody_waits_for_an_attempt_that_was_given_up(bench):
    bench.exchange.takes_seconds = 5
    refresher = bench.refresher()
    request = asyncio.create_task(refresher.current_within(60))
    await settle()
    await refresher.aclose()
    await settle()
    assert request.done()
    assert await request is None


async def test_requests_are_hurried_again_two_seconds_after_the_last_time():
    bench = Bench(draw=lambda: 0.999)
    bench.exchange.always = UNREACHABLE
    refresher = bench.refresher()
    for _ in range(8):
        await refresher.refresh()
    before = len(bench.exchange.asked)
    for seconds, more in ((0, 1), (1.9, 1), (0.1, 2), (1.9, 2), (0.1, 3)):
        await bench.clock.advance(seconds)
        await refresher.current_within(0.4)
        assert len(bench.exchange.asked) == before + more


async def test_a_request_that_finds_an_attempt_under_way_starts_no_other(bench):
    bench.exchange.takes_seconds = 1
    refresher = bench.refresher()
    requests = [asyncio.create_task(refresher.current_within(2)) for _ in range(3)]
    await bench.clock.advance(1)
    assert all(await asyncio.gather(*requests))
    assert len(bench.exchange.asked) == 1
