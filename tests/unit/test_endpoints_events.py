"""`/events` over a real socket: who may, what is refused, what clients of IMDS then see."""

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from imdsd.metadata.events import EVENTS_LIMIT, KINDS, parse_event
from tests.fakes.refresh import Bench
from tests.fakes.served import BEARER, parse, serving

ACTION = "/latest/meta-data/spot/instance-action"
SPOT = {"kind": "spot", "action": "stop", "in_seconds": 60}


@pytest.fixture
async def served():
    bench = Bench()
    async with serving(bench=bench) as served:
        yield served


def raw(served, body, *headers, method="POST", path="/events", bearer=BEARER):
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: 127.0.0.1:{served.port}",
        "Connection: close",
        *([f"Authorization: {bearer.reveal()}"] if bearer else []),
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def post(served, document, **more):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return await served.send(raw(served, body, f"Content-Length: {len(body)}", **more))


async def ask(served, method="GET", path="/events"):
    return await served.ask(method, path, Authorization=BEARER.reveal())


# Setting


async def test_a_spot_event_is_seen_by_clients_at_once(served):
    assert (await served.imds(ACTION)).status == 404
    reply = await post(served, SPOT)
    assert reply.status == 200
    assert reply.body.count(b"\n") == 1
    assert reply.json == {
        "kind": "spot",
        "action": "stop",
        "in_seconds": 60,
        "after_seconds": 0,
        "configured": False,
        "in_force": True,
        "appears_at": "2026-01-01T00:00:00Z",
        "time": "2026-01-01T00:01:00Z",
        "paths": [ACTION],
    }
    assert (await served.imds(ACTION)).body == b'{"action": "stop", "time": "2026-01-01T00:01:00Z"}'


@pytest.mark.parametrize(
    ("document", "instants"),
    [
        ({"kind": "spot"}, {"time": "2026-01-01T00:02:00Z"}),
        ({"kind": "rebalance"}, {"notice_time": "2026-01-01T00:00:00Z"}),
        ({"kind": "autoscaling", "state": "Terminated"}, {}),
        ({"kind": "maintenance", "code": "instance-stop", "in_seconds": 1, "until_seconds": 2, "state": "completed"}, {"not_before": "2026-01-01T00:00:01Z", "not_after": "2026-01-01T00:00:02Z"}),
        ({"kind": "maintenance", "code": "instance-stop", "in_seconds": 1, "until_seconds": 2}, {"not_before": "2026-01-01T00:00:01Z", "not_after": "2026-01-01T00:00:02Z"}),
    ],
)  # fmt: skip
async def test_the_answer_tells_the_paths_and_instants_that_clients_see(served, document, instants):
    reply = (await post(served, document)).json
    assert reply.items() >= instants.items()
    assert [(await served.imds(path)).status for path in reply["paths"]] == [200] * len(
        reply["paths"]
    )
    assert (await ask(served)).json == {"events": [reply]}


async def test_a_listing_has_a_category_only_while_it_applies(served):
    async def listing(path=""):
        return (await served.imds(f"/latest/meta-data/{path}")).body.decode().split("\n")

    before = await listing()
    assert {"spot/", "autoscaling/"} & set(before) == set()
    assert await listing("events/") == ["maintenance/"]
    assert await listing("events/maintenance") == ["history", "scheduled"]
    for document in (SPOT, {"kind": "rebalance"}, {"kind": "autoscaling", "state": "InService"}):
        await post(served, document)
    assert set(await listing()) - set(before) == {"spot/", "autoscaling/"}
    assert await listing("events/") == ["maintenance/", "recommendations/"]
    assert await listing("spot/") == ["instance-action"]
    await ask(served, "DELETE")
    assert await listing() == before


async def test_an_event_that_is_pending_is_listed_and_not_seen(served):
    reply = await post(served, {**SPOT, "after_seconds": 30})
    assert reply.json["in_force"] is False
    assert reply.json["appears_at"] == "2026-01-01T00:00:30Z"
    assert reply.json["time"] == "2026-01-01T00:01:30Z"
    assert (await served.imds(ACTION)).status == 404
    await served.bench.clock.advance(30)
    assert (await served.imds(ACTION)).status == 200
    assert [each["in_force"] for each in (await ask(served)).json["events"]] == [True]


async def test_a_configured_event_is_listed_as_one(served):
    served.events.replace_configured([parse_event({"kind": "rebalance"})])
    assert [each["configured"] for each in (await ask(served)).json["events"]] == [True]


# Clearing


async def test_clearing_says_how_many(served):
    for kind in ({"kind": "rebalance"}, SPOT, {"kind": "autoscaling", "state": "Standby"}):
        await post(served, kind)
    assert (await ask(served, "DELETE", "/events/spot")).json == {"cleared": 1}
    assert (await ask(served, "DELETE", "/events/spot")).json == {"cleared": 0}
    assert (await ask(served, "DELETE")).json == {"cleared": 2}
    assert (await ask(served)).json == {"events": []}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_can_be_cleared(served, kind):
    assert (await ask(served, "DELETE", f"/events/{kind}")).json == {"cleared": 0}


async def test_an_unknown_kind_is_404_and_names_the_nearest(served):
    reply = await ask(served, "DELETE", "/events/sport")
    assert reply.status == 404
    assert reply.json["Code"] == "EventKindNotFound"
    assert reply.json["Message"].endswith("did you mean spot?")


# Refusing


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/events"), ("HEAD", "/events"), ("POST", "/events"), ("DELETE", "/events"), ("DELETE", "/events/spot"), ("DELETE", "/events/nope")],
)  # fmt: skip
async def test_nothing_is_done_without_the_bearer(served, method, path):
    served.events.add(parse_event({"kind": "rebalance"}))
    for authorization in ("", "wrong", f"Bearer {BEARER.reveal()}"):
        headers = [f"Authorization: {authorization}"] if authorization else []
        body = b'{"kind": "spot"}' if method == "POST" else b""
        sent = raw(served, body, f"Content-Length: {len(body)}", *headers, method=method, path=path, bearer=None)  # fmt: skip
        assert (await served.send(sent)).status == 401
    assert [entry.event.kind for entry in served.events.entries()] == ["rebalance"]


async def test_without_the_bearer_the_body_is_not_looked_at(served):
    reply = await post(served, b"{nonsense", bearer=None)
    assert (reply.status, reply.json["Code"]) == (401, "Unauthorized")


async def test_guards_come_before_the_bearer_and_the_body(served):
    body = b'{"kind": "spot"}'
    sent = raw(served, body, f"Content-Length: {len(body)}", "Origin: http://evil.test")
    reply = await served.send(sent)
    assert (reply.status, reply.json["Code"]) == (403, "Refused")
    assert served.events.entries() == ()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("PUT", "/events", "GET, HEAD, POST, DELETE"), ("GET", "/events/spot", "DELETE"), ("POST", "/events/spot", "DELETE")],
)  # fmt: skip
async def test_another_method_is_405_with_what_is_allowed(served, method, path, allowed):
    reply = await ask(served, method, path)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"spot"', b"null", b"\xff\xfe", b"[" * 1024, b'{"a":' * 200, b"1" * 1024],
    ids=repr,
)
async def test_a_body_that_is_no_object_is_400(served, body):
    reply = await post(served, body)
    assert (reply.status, reply.json["Code"]) == (400, "InvalidEvent")
    assert reply.json["Message"] == (
        'the body: found something else, expected a JSON object such as {"kind": "spot"}'
    )


async def test_an_event_that_cannot_be_is_400_and_says_why(served):
    reply = await post(served, {"kind": "spot", "action": "sotp"})
    assert (reply.status, reply.json["Code"]) == (400, "InvalidEvent")
    assert reply.json["Message"] == (
        "action: found 'sotp', expected one of hibernate, stop, terminate; did you mean stop?"
    )
    assert served.events.entries() == ()


async def test_a_full_board_is_409(served):
    for _ in range(EVENTS_LIMIT):
        served.events.add(parse_event({"kind": "rebalance", "after_seconds": 9}))
    reply = await post(served, SPOT)
    assert (reply.status, reply.json["Code"]) == (409, "TooManyEvents")


# The body


async def test_a_body_of_a_kibibyte_is_taken_and_one_byte_more_is_413(served):
    def padded(size):
        body = json.dumps(SPOT).encode()
        return body + b" " * (size - len(body))

    assert (await post(served, padded(1024))).status == 200
    assert (await post(served, padded(1025))).status == 413


async def test_a_chunked_body_is_read_whole(served):
    body = json.dumps(SPOT).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    sent = raw(served, chunks, "Transfer-Encoding: chunked")
    assert (await served.send(sent)).status == 200
    padding = b"10\r\n" + b" " * 16 + b"\r\n"
    sent = raw(served, padding * 65 + b"0\r\n\r\n", "Transfer-Encoding: chunked")
    assert (await served.send(sent)).status == 413


async def test_a_client_that_waits_to_be_told_to_continue_is_told_so(served):
    body = json.dumps(SPOT).encode()
    head = raw(served, b"", f"Content-Length: {len(body)}", "Expect: 100-continue")
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    async with asyncio.timeout(10):
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        reply = parse(await reader.read())
    writer.close()
    await writer.wait_closed()
    assert (reply.status, reply.json["kind"]) == (200, "spot")


async def test_elsewhere_nobody_is_told_to_continue(served):
    sent = raw(served, b"", "Content-Length: 5", "Expect: 100-continue", path="/refresh", bearer=None)  # fmt: skip
    assert (await served.send(sent)).status == 401


async def test_the_connection_stays_usable_after_a_body(served):
    body = json.dumps(SPOT).encode()
    first = raw(served, body, f"Content-Length: {len(body)}").replace(b"Connection: close\r\n", b"")
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    async with asyncio.timeout(10):
        writer.write(first + raw(served, b"", method="GET"))
        answers = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answers.count(b"HTTP/1.1 200 OK") == 2


# Telling


async def test_the_log_tells_of_changes_and_not_what_a_person_wrote(served):
    with capture_logs() as logs:
        await post(served, {"kind": "maintenance", "code": "system-reboot", "description": "mine"})
        await ask(served)
        await ask(served, "DELETE")
        await ask(served, "DELETE")
    assert [entry["event"] for entry in logs] == ["event_set", "events_cleared"]
    assert logs[0]["code"] == "system-reboot"
    assert logs[0]["appears_at"] == "2026-01-01T00:00:00Z"
    assert "mine" not in str(logs)
    assert (logs[1]["kind"], logs[1]["cleared"]) == ("all", 1)


async def test_events_are_counted_as_requests_of_the_ops_face(served):
    await ask(served)
    metrics = (await served.ask("GET", "/metrics")).body.decode()
    assert 'imdsd_requests_total{endpoint="ops",status="200"} 1.0' in metrics
