"""`/v1/credentials[/ROLE]` over a real socket."""

import asyncio

import pytest

from imdsd.errors import ExchangeError, MintError, Retry
from tests.fakes.refresh import Bench
from tests.fakes.served import BEARER, serving


@pytest.fixture
async def served():
    bench = Bench()
    async with serving(
        bench.definition(aliases=("old",)), bench.definition("b", duration_seconds=900), bench=bench
    ) as served:
        for _, refresher in served.roles:
            await refresher.refresh()
        yield served


async def test_the_bearer_gets_the_default_roles_credentials(served):
    reply = await served.credentials()
    assert reply.status == 200
    assert reply.json["AccessKeyId"] == "ASIA0000000000000001"
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["content-length"] == str(len(reply.body))
    assert reply.headers["cache-control"] == "no-store"
    assert "transfer-encoding" not in reply.headers


async def test_a_role_is_chosen_by_its_name_or_alias(served):
    assert (await served.credentials("/v1/credentials/b")).json["AccessKeyId"].endswith("2")
    assert (await served.credentials("/v1/credentials/old")).json["AccessKeyId"].endswith("1")


@pytest.mark.parametrize("given", ["", "wrong", "Bearer " + BEARER.reveal(), BEARER.reveal() + "x"])
async def test_anything_but_the_raw_bearer_is_401_and_shows_nothing(served, given):
    reply = await served.ask("GET", "/v1/credentials", Authorization=given)
    assert reply.status == 401
    assert b"ASIA" not in reply.body
    assert set(reply.json) == {"Code", "Message", "code", "message"}


async def test_a_client_that_sends_no_bearer_is_told_which_ones_know_of_no_file(served):
    message = (await served.ask("GET", "/v1/credentials")).json["Message"]
    assert "AWS CLI before 2.15.0" in message
    assert 'eval "$(imdsd env)"' in message
    wrong = (await served.ask("GET", "/v1/credentials", Authorization="wrong")).json["Message"]
    assert "not this daemon's bearer" in wrong


@pytest.mark.parametrize(
    "name", ["nobody", "", "B", "b/", "../b", "%62", "b%00", "b;x", "dev/../b", "b/b"]
)
async def test_a_role_is_matched_exactly_and_falls_back_to_none(served, name):
    reply = await served.credentials(f"/v1/credentials/{name}")
    assert reply.status == 404
    assert b"ASIA" not in reply.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_only_reading_is_allowed(served, method):
    reply = await served.ask(method, "/v1/credentials", Authorization=BEARER.reveal())
    assert reply.status == 405
    assert reply.headers["allow"] == "GET, HEAD"


async def test_nothing_minted_yet_is_the_ecs_agents_own_code():
    bench = Bench()
    bench.exchange.takes_seconds = 60
    async with serving(bench=bench) as served:
        asking = asyncio.create_task(served.credentials())
        while not served.roles.default.attempting:
            await asyncio.sleep(0.01)  # noqa: TID251  # a real socket takes real time
        await bench.clock.advance(0.8)
        reply = await asking
    assert reply.status == 503
    assert reply.json["Code"] == reply.json["code"] == "CredentialsUninitialized"
    assert reply.headers["retry-after"] == "1"


async def test_a_cold_request_is_held_until_the_attempt_ends():
    bench = Bench()
    async with serving(bench=bench) as served:
        assert (await served.credentials()).status == 200


async def test_after_a_resume_what_has_expired_is_called_so(served):
    served.bench.exchange.takes_seconds = 60
    served.bench.clock.suspend(8 * 3600)
    asking = asyncio.create_task(served.credentials())
    while not served.roles.default.attempting:
        await asyncio.sleep(0.01)  # noqa: TID251  # a real socket takes real time
    await served.bench.clock.advance(0.8)
    reply = await asking
    assert reply.status == 503
    assert reply.json["Code"] == "CredentialsExpired"


async def test_a_failure_with_nothing_held_says_stage_and_reason_in_one_line():
    bench = Bench()
    bench.source.next.append(MintError("gitpod exited with 1: not logged in", remedy="log in"))
    async with serving(bench=bench) as served:
        reply = await served.credentials()
    assert reply.status == 503
    assert reply.json["message"] == ("gitpod exited with 1: not logged in; log in (stage: mint)")
    assert "\n" not in reply.body.decode()


async def test_trouble_is_never_an_error_while_something_can_be_served(served):
    served.bench.exchange.always = ExchangeError("no", retry=Retry.NEVER)
    await served.roles.default.refresh()
    await served.bench.clock.advance(3500)
    assert (await served.credentials()).status == 200
    await served.bench.clock.advance(70)
    assert (await served.credentials()).status == 503
