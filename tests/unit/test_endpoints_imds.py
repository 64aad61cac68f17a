"""The instance metadata service over a real socket."""

import asyncio
import json
import os

import pytest
from structlog.testing import capture_logs

from imdsd.errors import ExchangeError, MintError, Retry
from imdsd.host.peer import PeerLookup
from imdsd.metadata.events import RebalanceEvent
from imdsd.metadata.settings import MetadataSettings
from tests.fakes.refresh import Bench
from tests.fakes.served import serving

ME = os.geteuid()
TTL = "x-aws-ec2-metadata-token-ttl-seconds"
ROLES = "/latest/meta-data/iam/security-credentials"
TOP_OF_A_BARE_MACHINE = (
    b"events/\nhostname\niam/\nidentity-credentials/\ninstance-action\ninstance-id\n"
    b"local-hostname\nplacement/\nservices/"
)


@pytest.fixture
async def served():
    bench = Bench()
    async with serving(bench=bench) as served:
        await served.roles.default.refresh()
        yield served


async def put(served, *lines, path="/latest/api/token"):
    head = [f"PUT {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "Connection: close", "", ""]
    return await served.send("\r\n".join(head).encode())


async def test_a_token_comes_with_its_ttl_in_a_header(served):
    reply = await put(served, f"{TTL}: 300")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/plain"
    assert reply.headers[TTL] == "300"
    assert "X-Aws-Ec2-Metadata-Token-Ttl-Seconds" in reply.header_names
    assert len(reply.body) == 56
    assert reply.headers["server"] == "EC2ws"


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 0",),
        ("Content-Type: application/x-www-form-urlencoded", "Content-Length: 0"),
        ("Transfer-Encoding: chunked", "Expect: 100-continue"),
    ],
)
async def test_a_token_is_given_however_a_client_words_an_empty_body(served, lines):
    assert (await put(served, f"{TTL}: 60", *lines)).status == 200


@pytest.mark.parametrize("ttl", ["", "0", "21601", "-5", "+60", "1.5", "abc", "٦٠"])
async def test_a_ttl_that_is_no_whole_number_in_range_is_400(served, ttl):
    reply = await put(served, f"{TTL}: {ttl}")
    assert reply.status == 400


async def test_a_missing_or_doubled_ttl_is_400(served):
    assert (await put(served)).status == 400
    assert (await put(served, f"{TTL}: 60", f"{TTL}: 60")).status == 400


async def test_an_endpoint_that_ends_in_a_slash_gets_its_token(served):
    assert (await put(served, f"{TTL}: 60", path="//latest/api/token")).status == 200


@pytest.mark.parametrize("path", ["/latest/api/token/", "/2021-03-23/api/token"])
async def test_other_spellings_of_the_token_path_are_403_and_empty(served, path):
    reply = await put(served, f"{TTL}: 60", path=path)
    assert (reply.status, reply.body) == (403, b"")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD"])
async def test_other_methods_on_the_token_path_are_405(served, method):
    reply = await served.ask(method, "/latest/api/token")
    assert (reply.status, reply.body) == (405, b"")
    assert reply.headers["allow"] == "OPTIONS, PUT"


async def test_options_on_the_token_path_says_what_is_allowed(served):
    reply = await served.ask("OPTIONS", "/latest/api/token")
    assert reply.status == 200
    assert reply.headers["allow"] == "OPTIONS, PUT"


@pytest.mark.parametrize("path", ["/", "/latest/meta-data/", "/latest/nothing", "/favicon.ico"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_no_token_is_401_and_empty_before_anything_is_looked_up(served, method, path):
    reply = await served.ask(method, path)
    assert (reply.status, reply.body) == (401, b"")
    assert reply.headers["content-type"] == "text/plain"


@pytest.mark.parametrize("allow_imdsv1", [False, True])
async def test_a_forged_or_expired_token_is_401_whatever_is_allowed(allow_imdsv1):
    bench = Bench()
    async with serving(bench=bench, allow_imdsv1=allow_imdsv1) as served:
        token = await served.imds_token()
        forged = await served.ask("GET", "/latest/", X_aws_ec2_metadata_token="x" * 56)
        assert forged.status == 401
        await bench.clock.advance(21600)
        late = await served.ask("GET", "/latest/", X_aws_ec2_metadata_token=token)
        assert late.status == 401


async def test_imdsv1_is_served_and_counted_where_it_is_allowed():
    bench = Bench()
    async with serving(bench=bench, allow_imdsv1=True) as served:
        await served.roles.default.refresh()
        reply = await served.ask("GET", f"{ROLES}/dev")
        assert reply.status == 200
        assert TTL not in reply.headers
        assert bench.metric("imdsd_imdsv1_requests_total") == 1


@pytest.mark.parametrize(
    ("names", "user"), [({ME: "app"}, "app"), ({ME + 1: "other"}, str(ME)), ({}, str(ME))]
)
async def test_who_used_imdsv1_is_counted_and_logged_by_name_or_number(names, user):
    bench = Bench()
    async with serving(bench=bench, allow_imdsv1=True, user_names=names) as served:
        with capture_logs() as logs:
            await served.ask("GET", "/latest/")
        assert bench.metric("imdsd_imdsv1_requests_total", user=user) == 1
    (event,) = (each for each in logs if each["event"] == "imdsv1_used")
    assert event == {
        "event": "imdsv1_used", "log_level": "debug", "user": user, "path": "/latest/",
    }  # fmt: skip


class SeeingNobody(PeerLookup):
    """What the kernel tells of clients that are in another network namespace."""

    def find_peer(self, local, remote):
        return None


async def test_who_cannot_be_told_on_an_open_listener_is_unknown():
    bench = Bench()
    peers = SeeingNobody()
    async with serving(bench=bench, allow_imdsv1=True, imds="open", peers=peers) as served:
        assert (await served.ask("GET", "/latest/")).status == 200
        assert bench.metric("imdsd_imdsv1_requests_total", user="unknown") == 1


class Counting(PeerLookup):
    """The kernel's word, and how often it was asked for."""

    asked = 0

    def find_peer(self, local, remote):
        self.asked += 1
        return super().find_peer(local, remote)


async def test_the_kernel_is_asked_once_for_a_connection_whatever_it_is_asked_for():
    bench = Bench()
    peers = Counting()
    async with serving(bench=bench, allow_imdsv1=True, peers=peers) as served:
        assert (await served.ask("GET", "/latest/")).status == 200
        assert bench.metric("imdsd_imdsv1_requests_total", user=str(ME)) == 1
    assert peers.asked == 1


async def test_nobody_is_asked_for_where_imds_is_open_and_tokens_are_brought():
    peers = Counting()
    async with serving(bench=Bench(), imds="open", peers=peers) as served:
        assert (await served.imds("/latest/")).status == 200
    assert peers.asked == 0


async def test_the_versions_and_branches_are_listed(served):
    versions = (await served.imds("/")).body.decode().split("\n")
    assert versions[0] == "1.0"
    assert versions[-1] == "latest"
    assert len(versions) == 27
    for version in ("latest", "2021-03-23", "1.0"):
        for slash in ("", "/"):
            reply = await served.imds(f"/{version}{slash}")
            assert reply.body == b"dynamic\nmeta-data\nuser-data"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/latest/meta-data", TOP_OF_A_BARE_MACHINE),
        ("/latest/meta-data/", TOP_OF_A_BARE_MACHINE),
        ("//latest//meta-data//placement//", b"availability-zone\nregion"),
        ("/latest/meta-data/placement/region", b"eu-central-1"),
        ("/latest/meta-data/placement/region/", b"eu-central-1"),
        ("/2009-04-04/meta-data/placement/availability-zone", b"eu-central-1a"),
        (ROLES, b"dev"),
        (ROLES + "/", b"dev"),
    ],
)
async def test_directories_and_leaves_answer_with_and_without_slashes(served, path, body):
    reply = await served.imds(path)
    assert (reply.status, reply.body) == (200, body)
    assert reply.headers["content-type"] == "text/plain"
    assert 21590 <= int(reply.headers[TTL]) <= 21600


async def test_head_has_the_headers_of_get_and_no_body(served):
    reply = await served.imds("/latest/meta-data/placement/region", method="HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-length"] == "12"


@pytest.mark.parametrize("path", ["/latest/user-data", "/latest/meta-data/spot", "/3000-01-01/"])
async def test_what_does_not_apply_is_the_real_services_404_page(served, path):
    reply = await served.imds(path)
    assert reply.status == 404
    assert reply.headers["content-type"] == "text/html"
    assert len(reply.body) == 339
    assert reply.body.split(b"\n")[2].startswith(b"\t\t ")
    assert reply.body.endswith(b"</html>\n")


async def test_the_role_document_holds_the_default_roles_credentials(served):
    reply = await served.imds(f"{ROLES}/dev")
    assert reply.headers["content-type"] == "text/plain"
    assert reply.json["Code"] == "Success"
    assert reply.json["AccessKeyId"] == "ASIA0000000000000001"


@pytest.mark.parametrize("name", ["other", "DEV", "dev%2f", "..", "dev/x"])
async def test_only_the_default_roles_name_is_known(served, name):
    reply = await served.imds(f"{ROLES}/{name}")
    assert reply.status == 404
    assert b"ASIA" not in reply.body


async def test_a_denied_role_says_why_in_the_form_sdks_show():
    bench = Bench()
    bench.exchange.always = ExchangeError("AccessDenied: no", retry=Retry.NEVER, remedy="ask")
    async with serving(bench=bench) as served:
        await served.roles.default.refresh()
        assert (await served.imds(ROLES)).body == b"dev"
        reply = await served.imds(f"{ROLES}/dev")
    assert reply.status == 200
    assert reply.json["Code"] == "AssumeRoleUnauthorizedAccess"
    assert reply.json["Message"] == "AccessDenied: no; ask (stage: exchange)"


async def test_before_the_first_credentials_the_role_is_listed_and_its_document_503():
    bench = Bench()
    bench.source.next.append(MintError("not yet"))
    async with serving(bench=bench) as served:
        assert (await served.imds(ROLES)).body == b"dev"
        assert (await served.imds("/latest/meta-data/placement/region")).status == 200
        reply = await served.imds(f"{ROLES}/dev")
        assert reply.status == 503
        assert reply.headers["retry-after"] == "1"
        assert (await served.imds("/latest/meta-data/instance-id")).status == 503


async def test_expired_credentials_are_never_served(served):
    served.bench.exchange.always = ExchangeError("unreachable")
    await served.bench.clock.advance(3570)
    assert (await served.imds(f"{ROLES}/dev")).status == 503


async def test_a_user_who_is_not_allowed_gets_403_whatever_it_brings():
    bench = Bench()
    async with serving(bench=bench, allowed_uids=frozenset({65534})) as served:
        reply = await put(served, f"{TTL}: 60")
        assert (reply.status, reply.body) == (403, b"")
        assert bench.metric("imdsd_guard_refusals_total", guard="peer") == 1
        assert (await served.credentials()).status == 200


@pytest.mark.parametrize(("imds", "status"), [("open", 200), ("off", 403)])
async def test_a_listener_may_open_or_close_the_service(imds, status):
    async with serving(bench=Bench(), imds=imds, allowed_uids=frozenset({65534})) as served:
        assert (await put(served, f"{TTL}: 60")).status == status


async def test_the_identity_document_is_served(served):
    reply = await served.imds("/latest/dynamic/instance-identity/document")
    assert json.loads(reply.body)["region"] == "eu-central-1"


async def test_a_cold_role_document_is_held_for_less_than_half_a_second():
    bench = Bench()
    bench.exchange.takes_seconds = 60
    async with serving(bench=bench) as served:
        asking = asyncio.create_task(served.imds(f"{ROLES}/dev"))
        while not served.roles.default.attempting:
            await asyncio.sleep(0.01)  # noqa: TID251  # a real socket takes real time
        await bench.clock.advance(0.4)
        assert (await asking).status == 503


async def test_user_data_is_served_as_bytes():
    settings = MetadataSettings({"user-data": b"#!/bin/sh\n\xff\x00"})
    async with serving(bench=Bench(), settings=settings) as served:
        reply = await served.imds("/latest/user-data/")
    assert (reply.status, reply.body) == (200, b"#!/bin/sh\n\xff\x00")
    assert reply.headers["content-type"] == "application/octet-stream"


async def test_an_event_is_seen_from_its_notice_on_until_it_is_cleared():
    notice = "/latest/meta-data/events/recommendations/rebalance"
    async with serving(bench=Bench()) as served:
        served.events.add(RebalanceEvent(after_seconds=60))
        assert (await served.imds(notice)).status == 404
        await served.bench.clock.advance(60)
        assert (await served.imds(notice)).json == {"noticeTime": "2026-01-01T00:01:00Z"}
        served.events.clear()
        assert (await served.imds(notice)).status == 404


async def test_every_answer_ends_its_connection_as_the_real_services_does(served):
    token = await served.imds_token()
    for path, status in (("/latest/", 200), ("/latest/nothing", 404)):
        head = (f"GET {path} HTTP/1.1", "Host: 127.0.0.1", f"X-aws-ec2-metadata-token: {token}")
        reply = await served.send("\r\n".join([*head, "", ""]).encode())
        assert (reply.status, reply.headers["connection"]) == (status, "close")
