from __future__ import annotations

import asyncio
import socket
import threading
from datetime import UTC, datetime

import pytest

from imdsd.clock import SystemClock
from imdsd.config import load
from imdsd.daemon.boot import define_roles
from imdsd.doctor.chain.exchange import exchange, look_at_sts
from imdsd.doctor.chain.network import NetworkError, within
from imdsd.sandbox import faults
from imdsd.sandbox.app import Sandbox, SandboxRole
from imdsd.sts import regional_endpoint
from imdsd.tokens.claims import read_claims
from tests.fakes.examined import codes, only
from tests.fakes.stranger import stranger

ARN = "arn:aws:iam::123456789012:role/team/dev"
AUDIENCE = "sts.amazonaws.com"


@pytest.fixture
async def sandbox():
    async with Sandbox(clock=SystemClock(), roles=[SandboxRole(ARN)]) as sandbox:
        yield sandbox


def definition(sandbox, **flags):
    told = {"role_arn": ARN, "region": "eu-west-1", **flags}
    config = load(flags=told, environ={}, usual=[])
    (role,) = config.roles
    from dataclasses import replace

    config = replace(config, roles=(replace(role, sts_endpoint_url=sandbox.sts_url),))
    (defined,) = define_roles(config, environ={})
    return defined


async def exchanged(sandbox, **flags):
    token = sandbox.issuer.issue(AUDIENCE)
    defined = definition(sandbox, **flags)

    def work():
        return list(exchange(defined, token, read_claims(token), clock=SystemClock()))

    return await asyncio.to_thread(work)


async def looked(url, *, environ=None, ca_bundle=None, seconds=5.0):
    def work():
        told = {"ca_bundle": ca_bundle, "clock": SystemClock(), "seconds": seconds}
        return list(look_at_sts(url, environ or {}, **told))

    return await asyncio.to_thread(work)


# Reaching it


async def test_sts_is_reached_and_its_latency_told(sandbox):
    found = only(await looked(sandbox.sts_url), "sts.reached")
    assert found.facts["milliseconds"] >= 0
    assert sandbox.sts.calls("AssumeRoleWithWebIdentity") == 0


async def test_a_name_that_does_not_resolve_is_told():
    found = only(await looked("https://sts.nowhere.invalid"), "sts.name")
    assert "getent hosts sts.nowhere.invalid" in found.remedy


async def test_a_closed_port_is_told():
    found = only(await looked("http://127.0.0.1:1"), "sts.connection")
    assert "firewall" in found.remedy
    assert "port 1" in found.remedy


async def test_a_certificate_that_nobody_trusts_is_told_with_the_setting(tmp_path):
    with stranger({"/": b""}, tls_folder=tmp_path) as url:
        assert "ca_bundle" in only(await looked(url), "sts.tls").remedy
        trusting = await looked(url, ca_bundle=tmp_path / "nobody.pem")
        assert codes(trusting) == ["sts.reached"]


async def test_a_ca_bundle_that_is_none_is_told(tmp_path):
    (tmp_path / "empty.pem").touch()
    with stranger({"/": b""}, tls_folder=tmp_path) as url:
        found = only(await looked(url, ca_bundle=tmp_path / "empty.pem"), "sts.tls")
        assert "empty.pem" in found.found


@pytest.mark.parametrize("answers", [True, False])
async def test_a_proxy_that_lets_nothing_through_is_told(answers):
    with stranger({}) as url:
        proxy = url if answers else "http://127.0.0.1:1"
        found = await looked("https://sts.nowhere.invalid", environ={"HTTPS_PROXY": proxy})
        told = only(found, "sts.proxy")
        assert "NO_PROXY" in told.remedy
        assert ("407" in told.found) is answers


async def test_a_proxy_is_given_the_user_and_password_that_are_set_for_it():
    asked = []
    with stranger({}, connects=asked) as url:
        proxy = url.replace("//", "//user:p%40ss@")
        await looked("https://sts.nowhere.invalid", environ={"HTTPS_PROXY": proxy})
    (headers,) = asked
    assert headers["Proxy-Authorization"] == "Basic dXNlcjpwQHNz"


async def test_a_proxy_of_another_protocol_is_told():
    environ = {"HTTPS_PROXY": "socks5://127.0.0.1:1"}
    assert only(await looked("https://sts.nowhere.invalid", environ=environ), "sts.proxy")


async def test_a_proxy_that_is_no_url_is_told_without_its_password():
    environ = {"HTTPS_PROXY": "http://user:hunter2/x@127.0.0.1:1"}
    found = only(await looked("https://sts.nowhere.invalid", environ=environ), "sts.proxy")
    assert "expected http://HOST:PORT" in found.found
    assert "hunter2" not in str(found)


async def test_a_proxy_without_a_port_is_asked_where_the_exchange_asks_it():
    environ = {"HTTPS_PROXY": "http://127.66.0.1"}
    found = only(await looked("https://sts.nowhere.invalid", environ=environ), "sts.proxy")
    assert "127.66.0.1:80" in found.found


async def test_the_way_through_a_proxy_that_speaks_tls_is_left_to_the_exchange():
    environ = {"HTTPS_PROXY": "https://127.0.0.1:1"}
    found = await looked("https://sts.nowhere.invalid", environ=environ)
    assert codes(found) == ["sts.skipped"]


async def test_a_look_that_ends_by_nothing_is_left_at_the_deadline():
    """A look-up of a name cannot be given one."""
    never = threading.Event()
    with pytest.raises(NetworkError, match=r"no answer within 0\.05 s"):
        await asyncio.to_thread(within, 0.05, never.wait)
    never.set()


async def test_a_server_that_keeps_silent_is_told_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        found = only(await looked(f"http://127.0.0.1:{port}", seconds=0.2), "sts.silence")
        assert "drops packets" in found.remedy


async def test_what_is_no_http_is_told():
    async def answer(_reader, writer):
        writer.write(b"SSH-2.0-OpenSSH_9\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = only(await looked(f"http://127.0.0.1:{port}"), "sts.odd-answer")
        assert "captive portal" in found.remedy


async def test_a_clock_that_differs_from_sts_s_is_told_by_how_much():
    with stranger({"/": b""}, date="Tue, 01 Jan 2030 00:00:00 GMT") as url:
        found = only(await looked(url), "sts.clock-skew")
        expected = datetime(2030, 1, 1, tzinfo=UTC)
        assert "2030-01-01T00:00:00Z" in found.found
        assert (found.facts["ahead_seconds"] < 0) is (SystemClock().now() < expected)
        assert "time synchronization" in found.remedy


@pytest.mark.parametrize("date", ["", "yesterday"])
async def test_a_date_that_is_none_is_passed_over(date):
    with stranger({"/": b""}, date=date or "none") as url:
        assert codes(await looked(url)) == ["sts.reached"]


# The exchange


async def test_a_session_is_told_and_dropped(sandbox):
    found = only(await exchanged(sandbox), "sts.exchanged")
    assert "assumed-role/dev/" in found.found
    assert "Key" not in str(found.facts)
    assert sandbox.sts.calls("AssumeRoleWithWebIdentity") == 1


async def test_access_denied_tells_sub_and_aud_and_how_to_check_the_policy(sandbox):
    sandbox.sts.faults.always(faults.error("AccessDenied"))
    found = only(await exchanged(sandbox), "sts.access-denied")
    subject = read_claims(sandbox.issuer.issue(AUDIENCE)).subject
    assert f"sub {subject} and aud {AUDIENCE}" in found.remedy
    assert "imdsd trust --check role.json" in found.remedy
    assert "--role-name dev " in found.remedy


@pytest.mark.parametrize(
    ("code", "diagnosis", "remedy"),
    [
        ("IDPRejectedClaim", "sts.access-denied", "imdsd trust --check"),
        ("InvalidIdentityToken", "sts.invalid-token", "with the audience sts.amazonaws.com"),
        ("ExpiredTokenException", "sts.expired-token", "clock"),
        ("IDPCommunicationError", "sts.issuer-unreachable", "/.well-known/openid-configuration"),
        ("RegionDisabledException", "sts.region", "activate STS in eu-west-1"),
        ("Throttling", "sts.throttled", "startup_spread_seconds"),
        ("MalformedPolicyDocument", "sts.policy", "policy_arns"),
        ("PackedPolicyTooLarge", "sts.policy", "shorten"),
        ("ValidationError", "sts.parameters", "settings"),
    ],
)
async def test_a_refusal_is_told_with_its_remedy(sandbox, code, diagnosis, remedy):
    sandbox.sts.faults.always(faults.error(code, "said the sandbox", status=400))
    found = only(await exchanged(sandbox), diagnosis)
    assert code in found.found
    assert remedy in found.remedy
    assert found.facts["error"] == code


async def test_a_session_that_is_too_long_is_told_with_both_ways_out(sandbox):
    sandbox.sts.faults.always(faults.maximum_duration_refused())
    found = only(await exchanged(sandbox, duration_seconds=7200), "sts.duration")
    assert "duration_seconds to 3600" in found.remedy
    assert "--max-session-duration 7200" in found.remedy


async def test_a_session_that_is_too_short_for_sdks_is_a_warning(sandbox):
    sandbox.sts.faults.always(faults.lasting(900))
    found = await exchanged(sandbox)
    assert codes(found) == ["sts.exchanged", "sts.short-session"]
    assert "3600" in found[1].remedy


async def test_another_role_s_credentials_are_no_success(sandbox):
    other = "arn:aws:sts::123456789012:assumed-role/other/imdsd"
    sandbox.sts.faults.always(faults.other_role(other))
    found = only(await exchanged(sandbox), "sts.wrong-role")
    assert other in found.found
    assert "sts_endpoint_url" in found.remedy


async def test_what_is_no_answer_of_sts_is_told(sandbox):
    sandbox.sts.faults.always(faults.malformed_xml())
    assert "proxy" in only(await exchanged(sandbox), "sts.odd-answer").remedy


async def test_an_outage_of_sts_is_told(sandbox):
    sandbox.sts.faults.always(faults.server_error())
    found = only(await exchanged(sandbox), "sts.refused")
    assert "503" in found.found
    assert "try again" in found.remedy


async def test_a_connection_that_breaks_in_the_exchange_is_told(sandbox):
    sandbox.sts.faults.always(faults.reset())
    assert only(await exchanged(sandbox), "sts.refused").remedy


async def test_a_session_name_that_needs_a_claim_that_is_not_there_is_told(sandbox):
    found = only(await exchanged(sandbox, session_name="x-{no_such}"), "sts.session-name")
    assert "session_name names the claim" in found.remedy


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("eu-west-1", "https://sts.eu-west-1.amazonaws.com"),
        ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn"),
        ("xx-new-9", "https://sts.xx-new-9.amazonaws.com"),
    ],
)
def test_a_region_has_its_own_endpoint(region, url):
    assert regional_endpoint(region) == url
