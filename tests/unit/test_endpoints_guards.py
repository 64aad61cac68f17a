"""Who is refused before anything is looked up, over a real socket."""

import pytest

from imdsd.endpoints.door.limits import HEADERS, LINE_BYTES
from imdsd.endpoints.guards import host_names
from tests.fakes.refresh import Bench
from tests.fakes.served import BEARER, serving

PATHS = ["/v1/credentials", "/latest/meta-data/", "/latest/api/token", "/healthz", "/refresh"]


@pytest.fixture
async def served():
    bench = Bench()
    async with serving(bench=bench) as served:
        await served.roles.default.refresh()
        yield served


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-For",
        "x-forwarded-for",
        "Forwarded",
        "VIA",
        "X-Real-IP",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Proto",
        "X-Forwarded-Server",
        "X-Client-IP",
        "X-Envoy-External-Address",
        "CF-Connecting-IP",
        "True-Client-IP",
        "Origin",
        "referer",
        "Sec-Fetch-Site",
    ],
)
async def test_proxies_and_pages_are_refused_on_every_path_and_method(served, path, method, name):
    reply = await served.send(
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{name}: x\r\n"
        f"Authorization: {BEARER.reveal()}\r\nConnection: close\r\n\r\n".encode()
    )
    assert reply.status == 403
    assert b"ASIA" not in reply.body
    assert not any(header.startswith("access-control") for header in reply.headers)


async def test_the_metadata_service_refuses_with_an_empty_body(served):
    reply = await served.ask("GET", "/latest/meta-data/", Origin="http://x")
    assert reply.body == b""


async def test_sec_fetch_mode_alone_is_what_nodes_own_fetch_sends(served):
    assert (await served.credentials(Sec_Fetch_Mode="cors")).status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
async def test_our_own_names_pass_with_and_without_the_port(served, host):
    assert (await served.credentials(host=host)).status == 200
    assert (await served.credentials(host=f"{host}:{served.port}")).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "127.0.0.1.evil.test",
        "127.0.0.1:1",
        "localhost.",
        "0.0.0.0",
        "127.1",
        "a@127.0.0.1",
    ],
)
async def test_other_hosts_are_refused_on_every_path(served, host):
    for path in PATHS:
        assert (await served.ask("GET", path, host=host)).status == 403


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 403),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n", 400),
        (b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
        (b"GET / \x00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /v1/credentials HTTP/1.1\r\nHost: localhost\r\nAuthorization: a\r\nAuthorization: b\r\nConnection: close\r\n\r\n", 400),
        (b"POST /refresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 70 + b"\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X%d: %s\r\n" % (n, b"a" * 8000) for n in range(3)) + b"\r\n", 431),
        (b"POST /refresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1025\r\n\r\n" + b"a" * 1025, 413),
        (b"POST /refresh HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"800\r\n" + b"a" * 2048 + b"\r\n0\r\n\r\n", 413),
    ],
    ids=range(14),
)  # fmt: skip
async def test_what_is_not_a_plain_request_is_refused_and_not_repeated(served, raw, status):
    reply = await served.send(raw)
    assert reply.status == status
    assert b"aaaa" not in reply.body
    assert b"ASIA" not in reply.body


@pytest.mark.parametrize(
    "framing",
    [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding:",
    ],
)
async def test_nothing_is_heard_behind_a_request_whose_end_is_unclear(served, framing):
    reply = await served.send(
        f"POST /healthz HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n0\r\n\r\n"
        "GET /v1/credentials HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: {BEARER.reveal()}\r\nConnection: close\r\n\r\n".encode()
    )
    assert reply.status == 400
    assert reply.headers["connection"] == "close"
    assert b"ASIA" not in reply.body


@pytest.mark.parametrize(
    ("head", "over"),
    [
        ("GET /healthz?{} HTTP/1.1\r\nHost: localhost\r\n", len("GET /healthz? HTTP/1.1")),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n", len("X: ")),
    ],
)
async def test_a_line_of_the_limit_is_taken_and_one_byte_more_is_not(served, head, over):
    async def status(size):
        head_of_size = head.format("a" * (size - over))
        return (await served.send(f"{head_of_size}Connection: close\r\n\r\n".encode())).status

    assert await status(LINE_BYTES) == 200
    assert await status(LINE_BYTES + 1) == 400


async def test_as_many_headers_as_the_limit_are_taken_and_one_more_is_not(served):
    async def status(count):
        more = "X: a\r\n" * (count - 2)
        head = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\n{more}Connection: close\r\n\r\n"
        return (await served.send(head.encode())).status

    assert await status(HEADERS) == 200
    assert await status(HEADERS + 1) == 400


async def test_chunks_in_http_1_0_are_refused(served):
    reply = await served.send(
        b"POST /refresh HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    assert reply.status == 400


async def test_a_body_that_breaks_off_its_own_rules_is_refused_as_no_http(served):
    reply = await served.send(
        b"POST /refresh HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n"
    )
    assert reply.status == 400


async def test_after_abuse_a_well_behaved_client_is_served(served):
    await served.send(b"\x16\x03\x01\x00")
    assert (await served.credentials()).status == 200


def test_a_listener_is_known_by_its_address_and_the_loopback_names():
    names = host_names([("169.254.169.254", 80)])
    assert {"169.254.169.254", "169.254.169.254:80", "localhost", "[::1]:80"} <= names
    assert "[fd00:ec2::254]:80" in host_names([("fd00:ec2::254", 80)])


@pytest.mark.parametrize(
    ("query", "status"),
    [(b"?a=b", 200), (b"?a=\xe9", 400), (b"?a=\xc3\xa9", 400), (b"?\xff", 400)],
)
async def test_a_query_is_ascii_as_the_path_is(served, query, status):
    fields = f"Host: localhost\r\nAuthorization: {BEARER.reveal()}\r\nConnection: close\r\n\r\n"
    reply = await served.send(b"GET /v1/credentials" + query + b" HTTP/1.1\r\n" + fields.encode())
    assert reply.status == status
