import asyncio
import contextlib
import json
import logging
import ssl
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.errors import MintError
from imdsd.secret import Secret
from imdsd.tokens.http import HttpSource, resolve_pointer
from imdsd.tokens.route import Lookup
from tests.fakes.certificate import write_certificate
from tests.fakes.web_identity import make_token

TOKEN = make_token()
HEADER_SECRET = "hunter2"
QUERY_SECRET = "sesame"


def answer(body, *, status="200 OK", kind="application/json; charset=utf-8", extra=""):
    raw = body if isinstance(body, bytes) else body.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\n{extra}\r\n"
    return head.encode() + raw


@contextlib.asynccontextmanager
async def listening(answer_to, *, tls=None):
    """A loopback server whose handlers have all ended when it has."""
    handlers = set()

    async def handle(reader, writer):
        handlers.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            await answer_to(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    async with await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*handlers)


@contextlib.asynccontextmanager
async def service(reply, *, tls=None):
    """Answer every request with the same bytes, and keep the requests."""
    requests = []

    async def answer_to(reader, writer):
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply)
        await writer.drain()

    async with listening(answer_to, tls=tls) as port:
        scheme = "https" if tls else "http"
        yield f"{scheme}://127.0.0.1:{port}/token?key={QUERY_SECRET}", requests


def source(url, **options):
    options.setdefault("environ", {})
    headers = {"Authorization": Secret(f"Bearer {HEADER_SECRET}")}
    return HttpSource(url, headers=headers, **options)


async def refusal(reply, **options):
    async with service(reply) as (url, _):
        with pytest.raises(MintError) as caught:
            await source(url, **options).mint()
    text = f"{caught.value} {caught.value.remedy}"
    assert HEADER_SECRET not in text
    assert QUERY_SECRET not in text
    assert TOKEN not in text
    assert caught.value.remedy
    return caught.value.reason


async def test_the_token_behind_the_pointer_is_handed_on():
    async with service(answer(json.dumps({"value": TOKEN}))) as (url, requests):
        assert (await source(url).mint()).reveal() == TOKEN
    (request,) = requests
    assert request.startswith(b"GET /token?key=sesame HTTP/1.1\r\n")
    assert b"Authorization: Bearer hunter2\r\n" in request


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (f"{TOKEN}\n", "text/plain"),
        (TOKEN, "application/jwt"),
        (json.dumps(TOKEN), "application/json"),
    ],
)
async def test_an_empty_pointer_means_the_body_itself(body, kind):
    async with service(answer(body, kind=kind)) as (url, _):
        assert (await source(url, pointer="").mint()).reveal() == TOKEN


async def test_the_description_shows_neither_query_nor_headers():
    minting = source("https://tokens.example:8443/a/b?key=sesame#x")
    assert minting.description == "https://tokens.example:8443/a/b"
    assert repr(minting) == "HttpSource('https://tokens.example:8443/a/b')"
    assert minting.renewable


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("[1", "gave an answer that is not JSON"),
        ("[" * 60_000, "gave an answer that is not JSON"),
        ('{"token": "x", "b": 1}', "gave JSON without /value: the keys are b, token"),
        ('["x"]', "gave JSON without /value: a list has no value"),
        ('{"value": 7}', "gave a number at /value, expected a text"),
        ('{"value": null}', "gave null at /value, expected a text"),
        ('{"value": true}', "gave a boolean at /value, expected a text"),
        ('{"value": {"a": 1}}', "gave an object at /value, expected a text"),
        ('{"value": "no token"}', "gave 'no token', expected a web identity token"),
        ('{"value": "\\ud800"}', "gave 3 bytes that are not text"),
        (" " * 70_000, "gave more than 65536 bytes, expected a short answer"),
        (json.dumps({"value": f"{TOKEN} {TOKEN}"}), "gave '…"),
    ],
)
async def test_an_answer_without_a_token_is_refused(body, reason):
    assert reason in await refusal(answer(body))


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("401 Unauthorized", "answered 401, which means refused"),
        ("403 Forbidden", "answered 403, which means refused"),
        ("404 Not Found", "answered 404, expected 200"),
        ("500 Oops", "answered 500, expected 200"),
        ("201 Created", "answered 201, expected 200"),
    ],
)
async def test_another_status_is_refused_without_its_body(status, reason):
    echo = f"you sent {HEADER_SECRET} and {QUERY_SECRET}"
    assert reason in await refusal(answer(echo, status=status))


async def test_a_redirect_is_not_followed():
    async with service(answer(json.dumps({"value": TOKEN}))) as (url, requests):
        reply = answer("", status="302 Found", extra=f"Location: {url}\r\n")
        assert "answered 302, a redirect, which is not followed" in await refusal(reply)
    assert requests == []


async def test_an_endless_answer_is_cut():
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 1_000_000
    assert "gave more than 65536 bytes" in await refusal(reply)


async def test_a_broken_connection_is_named():
    assert "the connection broke" in await refusal(b"")


async def test_garbage_instead_of_http_is_named():
    assert "the connection broke" in await refusal(b"\x00\x01\x02\r\n\r\n")


async def test_a_closed_port_is_named():
    async with service(b"") as (url, _):
        pass
    with pytest.raises(
        MintError, match=r"127\.0\.0\.1:\d+ does not answer: Connection refused"
    ) as caught:
        await source(url).mint()
    assert QUERY_SECRET not in str(caught.value)


async def test_a_silent_service_is_left_at_the_deadline():
    asked = asyncio.Event()

    async def say_nothing(reader, writer):
        asked.set()
        await reader.read()

    async with listening(say_nothing) as port:
        with pytest.raises(MintError, match=r"gave no answer within 0\.5 s"):
            await source(f"http://127.0.0.1:{port}/", timeout_seconds=0.5).mint()
        await asked.wait()


async def test_a_hanging_name_server_holds_nobody_up():
    go_on = threading.Event()

    def hang(host, port, *, family):
        go_on.wait(10)
        return []

    minting = source("https://slow.example/", timeout_seconds=0.05, lookup=Lookup(hang))
    with pytest.raises(MintError, match=r"gave no answer within 0\.05 s"):
        await minting.mint()
    go_on.set()


async def test_an_unknown_name_is_named():
    def fail(host, port, *, family):
        raise OSError(-2, "Name or service not known")

    with pytest.raises(MintError, match=r"nowhere\.invalid:443 does not answer: Name or service"):
        await source("https://nowhere.invalid/", lookup=Lookup(fail)).mint()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://tokens.example/", "expected https, or http to loopback"),
        ("http://169.254.169.254/", "expected https, or http to loopback"),
        ("ftp://127.0.0.1/", "expected https, or http to loopback"),
        ("https://user:hunter2@tokens.example/", "holds a user or a password"),
        ("https:///path", "not readable"),
        ("https://[::1", "not readable"),
        ("https://a.example:port/", "not readable"),
        ("https://a.example/a b", "not readable"),
        ("https://a.example/\r\nX: y", "not readable"),
        ("", "not readable"),
    ],
)
def test_an_unfit_url_is_refused_at_once(url, complaint):
    with pytest.raises(ValueError, match=complaint) as caught:
        HttpSource(url)
    assert HEADER_SECRET not in str(caught.value)


@pytest.mark.parametrize("pointer", ["value", "/a~2", "/~"])
def test_an_unfit_pointer_is_refused_at_once(pointer):
    with pytest.raises(ValueError, match="expected a JSON pointer"):
        HttpSource("https://a.example/", pointer=pointer)


def test_an_unfit_header_is_refused_without_its_value():
    with pytest.raises(ValueError, match="the header X-Key holds more") as caught:
        HttpSource("https://a.example/", headers={"X-Key": Secret("hunter2\r\nX: y")})
    assert HEADER_SECRET not in str(caught.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1, in one file with its key."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    write_certificate(path, "127.0.0.1")
    return path


@pytest.fixture
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_a_certificate_of_the_ca_bundle_is_trusted(certificate, tls):
    async with service(answer(json.dumps({"value": TOKEN})), tls=tls) as (url, _):
        assert (await source(url, ca_bundle=certificate).mint()).reveal() == TOKEN


async def test_a_self_signed_certificate_is_refused(tls):
    async with service(answer(json.dumps({"value": TOKEN})), tls=tls) as (url, requests):
        with pytest.raises(MintError, match=r"not trusted \(self-signed certificate\)"):
            await source(url).mint()
    assert requests == []


@pytest.mark.parametrize(("host", "ended"), [("127.0.0.2", False), ("127.0.0.1", True)])
async def test_a_certificate_of_another_name_or_time_is_refused(tmp_path, host, ended):
    bundle = tmp_path / "stub.pem"
    tls = write_certificate(bundle, host, ended=ended)
    async with service(answer(json.dumps({"value": TOKEN})), tls=tls) as (url, requests):
        with pytest.raises(MintError, match="not trusted"):
            await source(url, ca_bundle=bundle).mint()
    assert requests == []


async def test_a_service_that_speaks_no_tls_is_named():
    async def answer_in_plain(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with listening(answer_in_plain) as port:
        with pytest.raises(MintError, match=r"does not answer: TLS failed \(\w+\)"):
            await source(f"https://127.0.0.1:{port}/").mint()


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_unusable_ca_bundle_is_named(tmp_path, content):
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)
    with pytest.raises(MintError, match=f"ca_bundle {file} cannot be loaded: ") as caught:
        await source("https://a.example/", ca_bundle=file).mint()
    assert caught.value.remedy


async def test_https_goes_through_the_proxy_and_its_password_stays_unsaid():
    reply = answer("", status="407 Proxy Authentication Required")
    async with service(reply) as (proxy, requests):
        address = proxy.removeprefix("http://").partition("/")[0]
        environ = {"HTTPS_PROXY": f"http://user:opensesame@{address}"}
        with pytest.raises(MintError, match="the proxy answered 407") as caught:
            await source("https://tokens.example/", environ=environ).mint()
    assert requests[0].startswith(b"CONNECT tokens.example:443 HTTP/1.1\r\n")
    assert "opensesame" not in str(caught.value)


async def test_a_closed_proxy_is_named():
    async with service(b"") as (url, _):
        proxy = url.partition("/token")[0]
    with pytest.raises(MintError, match=r"the proxy 127\.0\.0\.1:\d+ does not answer"):
        await source("https://tokens.example/", environ={"https_proxy": proxy}).mint()


async def test_an_unfit_proxy_is_named():
    with pytest.raises(MintError, match="the proxy is not usable"):
        await source("https://a.example/", environ={"https_proxy": "socks5://p"}).mint()


async def test_no_secret_is_logged(caplog):
    caplog.set_level(logging.DEBUG)
    async with service(answer(json.dumps({"value": TOKEN}))) as (url, _):
        await source(url).mint()
    for secret in (TOKEN, HEADER_SECRET, QUERY_SECRET):
        assert secret not in caplog.text


DOCUMENT = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8, "~1": 9, "x": {"y": None}}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1),
        ("/m~0n", 8), ("/~01", 9), ("/x/y", None),
    ],
)  # fmt: skip
def test_pointers_mean_what_the_rfc_says(pointer, value):
    assert resolve_pointer(DOCUMENT, pointer) == value


@pytest.mark.parametrize("pointer", ["/foo/2", "/foo/-", "/foo/01", "/foo/+1", "/no", "/a~1b/0"])
def test_a_pointer_to_nothing_is_a_lookup_error(pointer):
    with pytest.raises(LookupError):
        resolve_pointer(DOCUMENT, pointer)


@given(st.lists(st.text(max_size=5), max_size=4), st.integers())
def test_every_path_through_objects_can_be_written_as_a_pointer(keys, value):
    document = value
    for key in reversed(keys):
        document = {key: document}
    pointer = "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)
    assert resolve_pointer(document, pointer) == value
