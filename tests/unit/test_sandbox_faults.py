"""What each fault looks like on the wire, and which request it meets."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from xml.etree import ElementTree as ET

import aiohttp
import pytest

from imdsd.clock import SystemClock
from imdsd.sandbox import faults
from imdsd.sandbox.app import Sandbox, SandboxRole

ROLE = "arn:aws:iam::123456789012:role/dev"
NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"


class SignalledClock(SystemClock):
    """A clock whose sleepers wake when the test says so."""

    def __init__(self):
        self.asked = asyncio.Queue()
        self.over = asyncio.Event()

    async def sleep(self, seconds):
        self.asked.put_nowait(seconds)
        await self.over.wait()


@pytest.fixture
async def clock():
    return SignalledClock()


@pytest.fixture
async def sandbox(clock):
    async with Sandbox(clock=clock, roles=[SandboxRole(ROLE)]) as running:
        yield running


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


async def exchange(sandbox, http):
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "session",
        "WebIdentityToken": sandbox.issuer.issue("sts.amazonaws.com").reveal(),
    }
    async with http.post(sandbox.sts_url, data=form) as response:
        return response.status, response.headers, await response.text()


def text_of(body, name):
    return ET.fromstring(body).findtext(f".//{NAMESPACE}{name}")


async def test_queued_faults_meet_one_request_each_and_then_all_is_well(sandbox, http):
    sandbox.sts.faults.once(faults.server_error(), faults.throttling())
    answers = [await exchange(sandbox, http) for _ in range(3)]
    assert [status for status, _, _ in answers] == [503, 400, 200]


async def test_a_standing_fault_stays_until_cleared_and_lets_queued_ones_go_first(sandbox, http):
    sandbox.sts.faults.always(faults.server_error(500))
    sandbox.sts.faults.once(faults.server_error(502))
    assert [(await exchange(sandbox, http))[0] for _ in range(3)] == [502, 500, 500]
    sandbox.sts.faults.clear()
    assert (await exchange(sandbox, http))[0] == 200


async def test_get_caller_identity_is_never_spoiled(sandbox, http):
    sandbox.sts.faults.always(faults.server_error())
    form = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
    async with http.post(sandbox.sts_url, data=form) as response:
        assert response.status == 403
        assert "MissingAuthenticationToken" in await response.text()


async def test_a_delay_is_measured_on_the_sandboxs_clock(sandbox, http, clock):
    sandbox.sts.faults.once(faults.delay(150))
    asking = asyncio.create_task(exchange(sandbox, http))
    assert await clock.asked.get() == 150
    assert not asking.done()
    clock.over.set()
    assert (await asking)[0] == 200


async def test_hanging_requests_go_on_when_released(sandbox, http):
    sandbox.sts.faults.once(faults.hang(), faults.hang())
    asking = [asyncio.create_task(exchange(sandbox, http)) for _ in range(2)]
    await sandbox.sts.faults.until_hanging(2)
    assert sandbox.sts.requests == []
    sandbox.sts.faults.release()
    assert [status for status, _, _ in await asyncio.gather(*asking)] == [200, 200]
    assert sandbox.sts.faults.hanging == 0


async def test_a_release_is_no_pardon_for_those_that_hang_later(sandbox, http):
    sandbox.sts.faults.release()
    sandbox.sts.faults.once(faults.hang())
    asking = asyncio.create_task(exchange(sandbox, http))
    await sandbox.sts.faults.until_hanging(1)
    sandbox.sts.faults.clear()
    assert (await asking)[0] == 200


async def test_a_sandbox_with_a_hanging_request_stops_all_the_same(http, clock):
    async with asyncio.timeout(5):
        async with Sandbox(clock=clock, roles=[SandboxRole(ROLE)]) as sandbox:
            sandbox.sts.faults.always(faults.hang())
            asking = asyncio.create_task(exchange(sandbox, http))
            await sandbox.sts.faults.until_hanging(1)
        await asyncio.gather(asking, return_exceptions=True)


async def test_a_sandbox_with_a_delayed_request_stops_all_the_same(http, clock):
    async with asyncio.timeout(5):
        async with Sandbox(clock=clock, roles=[SandboxRole(ROLE)]) as sandbox:
            sandbox.sts.faults.once(faults.delay(3600))
            asking = asyncio.create_task(exchange(sandbox, http))
            await clock.asked.get()
        (outcome,) = await asyncio.gather(asking, return_exceptions=True)
        assert isinstance(outcome, aiohttp.ClientError)


async def test_a_reset_is_seen_as_one_and_logged(sandbox, http):
    sandbox.sts.faults.once(faults.reset())
    with pytest.raises((ConnectionResetError, aiohttp.ClientOSError)):
        await exchange(sandbox, http)
    assert sandbox.sts.requests[-1].code == "ConnectionReset"


async def test_too_many_requests_say_when_to_come_back(sandbox, http):
    sandbox.sts.faults.once(faults.too_many_requests(retry_after_seconds=7))
    status, headers, body = await exchange(sandbox, http)
    assert (status, headers["Retry-After"]) == (429, "7")
    assert text_of(body, "Code") == "Throttling"


async def test_malformed_xml_cannot_be_parsed(sandbox, http):
    sandbox.sts.faults.once(faults.malformed_xml())
    status, _, body = await exchange(sandbox, http)
    assert status == 200
    with pytest.raises(ET.ParseError):
        ET.fromstring(body)


async def test_an_answer_without_credentials_has_everything_else(sandbox, http):
    sandbox.sts.faults.once(faults.without_credentials())
    status, _, body = await exchange(sandbox, http)
    assert status == 200
    assert text_of(body, "Arn").endswith("assumed-role/dev/session")
    assert text_of(body, "AccessKeyId") is None


@pytest.mark.parametrize(
    ("fault", "seconds"), [(faults.expired(), -3600), (faults.lasting(90), 90)]
)
async def test_a_session_lasts_as_the_fault_says(sandbox, http, fault, seconds):
    before = SystemClock().now().replace(microsecond=0)
    sandbox.sts.faults.once(fault)
    _, _, body = await exchange(sandbox, http)
    expires_at = before.fromisoformat(text_of(body, "Expiration"))
    lasted = expires_at - before
    assert timedelta(seconds=seconds) <= lasted <= timedelta(seconds=seconds + 30)


async def test_another_roles_arn_can_be_answered(sandbox, http):
    other = "arn:aws:sts::123456789012:assumed-role/other/session"
    sandbox.sts.faults.once(faults.other_role(other))
    _, _, body = await exchange(sandbox, http)
    assert text_of(body, "Arn") == other


async def test_a_maximum_duration_is_refused_in_the_real_words(sandbox, http):
    sandbox.sts.faults.once(faults.maximum_duration_refused())
    status, _, body = await exchange(sandbox, http)
    assert (status, text_of(body, "Code")) == (400, "ValidationError")
    assert "exceeds the MaxSessionDuration set for this role" in text_of(body, "Message")


async def test_an_error_may_have_a_text_and_a_status_of_its_own(sandbox, http):
    sandbox.sts.faults.once(faults.error("AccessDenied", "no <entry> & no way", status=418))
    status, _, body = await exchange(sandbox, http)
    assert (status, text_of(body, "Message")) == (418, "no <entry> & no way")
