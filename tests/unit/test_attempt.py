"""One attempt: what it asks for, what it makes of the answer, and where it stops."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from imdsd.credentials.attempt import Attempt, token_spent
from imdsd.credentials.model import Credentials
from imdsd.errors import (
    ClaimsError,
    DurationRefusedError,
    ExchangeError,
    MintError,
    PublishError,
    Retry,
    Stage,
)
from imdsd.secret import Secret
from tests.fakes.clock import START
from tests.fakes.refresh import ASSUMED_ARN, ROLE_ARN, Bench, terms, web_identity_token

TOO_LONG = DurationRefusedError("too long", retry=Retry.NEVER)
BAD_AUDIENCE = "somebody.else"


@pytest.fixture
def bench():
    return Bench()


def attempt_of(bench, *, workshop=None, **changes):
    return Attempt(
        terms(**changes), workshop or bench.workshop, source=bench.source, exchange=bench.exchange
    )


async def refused(attempt, kind):
    with pytest.raises(kind) as caught:
        await attempt.run("dev")
    return caught.value


async def test_credentials_are_what_sts_gave_for_the_terms(bench):
    snapshot = await attempt_of(bench).run("dev")
    assert snapshot.credentials == Credentials(
        access_key_id="ASIA0000000000000001",
        secret_access_key=Secret("secret"),
        session_token=Secret("token"),
        issued_at=START,
        expires_at=START + timedelta(seconds=3600),
        role_arn=ROLE_ARN,
        assumed_role_arn=ASSUMED_ARN,
        environment="https://issuer.example org:1/prj:2/env:3",
        region="eu-central-1",
    )
    assert snapshot.documents == "documents of ASIA0000000000000001"


async def test_sts_is_asked_for_all_that_the_terms_say(bench):
    last = "arn:aws:iam::123456789012:role/dev"
    await attempt_of(
        bench, chain=(last,), policy="{}", policy_arns=("arn:p",), session_name="{host}-{sub}"
    ).run("dev")
    assert bench.exchange.asked == [
        {
            "role_arn": ROLE_ARN,
            "chain": (last,),
            "session_name": "box-org-1-prj-2-env-3",
            "duration_seconds": 3600,
            "policy": "{}",
            "policy_arns": ("arn:p",),
        }
    ]


async def test_the_life_of_credentials_is_counted_from_when_sts_was_asked(bench):
    bench.exchange.takes_seconds = 5
    attempt = attempt_of(bench)
    run = asyncio.create_task(attempt.run("dev"))
    await bench.clock.advance(5)
    snapshot = await run
    assert snapshot.credentials.issued_at == START
    assert (snapshot.session_seconds, snapshot.dead_at) == (3600, 1000 + 3600)


async def test_a_shorter_session_than_was_asked_for_is_taken_as_it_is(bench):
    bench.exchange.next.append(bench.exchange.session(1200))
    snapshot = await attempt_of(bench).run("dev")
    assert (snapshot.session_seconds, snapshot.dead_at) == (1200, 1000 + 1200)


@pytest.mark.parametrize("seconds", [30, 0, -60])
async def test_credentials_that_could_not_be_served_are_refused_with_both_instants(bench, seconds):
    bench.exchange.next.append(bench.exchange.session(seconds))
    error = await refused(attempt_of(bench), PublishError)
    expires = START + timedelta(seconds=seconds)
    assert error.reason == (
        f"STS returned credentials that expire at {expires:%FT%TZ}, "
        "expected well after 2026-01-01T00:00:00Z"
    )
    assert (error.code, error.retry) == ("ExpiryInThePast", Retry.ALWAYS)
    assert error.remedy == "compare this machine's clock with the true time"


async def test_a_second_more_than_the_margin_is_worth_serving(bench):
    bench.exchange.next.append(bench.exchange.session(31))
    assert (await attempt_of(bench).run("dev")).session_seconds == 31


async def test_of_another_role_is_said_what_came_and_who_to_ask(bench):
    other = "arn:aws:sts::123456789012:assumed-role/other/imdsd-box"
    bench.exchange.next.append(bench.exchange.session(3600, arn=other))
    error = await refused(attempt_of(bench), PublishError)
    assert error.reason == f"STS returned credentials of {other}, expected {ROLE_ARN}"
    assert error.remedy == "they were dropped; ask who answers at the STS endpoint"
    assert (error.code, error.retry) == ("WrongRole", Retry.LIMITED)
    assert bench.metric("imdsd_wrong_role_total", role="dev") == 1


async def test_of_another_account_is_said_which_are_allowed(bench):
    allowed = ("000000000000", "111111111111")
    error = await refused(attempt_of(bench, allowed_account_ids=allowed), PublishError)
    assert error.reason == ("account is 123456789012, expected one of 000000000000, 111111111111")
    assert error.remedy == "correct arn or allowed_account_ids"
    assert (error.code, error.retry) == ("WrongAccount", Retry.NEVER)


async def test_an_account_that_is_allowed_is_served(bench):
    allowed = ("000000000000", "123456789012")
    assert await attempt_of(bench, allowed_account_ids=allowed).run("dev")


async def test_the_stage_says_how_far_a_run_came(bench):
    attempt = attempt_of(bench)
    assert attempt.stage is Stage.MINT
    await attempt.run("dev")
    assert attempt.stage is Stage.PUBLISH
    bench.source.next.append(MintError("no"))
    await refused(attempt, MintError)
    assert attempt.stage is Stage.MINT
    bench.source.next.extend([web_identity_token(bench.clock, aud=BAD_AUDIENCE)] * 2)
    await refused(attempt, ClaimsError)
    assert attempt.stage is Stage.CHECK
    bench.exchange.next.append(ExchangeError("no"))
    await refused(attempt, ExchangeError)
    assert attempt.stage is Stage.EXCHANGE


async def test_whoever_wants_to_know_is_told_before_anything_is_minted(bench):
    minted = []
    workshop = replace(bench.workshop, attempt_begins=lambda: minted.append(bench.source.minted))
    attempt = attempt_of(bench, workshop=workshop)
    await attempt.run("dev")
    await attempt.run("dev")
    assert minted == [0, 1]


async def test_the_token_that_was_minted_once_more_is_the_one_that_is_exchanged(bench):
    bench.source.next.append(web_identity_token(bench.clock, aud=BAD_AUDIENCE))
    bench.source.next.append(web_identity_token(bench.clock, sub="second"))
    snapshot = await attempt_of(bench).run("dev")
    assert snapshot.credentials.environment == "https://issuer.example second"
    assert bench.source.minted == 2


async def test_a_length_that_is_refused_is_told_with_what_is_asked_for_instead(bench):
    bench.exchange.next.append(TOO_LONG)
    with capture_logs() as logs:
        await attempt_of(bench, duration_seconds=43200).run("dev")
    assert logs == [
        {
            "event": "duration_shortened",
            "log_level": "warning",
            "role": "dev",
            "asked_seconds": 43200,
            "now_seconds": 3600,
        }
    ]


async def test_a_token_that_cannot_be_minted_again_gets_the_longest_session_it_can(bench):
    bench.source.renewable = False
    bench.exchange.next.extend([TOO_LONG] * 2)
    await attempt_of(bench, duration_seconds=43200).run("dev")
    assert [ask["duration_seconds"] for ask in bench.exchange.asked] == [43200, 21600, 10800]


async def test_no_shorter_session_than_every_role_allows_is_asked_for(bench):
    bench.exchange.next.extend([TOO_LONG] * 3)
    assert await refused(attempt_of(bench, duration_seconds=3600), ExchangeError) is TOO_LONG
    assert len(bench.exchange.asked) == 1


async def test_a_skewed_clock_is_told_with_both_instants(bench):
    bench.source.next.append(web_identity_token(bench.clock, iat=START.timestamp() - 300))
    with capture_logs() as logs:
        await attempt_of(bench).run("dev")
    assert logs == [
        {
            "event": "clock_skewed",
            "log_level": "warning",
            "role": "dev",
            "detail": "clock skew: the token was issued at 2025-12-31T23:55:00Z, "
            "this machine's clock says 2026-01-01T00:00:00Z",
        }
    ]


async def test_a_skewed_clock_is_told_once_until_it_is_right_and_refuses_nothing(bench):
    attempt, told = attempt_of(bench), []
    for iat in (-300, -300, 0, -300):
        issued = bench.clock.now().timestamp() + iat
        bench.source.next.append(web_identity_token(bench.clock, iat=issued))
        with capture_logs() as logs:
            await attempt.run("dev")
        told.append([event["event"] for event in logs].count("clock_skewed"))
    assert told == [1, 0, 0, 1]


async def test_a_token_that_was_minted_once_more_may_be_skewed_too(bench):
    bench.source.next.append(web_identity_token(bench.clock, aud=BAD_AUDIENCE))
    bench.source.next.append(web_identity_token(bench.clock, iat=START.timestamp() - 300))
    with capture_logs() as logs:
        await attempt_of(bench).run("dev")
    assert [(event["event"], event["role"]) for event in logs] == [("clock_skewed", "dev")]


async def test_the_age_of_a_token_that_was_not_minted_just_now_says_nothing(bench):
    bench.source.minted_on_demand = False
    bench.source.next.append(web_identity_token(bench.clock, iat=START.timestamp() - 300))
    with capture_logs() as logs:
        await attempt_of(bench).run("dev")
    assert logs == []


@pytest.mark.parametrize("code", ["AccessDenied", "IDPRejectedClaim", "InvalidIdentityToken"])
async def test_a_refusal_of_claims_keeps_its_facts_and_gains_the_claims(bench, code):
    bench.exchange.next.append(
        ExchangeError("no", remedy="look", retry=Retry.LIMITED, retry_after_seconds=7, code=code)
    )
    bench.source.next.append(web_identity_token(bench.clock, aud=["sts.amazonaws.com", "b"]))
    error = await refused(attempt_of(bench), ExchangeError)
    assert error.reason == (
        "no (the token's iss https://issuer.example, sub org:1/prj:2/env:3, "
        "aud sts.amazonaws.com, b)"
    )
    assert (error.code, error.remedy) == (code, "look")
    assert (error.retry, error.retry_after_seconds) == (Retry.LIMITED, 7)
    assert error.__suppress_context__


async def test_a_refusal_of_anything_else_stays_as_it_is(bench):
    other = ExchangeError("no", code="Throttling")
    bench.exchange.next.append(other)
    assert await refused(attempt_of(bench), ExchangeError) is other


async def test_a_long_message_and_long_claims_share_the_room_to_the_last_character(bench):
    bench.exchange.next.append(ExchangeError("m" * 900, code="AccessDenied"))
    bench.source.next.append(web_identity_token(bench.clock, sub="s" * 900))
    told = (await refused(attempt_of(bench), ExchangeError)).reason
    assert len(told) == 500
    assert "m… (the token's iss " in told
    assert told.endswith("s…)")


class TestWhetherThereCanBeAToken:
    async def test_a_source_that_can_mint_again_can_at_any_time(self, bench):
        attempt = attempt_of(bench)
        assert attempt.may_succeed_at(START + timedelta(days=1000))

    async def test_the_only_token_can_up_to_a_minute_before_its_end(self, bench):
        bench.source.renewable = False
        attempt = attempt_of(bench)
        await attempt.run("dev")
        assert attempt.may_succeed_at(START + timedelta(seconds=3540))
        assert not attempt.may_succeed_at(START + timedelta(seconds=3541))

    async def test_a_token_that_nobody_has_seen_cannot(self, bench):
        bench.source.renewable = False
        assert not attempt_of(bench).may_succeed_at(START)


def test_of_the_only_token_is_said_what_a_person_can_do(bench):
    error = token_spent(bench.source)
    assert error.reason == "the token of a fake cannot be minted again"
    assert error.remedy == "hand a new one over the same way and start imdsd again"
    assert (error.stage, error.retry, error.code) == (Stage.MINT, Retry.NEVER, "TokenSpent")
