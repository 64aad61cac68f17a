"""An STS that fails: what is held is served on, and the status says where and why."""

import asyncio
from datetime import datetime
from typing import NamedTuple

import pytest

from imdsd.sandbox import faults
from imdsd.sandbox.app import SandboxRole
from tests.system.relay import Relay
from tests.system.settings import OTHER_ARN, role, settings

EXCHANGE = "AssumeRoleWithWebIdentity"
OTHER_SESSION = "arn:aws:sts::123456789012:assumed-role/other/imdsd"


class Case(NamedTuple):
    """A fault, the stage and the code under which it is told, and words of the reason."""

    fault: faults.Fault
    stage: str
    code: str
    reason: str


PASSING = {
    "reset": Case(faults.reset(), "exchange", "Unreachable", "could not be reached"),
    "500": Case(faults.server_error(500), "exchange", "500", "500"),
    "503": Case(faults.server_error(503), "exchange", "503", "503"),
    "throttling": Case(faults.throttling(), "exchange", "Throttling", "Rate exceeded"),
    "malformed": Case(faults.malformed_xml(), "exchange", "MalformedAnswer", "no answer of STS"),
    "blank": Case(faults.without_credentials(), "exchange", "MalformedAnswer", "without cred"),
    "expired": Case(faults.expired(), "publish", "ExpiryInThePast", "expected well after"),
    "other-role": Case(faults.other_role(OTHER_SESSION), "publish", "WrongRole", OTHER_SESSION),
}
REFUSALS = ("AccessDenied", "InvalidIdentityToken", "IDPCommunicationError", "IDPRejectedClaim")

passing = pytest.mark.parametrize("case", PASSING.values(), ids=PASSING.keys())


async def state(daemon):
    return (await daemon.role())["state"]


async def assert_degraded(daemon, *, stage, code, reason, held):
    """Check that a failed refresh took nothing away and is told everywhere."""
    assert await daemon.access_key_id() == held
    assert (await daemon.ask("GET", "/readyz")).status == 200
    told = await daemon.role()
    assert (told["state"], told["served"]) == ("degraded", True)
    error = told["last_error"]
    assert (error["stage"], error["code"]) == (stage, code)
    assert reason in error["reason"]


@passing
async def test_a_failing_sts_takes_nothing_away(daemons, sandbox, case):
    daemon = await daemons.serve(settings(sandbox)).ready()
    held = await daemon.access_key_id()
    sandbox.sts.faults.always(case.fault)
    failed = await daemon.refresh()
    assert (failed.status, failed.json["Code"]) == (503, case.code)
    await assert_degraded(daemon, stage=case.stage, code=case.code, reason=case.reason, held=held)

    sandbox.sts.faults.clear()
    assert (await daemon.refresh()).status == 200
    assert await state(daemon) == "ok"
    assert await daemon.access_key_id() not in (held, None)


@passing
async def test_with_nothing_held_clients_are_told_why(daemons, sandbox, case):
    sandbox.sts.faults.always(case.fault)
    daemon = await daemons.serve(settings(sandbox)).listening()
    await daemon.until(lambda: last_error(daemon), what="the first attempt fails")
    reply = await daemon.credentials()
    assert (reply.status, reply.json["Code"]) == (503, case.code)
    assert case.reason in reply.json["Message"]
    assert f"(stage: {case.stage})" in reply.json["message"]
    assert "\n" not in reply.json["Message"]
    assert reply.headers["retry-after"] == "1"
    assert (await daemon.ask("GET", "/healthz")).status == 200
    assert (await daemon.ask("GET", "/readyz")).status == 503

    sandbox.sts.faults.clear()
    await daemon.until(daemon.access_key_id, what="it recovers by itself")
    assert await state(daemon) == "ok"


async def last_error(daemon, name=None):
    return (await daemon.role(name))["last_error"]


async def test_credentials_of_another_role_are_counted_and_never_served(daemons, sandbox):
    sandbox.sts.faults.once(faults.other_role(OTHER_SESSION))
    daemon = await daemons.serve(settings(sandbox)).ready()
    assert await daemon.metric("imdsd_wrong_role_total", role="dev") == 1
    told = await daemon.role()
    assert told["assumed_role_arn"].startswith("arn:aws:sts::123456789012:assumed-role/dev/")


OTHERS = {
    "another partition": "arn:aws-cn:sts::123456789012:assumed-role/dev/imdsd",
    "another account": "arn:aws:sts::210987654321:assumed-role/dev/imdsd",
    "another name": OTHER_SESSION,
    "a longer name": "arn:aws:sts::123456789012:assumed-role/dev2/imdsd",
    "another case": "arn:aws:sts::123456789012:assumed-role/Dev/imdsd",
    "with the path": "arn:aws:sts::123456789012:assumed-role/team/dev/imdsd",
    "the path alone": "arn:aws:sts::123456789012:assumed-role/team/imdsd",
    "the role itself": "arn:aws:iam::123456789012:role/team/dev",
    "a user": "arn:aws:sts::123456789012:federated-user/dev",
    "no session": "arn:aws:sts::123456789012:assumed-role/dev/",
    "nothing": "",
}


async def test_whatever_else_sts_says_it_assumed_is_refused(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    held = await daemon.access_key_id()
    for number, (what, arn) in enumerate(OTHERS.items(), start=1):
        sandbox.sts.faults.once(faults.other_role(arn))
        refused = await daemon.refresh()
        assert (refused.status, refused.json["Code"]) == (503, "WrongRole"), what
        assert f"STS returned credentials of {arn}" in refused.json["Message"], what
        assert await daemon.access_key_id() == held, what
        assert await daemon.metric("imdsd_wrong_role_total", role="dev") == number, what


async def test_an_sts_that_is_away_is_recovered_from_by_the_cli(daemons, sandbox):
    async with Relay(sandbox.sts_url) as relay:
        text = settings(sandbox, role(sandbox, sts=relay.url))
        daemon = await daemons.serve(text).ready()
        held = await daemon.access_key_id()
        await relay.close()
        away = await daemons.cli("refresh")
        assert away.returncode == 4
        assert "not refreshed: exchange: STS could not be reached" in away.stdout
        await assert_degraded(
            daemon, stage="exchange", code="Unreachable", reason=relay.url, held=held
        )
        await relay.open()
        back = await daemons.cli("refresh")
        assert (back.returncode, back.stderr) == (0, "")
        assert "dev: refreshed" in back.stdout


async def test_an_sts_that_is_away_is_recovered_from_without_anybody(daemons, sandbox):
    async with Relay(sandbox.sts_url) as relay:
        text = settings(sandbox, role(sandbox, sts=relay.url))
        daemon = await daemons.serve(text).ready()
        held = await daemon.access_key_id()
        await relay.close()
        assert (await daemon.refresh()).status == 503
        await relay.open()

        async def is_new():
            return await daemon.access_key_id() != held

        await daemon.until(is_new, what="new credentials come by themselves")


async def test_a_slow_sts_keeps_nobody_waiting(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    held = await daemon.access_key_id()
    sandbox.sts.faults.always(faults.hang())
    waiting = asyncio.create_task(daemon.refresh())
    await sandbox.sts.faults.until_hanging()
    for _ in range(20):
        assert await daemon.access_key_id() == held
        assert (await daemon.ask("GET", "/healthz")).status == 200
    # Nobody waited for the deadline of the exchange, which is seconds away.
    assert sandbox.sts.faults.hanging == 1
    sandbox.sts.faults.clear()
    assert (await waiting).status == 200


async def test_an_sts_that_never_answers_is_given_up(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    held = await daemon.access_key_id()
    sandbox.sts.faults.always(faults.hang())
    assert (await daemon.refresh()).status == 503
    await assert_degraded(daemon, stage="exchange", code="Unreachable", reason="Timeout", held=held)


async def test_those_who_ask_together_share_one_exchange(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    calls = sandbox.sts.calls(EXCHANGE)
    sandbox.sts.faults.always(faults.hang())
    askers = [asyncio.create_task(daemon.refresh()) for _ in range(10)]
    await sandbox.sts.faults.until_hanging()
    # All ten have asked once the daemon has seen a request that came after theirs.
    await daemon.status()
    sandbox.sts.faults.clear()
    replies = await asyncio.gather(*askers)
    assert [reply.status for reply in replies] == [200] * 10
    assert sandbox.sts.calls(EXCHANGE) - calls == 1


async def test_one_line_is_logged_for_a_change_not_for_a_try(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    sandbox.sts.faults.always(faults.throttling())
    for _ in range(6):
        assert (await daemon.refresh()).status == 503
    assert [event["level"] for event in daemon.events("refresh_failed")] == ["warning"]
    assert (await daemon.role())["failures"] == 6


async def test_the_pause_that_sts_asks_for_is_kept(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    sandbox.sts.faults.once(faults.too_many_requests(retry_after_seconds=40))
    assert (await daemon.refresh()).json["Code"] == "Throttling"
    told = await daemon.role()
    failed_at, next_try = (
        datetime.fromisoformat(text) for text in (told["last_error"]["at"], told["refresh_at"])
    )
    # After that a random part of the first pause, so that not all come back in step.
    assert 40 <= (next_try - failed_at).total_seconds() <= 46


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refusal_is_tried_five_times_and_then_needs_a_person(daemons, sandbox, code):
    sandbox.sts.faults.always(faults.error(code))
    daemon = await daemons.serve(settings(sandbox)).listening()

    async def is_denied():
        await daemon.refresh()
        return await state(daemon) == "denied"

    await daemon.until(is_denied, what="the role is denied")
    assert sandbox.sts.calls(EXCHANGE) == 5
    assert daemon.events("refresh_failed")[-1]["level"] == "error"
    assert (await daemon.credentials()).json["Code"] == code
    assert (await imds_document(daemon))["Code"] == "AssumeRoleUnauthorizedAccess"
    assert sandbox.sts.calls(EXCHANGE) == 5  # requests do not make it hot

    sandbox.sts.faults.clear()
    assert (await daemons.cli("refresh")).returncode == 0
    assert await state(daemon) == "ok"
    assert (await imds_document(daemon))["Code"] == "Success"


async def imds_document(daemon):
    ttl = {"X_aws_ec2_metadata_token_ttl_seconds": "60"}
    token = (await daemon.ask("PUT", "/latest/api/token", **ttl)).body.decode()
    path = "/latest/meta-data/iam/security-credentials/dev"
    reply = await daemon.ask("GET", path, X_aws_ec2_metadata_token=token)
    assert reply.status == 200
    return reply.json


async def test_a_duration_that_the_role_refuses_is_shortened_and_remembered(daemons, sandbox):
    text = settings(sandbox, role(sandbox, duration_seconds=7200))
    daemon = await daemons.serve(text).ready()
    assert (await daemon.refresh()).status == 200
    asked = [request.parameters["DurationSeconds"] for request in sandbox.sts.requests]
    assert asked == ["7200", "3600", "3600"]
    assert len(daemon.events("duration_shortened")) == 1


async def test_a_duration_that_is_refused_whatever_is_asked_needs_a_person(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    held = await daemon.access_key_id()
    sandbox.sts.faults.always(faults.maximum_duration_refused())
    assert (await daemon.refresh()).json["Code"] == "ValidationError"
    assert await state(daemon) == "denied"
    assert await daemon.access_key_id() == held


async def test_a_role_that_does_not_exist_leaves_the_others_served(daemons, sandbox):
    missing = role(sandbox, name="missing", arn="arn:aws:iam::123456789012:role/nobody")
    text = settings(sandbox, role(sandbox, default=True), missing)
    daemon = await daemons.serve(text).ready()
    refused = await daemon.until(lambda: last_error(daemon, "missing"), what="it is refused")
    assert refused["code"] == "AccessDenied"
    assert (await daemon.credentials("/v1/credentials/missing")).status == 503
    assert (await daemon.credentials()).status == 200
    sandbox.add_role(SandboxRole("arn:aws:iam::123456789012:role/nobody"))
    done = await daemons.cli("refresh", "missing")
    assert done.returncode == 0, done.stdout
    assert await daemon.access_key_id("/v1/credentials/missing")


async def test_a_chain_is_walked_and_its_last_role_served(daemons, sandbox):
    text = settings(sandbox, role(sandbox, chain=[OTHER_ARN]))
    daemon = await daemons.serve(text).ready()
    assert (await daemon.credentials()).json["RoleArn"] == OTHER_ARN
    held = await daemon.access_key_id()
    sandbox.sts.faults.once(faults.Fault(), faults.reset())
    assert (await daemon.refresh()).status == 503
    assert await daemon.access_key_id() == held
    assert sandbox.sts.answers["AssumeRole", "ConnectionReset"] == 1
