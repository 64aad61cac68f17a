"""Health, readiness, status, metrics and refresh over a real socket."""

import asyncio

import pytest

from imdsd.errors import ExchangeError, MintError, Retry
from tests.fakes.refresh import ROLE_ARN, Bench
from tests.fakes.served import BEARER, serving


@pytest.fixture
async def served():
    bench = Bench()
    definitions = (bench.definition(aliases=("old",)), bench.definition("b", duration_seconds=900))
    async with serving(*definitions, bench=bench) as served:
        yield served


async def post(served, path="/refresh"):
    return await served.ask("POST", path, Authorization=BEARER.reveal())


async def test_alive_does_not_depend_on_sts_and_ready_does(served):
    assert (await served.ask("GET", "/healthz")).status == 200
    reply = await served.ask("GET", "/readyz")
    assert reply.status == 503
    assert reply.json == {"state": "starting", "role": "dev", "seconds_left": 0}
    await served.roles.default.refresh()
    reply = await served.ask("GET", "/readyz")
    assert reply.status == 200
    assert reply.json == {"state": "ok", "role": "dev", "seconds_left": 3600}
    assert reply.body.count(b"\n") == 1


async def test_readiness_says_what_is_wrong(served):
    served.bench.source.next.append(MintError("not logged in", remedy="log in"))
    await served.roles.default.refresh()
    reply = await served.ask("GET", "/readyz")
    assert reply.json["reason"] == "not logged in; log in (stage: mint)"


async def test_the_status_tells_everything_but_secrets(served):
    await served.roles.default.refresh()
    served.bench.exchange.next.append(ExchangeError("no", retry=Retry.NEVER, code="AccessDenied"))
    await served.roles.find("b").refresh()
    status = (await served.ask("GET", "/status")).json
    dev, other = status["roles"]
    assert status["default_role"] == "dev"
    assert dev["state"] == "ok"
    assert dev["served"] is dev["default"] is True
    assert dev["aliases"] == ["old"]
    assert dev["role_arn"] == ROLE_ARN
    assert dev["expires_at"] == "2026-01-01T01:00:00Z"
    assert dev["refresh_at"] == "2026-01-01T00:28:00Z"
    assert dev["token_source"] == "a fake"
    assert dev["refreshes"] == 1
    assert other["state"] == "denied"
    assert other["served"] is False
    assert other["last_error"]["code"] == "AccessDenied"
    assert other["last_error"]["stage"] == "exchange"


async def test_a_refresh_answers_when_the_attempt_has_ended(served):
    served.bench.exchange.takes_seconds = 3
    asking = asyncio.create_task(post(served))
    while not served.roles.default.attempting:
        await asyncio.sleep(0.01)  # noqa: TID251  # a real socket takes real time
    await served.bench.clock.advance(3)
    reply = await asking
    assert reply.status == 200
    assert [role["refreshed"] for role in reply.json["roles"]] == [True, True]


async def test_one_role_can_be_refreshed_by_name_or_alias(served):
    reply = await post(served, "/refresh/old")
    assert [role["name"] for role in reply.json["roles"]] == ["dev"]
    assert len(served.bench.exchange.asked) == 1
    assert (await post(served, "/refresh/nobody")).status == 404


async def test_a_refresh_that_fails_says_so(served):
    served.bench.exchange.always = ExchangeError("AccessDenied: no", code="AccessDenied")
    reply = await post(served, "/refresh/b")
    assert reply.status == 503
    assert reply.json["Code"] == "AccessDenied"
    assert reply.json["roles"][0]["refreshed"] is False


async def test_a_refresh_needs_the_bearer_and_the_right_method(served):
    assert (await served.ask("POST", "/refresh")).status == 401
    assert (await served.ask("GET", "/refresh", Authorization=BEARER.reveal())).status == 405
    assert served.bench.exchange.asked == []


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/status", "/metrics"])
async def test_pages_are_read_only(served, path):
    assert (await served.ask("POST", path)).status == 405


async def test_the_metrics_tell_state_expiry_and_failures(served):
    await served.roles.default.refresh()
    served.bench.exchange.always = ExchangeError("no", code="Unreachable")
    await served.roles.default.refresh()
    reply = await served.ask("GET", "/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    metric = served.bench.metric
    assert metric("imdsd_role_state", role="dev", state="degraded") == 1
    assert metric("imdsd_role_state", role="b", state="starting") == 1
    assert metric("imdsd_credentials_expiry_timestamp_seconds", role="dev") == 1767229200
    assert metric("imdsd_credentials_remaining_seconds", role="dev") == 3600
    assert (
        metric("imdsd_refresh_failures_total", role="dev", stage="exchange", code="Unreachable")
        == 1
    )
    assert metric("imdsd_refresh_duration_seconds_count", role="dev") == 2
