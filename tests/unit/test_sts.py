"""The exchange, asked of the sandbox STS and of impostors over real sockets."""

from __future__ import annotations

import asyncio
import html
import json
import socket
import ssl
import sys
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from imdsd.clock import SystemClock
from imdsd.errors import DurationRefusedError, ExchangeError, Retry
from imdsd.sandbox import faults
from imdsd.sandbox.app import Sandbox, SandboxRole
from imdsd.secret import Secret
from imdsd.sts import StsExchange
from tests.fakes.certificate import write_certificate
from tests.support import measured_environ, room

ROLE = "arn:aws:iam::123456789012:role/dev"
SECOND = "arn:aws:iam::210987654321:role/second"
THIRD = "arn:aws:iam::210987654321:role/teams/third"
POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)
POLICY_ARNS = ("arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::aws:policy/IAMReadOnly")
WEB_IDENTITY, ASSUME = "AssumeRoleWithWebIdentity", "AssumeRole"
CANARY = "canary-" + "0123456789abcdef" * 8


@pytest.fixture
async def sandbox():
    roles = [SandboxRole(arn) for arn in (ROLE, SECOND, THIRD)]
    async with Sandbox(clock=SystemClock(), roles=roles) as running:
        yield running


def exchange_at(url, **options):
    return StsExchange("eu-central-1", endpoint_url=url, **options)


async def run(exchange, token, **changes):
    usual = {
        "role_arn": ROLE,
        "chain": (),
        "session_name": "imdsd-box",
        "duration_seconds": 3600,
        "policy": None,
        "policy_arns": (),
    }
    return await exchange.exchange(token, **{**usual, **changes})


async def ask(sandbox, *, timeout_seconds=10.0, **changes):
    token = sandbox.issuer.issue("sts.amazonaws.com")
    return await run(
        exchange_at(sandbox.sts_url, timeout_seconds=timeout_seconds), token, **changes
    )


async def refusal(sandbox, *spoiling, **changes):
    sandbox.sts.faults.once(*spoiling)
    with pytest.raises(ExchangeError) as caught:
        await ask(sandbox, **changes)
    return caught.value


async def test_a_token_is_exchanged_by_one_unsigned_request(sandbox):
    before = datetime.now(UTC)  # noqa: TID251  # the sandbox lives by the machine's clock
    session = await ask(sandbox)
    assert session.assumed_role_arn == "arn:aws:sts::123456789012:assumed-role/dev/imdsd-box"
    assert session.access_key_id.startswith("ASIA")
    assert session.secret_access_key
    assert session.session_token
    assert session.expires_at.utcoffset() == timedelta()
    assert session.expires_at - before > timedelta(seconds=3590)
    (request,) = sandbox.sts.requests
    assert (request.action, request.signed, request.code) == (WEB_IDENTITY, False, "OK")
    assert request.parameters["DurationSeconds"] == "3600"
    assert request.parameters["RoleSessionName"] == "imdsd-box"
    assert sandbox.sts.signed_exchanges == 0


async def test_what_sts_issued_does_not_print_its_secrets(sandbox):
    session = await ask(sandbox)
    assert session.secret_access_key.reveal() not in repr(session)
    assert session.session_token.reveal() not in repr(session)


@pytest.mark.parametrize("chain", [(SECOND,), (SECOND, THIRD)])
async def test_each_role_of_a_chain_is_assumed_by_the_session_before(sandbox, chain):
    session = await ask(sandbox, chain=chain)
    first, *further = sandbox.sts.requests
    name = chain[-1].rpartition("/")[2]
    assert session.assumed_role_arn == f"arn:aws:sts::210987654321:assumed-role/{name}/imdsd-box"
    assert (first.action, first.signed) == (WEB_IDENTITY, False)
    assert [(each.action, each.signed) for each in further] == [(ASSUME, True)] * len(chain)
    assert [each.parameters["RoleArn"] for each in further] == list(chain)
    assert all(each.access_key_id.startswith("ASIA") for each in further)


async def test_duration_and_policies_are_for_the_last_role_of_a_chain(sandbox):
    await ask(
        sandbox,
        chain=(SECOND, THIRD),
        duration_seconds=1800,
        policy=POLICY,
        policy_arns=POLICY_ARNS,
    )
    *way, last = (each.parameters for each in sandbox.sts.requests)
    assert [hop["DurationSeconds"] for hop in way] == ["900", "900"]
    assert not [name for hop in way for name in hop if name.startswith("Policy")]
    assert last["DurationSeconds"] == "1800"
    assert last["Policy"] == POLICY
    arns = [last[f"PolicyArns.member.{number}.arn"] for number in (1, 2)]
    assert arns == list(POLICY_ARNS)


async def test_a_single_role_is_the_last_one(sandbox):
    await ask(sandbox, policy=POLICY, policy_arns=POLICY_ARNS)
    (request,) = sandbox.sts.requests
    assert request.parameters["Policy"] == POLICY
    assert request.parameters["PolicyArns.member.2.arn"] == POLICY_ARNS[1]


@pytest.mark.parametrize(
    ("code", "retry", "remedy"),
    [
        ("AccessDenied", Retry.LIMITED, "trust policy"),
        ("IDPRejectedClaim", Retry.LIMITED, "trust policy"),
        ("InvalidIdentityToken", Retry.LIMITED, "OIDC provider"),
        ("IDPCommunicationError", Retry.LIMITED, "issuer"),
        ("ValidationError", Retry.LIMITED, "settings"),
        ("ExpiredTokenException", Retry.ALWAYS, ""),
        ("Throttling", Retry.ALWAYS, ""),
        ("ServiceUnavailable", Retry.ALWAYS, ""),
        ("InternalFailure", Retry.ALWAYS, ""),
        ("MalformedPolicyDocument", Retry.NEVER, "session policy"),
        ("PackedPolicyTooLarge", Retry.NEVER, "policy_arns"),
        ("RegionDisabledException", Retry.NEVER, "region"),
    ],
)
async def test_each_error_code_says_what_to_do_and_whether_to_try_again(
    sandbox, code, retry, remedy
):
    error = await refusal(sandbox, faults.error(code, "the words of STS"))
    assert type(error) is ExchangeError
    assert (error.code, error.retry, error.retry_after_seconds) == (code, retry, None)
    assert error.reason == f"{code}: the words of STS"
    assert remedy in error.remedy
    assert bool(error.remedy) is bool(remedy)
    assert len(sandbox.sts.requests) == 1


async def test_what_the_sandbox_itself_refuses_is_reported_in_its_words(sandbox):
    error = await refusal(sandbox, role_arn="arn:aws:iam::123456789012:role/absent")
    assert str(error).startswith("AccessDenied: Not authorized to perform sts:Assume")


@pytest.mark.parametrize("seconds", [0, 7, 3600])
async def test_the_pause_that_sts_asks_for_is_told(sandbox, seconds):
    error = await refusal(sandbox, faults.too_many_requests(retry_after_seconds=seconds))
    assert (error.retry, error.retry_after_seconds) == (Retry.ALWAYS, seconds)


@pytest.mark.parametrize(
    ("code", "status", "throttled"),
    [
        ("Throttling", 400, True),
        ("ThrottlingException", 400, True),
        ("RequestLimitExceeded", 400, True),
        ("SlowDown", 503, True),
        ("TooManyRequestsException", 400, True),
        ("Whatever", 429, True),
        ("ServiceUnavailable", 503, False),
        ("AccessDenied", 403, False),
    ],
)
async def test_an_answer_to_too_many_calls_is_told_from_every_other(code, status, throttled):
    async with impostor(error_xml(code, "slow down"), status=status) as url:
        assert (await complaint(url)).throttled is throttled


@pytest.mark.parametrize("value", ["Wed, 21 Oct 2030 07:28:00 GMT", "-5", "1.5", "soon", "٣", ""])
async def test_a_pause_that_is_no_number_of_seconds_is_not_believed(value):
    headers = {"Retry-After": value}
    async with impostor(error_xml("Throttling", "slow down"), status=400, headers=headers) as url:
        error = await complaint(url)
    assert (error.code, error.retry_after_seconds) == ("Throttling", None)


async def test_a_duration_above_the_roles_maximum_has_an_error_of_its_own(sandbox):
    with pytest.raises(DurationRefusedError, match="MaxSessionDuration") as caught:
        await ask(sandbox, duration_seconds=7200)
    assert caught.value.retry is Retry.NEVER
    assert "3600" in caught.value.remedy


async def test_a_chained_session_above_an_hour_is_refused_for_its_duration(sandbox):
    sandbox.add_role(SandboxRole(SECOND, max_session_seconds=43200))
    with pytest.raises(DurationRefusedError, match="1 hour session limit"):
        await ask(sandbox, chain=(SECOND,), duration_seconds=7200)


async def test_a_parameter_that_botocore_itself_refuses_is_never_sent(sandbox):
    error = await refusal(sandbox, session_name="x")
    assert (error.code, error.retry) == ("ValidationError", Retry.NEVER)
    assert sandbox.sts.requests == []


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_5xx_in_html_is_worth_another_try(sandbox, status):
    error = await refusal(sandbox, faults.server_error(status))
    assert (error.code, error.retry) == (str(status), Retry.ALWAYS)
    assert len(sandbox.sts.requests) == 1


@pytest.mark.parametrize("spoiling", [faults.malformed_xml, faults.without_credentials])
async def test_a_200_that_holds_no_credentials_is_an_error(sandbox, spoiling):
    error = await refusal(sandbox, spoiling())
    assert (error.code, error.retry) == ("MalformedAnswer", Retry.ALWAYS)
    assert error.remedy


async def test_a_connection_that_is_reset_is_not_tried_again_here(sandbox):
    error = await refusal(sandbox, faults.reset())
    assert (error.code, error.retry) == ("Unreachable", Retry.ALWAYS)
    assert "HTTPS_PROXY" in error.remedy
    assert len(sandbox.sts.requests) == 1


async def test_an_sts_that_refuses_connections_is_unreachable(unused_tcp_port):
    error = await complaint(f"http://127.0.0.1:{unused_tcp_port}")
    assert (error.code, error.retry) == ("Unreachable", Retry.ALWAYS)
    assert f"127.0.0.1:{unused_tcp_port}" in error.reason


async def test_one_deadline_holds_for_all_calls_of_an_exchange(sandbox):
    sandbox.sts.faults.always(faults.hang())
    with pytest.raises(ExchangeError, match=r"no answer within 0\.2 s") as caught:
        await ask(sandbox, timeout_seconds=0.2)
    assert (caught.value.code, caught.value.retry) == ("Timeout", Retry.ALWAYS)


async def test_an_sts_that_says_nothing_is_given_up_before_the_total_deadline(sandbox):
    error = await refusal(sandbox, faults.hang())
    assert error.code == "Unreachable"
    assert "Timeout" in error.reason


@contextmanager
def swallowing():
    """A port whose queue is full: the kernel drops every further packet that asks for it."""
    with socket.socket() as listener, ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_an_sts_that_no_packet_reaches_is_given_up_before_the_total_deadline():
    with swallowing() as url:
        error = await complaint(url)
    assert error.code == "Unreachable"
    assert "ConnectionTimeout" in error.reason


# What STS says is not trusted


def error_xml(code, message):
    namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
    inner = f"<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>"
    return f'<ErrorResponse xmlns="{namespace}"><Error>{inner}</Error></ErrorResponse>'


def session_xml(*, key="ASIAX", secret="s", token="t", expiration="2030-01-01T00:00:00Z"):
    namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
    keys = (
        f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
        f"<SessionToken>{token}</SessionToken><Expiration>{expiration}</Expiration>"
    )
    user = "<AssumedRoleUser><Arn>arn:x</Arn><AssumedRoleId>A:b</AssumedRoleId></AssumedRoleUser>"
    inner = f"<Credentials>{keys}</Credentials>{user}"
    return (
        f'<AssumeRoleWithWebIdentityResponse xmlns="{namespace}">'
        f"<AssumeRoleWithWebIdentityResult>{inner}</AssumeRoleWithWebIdentityResult>"
        "</AssumeRoleWithWebIdentityResponse>"
    )


@asynccontextmanager
async def impostor(body, *, status=200, headers=None, tls=None):
    """Serve one answer to every request; `body` may be a function of the request's form."""

    async def serve(request):
        form = await request.post()
        text = body(form) if callable(body) else body
        return web.Response(status=status, text=text, content_type="text/xml", headers=headers)

    application = web.Application()
    application.router.add_post("/", serve)
    async with serving(application, tls=tls) as url:
        yield url


@asynccontextmanager
async def serving(application, *, tls=None):
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def complaint(url, *, token=CANARY, **options):
    with pytest.raises(ExchangeError) as caught:
        await run(exchange_at(url, **options), Secret(token))
    return caught.value


def echo(form):
    return error_xml("ValidationError", f"Value '{form['WebIdentityToken']}' is no good")


async def test_a_token_that_sts_echoes_is_redacted():
    async with impostor(echo, status=400) as url:
        error = await complaint(url)
    assert CANARY not in f"{error} {error!r} {error.reason} {vars(error)}"
    assert error.reason == "ValidationError: Value '…' is no good"


async def test_a_session_token_that_sts_echoes_in_a_chain_is_redacted():
    echoing = "an-echoed-session-token"

    async def serve(request):
        form = await request.post()
        if form["Action"] == WEB_IDENTITY:
            body = session_xml(secret="an-echoed-secret", token=echoing)
            return web.Response(text=body, content_type="text/xml")
        given = request.headers["X-Amz-Security-Token"]
        body = error_xml("AccessDenied", f"{given} and an-echoed-secret")
        return web.Response(status=403, text=body, content_type="text/xml")

    application = web.Application()
    application.router.add_post("/", serve)
    async with serving(application) as url:
        with pytest.raises(ExchangeError) as caught:
            await run(exchange_at(url), Secret(CANARY), chain=(SECOND,))
    assert caught.value.reason == "AccessDenied: … and …"


async def test_a_long_message_is_cut_and_kept_to_one_line():
    async with impostor(error_xml("Odd", "many\nlines " * 10_000), status=400) as url:
        error = await complaint(url)
    assert len(error.reason) < 600
    assert "\n" not in str(error)


@pytest.mark.parametrize("code", ["O" * 10_000, CANARY, "a b", "<x>"])
async def test_what_is_no_code_is_not_repeated_as_one(code):
    async with impostor(error_xml(html.escape(code), "x"), status=400) as url:
        error = await complaint(url)
    assert error.code == "Unknown"


@pytest.mark.parametrize("code", ["MadeUp1", "MadeUp2", "accessdenied", "999", "4040"])
async def test_a_code_that_sts_does_not_have_is_said_and_makes_no_kind_of_its_own(code):
    async with impostor(error_xml(code, "its words"), status=400) as url:
        error = await complaint(url)
    assert (error.code, error.retry) == ("Unknown", Retry.ALWAYS)
    assert error.reason == f"{code}: its words"


async def test_a_part_of_the_token_in_a_message_is_redacted():
    part = "x" * 300
    async with impostor(error_xml("AccessDenied", f"no {part[:-1]} here"), status=403) as url:
        error = await complaint(url, token=f"head.{part}.tail")
    assert error.reason == "AccessDenied: no … here"


async def test_a_token_that_is_echoed_in_pieces_is_redacted():
    head, rest = "h" * 40 + "." + "b" * 40, "c" * 40 + "." + "s" * 300
    async with impostor(error_xml("AccessDenied", f"{head} {rest}"), status=403) as url:
        error = await complaint(url, token=head + rest)
    assert error.reason == "AccessDenied: … …"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_since_the_token_would_go_along(status):
    asked = []

    def elsewhere(form):
        asked.append(form)
        return session_xml()

    async with impostor(elsewhere) as other:
        headers = {"Location": f"{other}/"}
        async with impostor("", status=status, headers=headers) as url:
            error = await complaint(url)
    assert asked == []
    assert error.retry is Retry.ALWAYS


@pytest.mark.parametrize("blank", ["key", "secret", "token"])
async def test_blank_credentials_are_never_taken(blank):
    async with impostor(session_xml(**{blank: ""})) as url:
        error = await complaint(url)
    assert error.code == "MalformedAnswer"


@pytest.mark.parametrize("name", ["key", "secret", "token"])
@pytest.mark.parametrize("more", ["&#10;[default]&#10;credential_process = x", " x", "\u00e9"])
async def test_credentials_that_are_more_than_a_word_are_never_taken(name, more):
    async with impostor(session_xml(**{name: f"A{more}"})) as url:
        error = await complaint(url)
    assert error.code == "MalformedAnswer"


@pytest.mark.parametrize("expiration", ["", "soon", "0001-01-01T00:00:00+23:00"])
async def test_an_expiry_that_is_no_instant_is_refused(expiration):
    async with impostor(session_xml(expiration=expiration)) as url:
        error = await complaint(url)
    assert error.code == "MalformedAnswer"


async def test_an_expiry_of_another_zone_is_brought_to_utc():
    async with impostor(session_xml(expiration="2030-01-01T02:00:00+02:00")) as url:
        session = await run(exchange_at(url), Secret(CANARY))
    assert session.expires_at == datetime(2030, 1, 1, tzinfo=UTC)
    assert session.expires_at.utcoffset() == timedelta()


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody signed but itself, and its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "stub.pem"
    write_certificate(path, "127.0.0.1")
    return path


@pytest.fixture
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_a_self_signed_sts_is_refused(tls):
    async with impostor(session_xml(), tls=tls) as url:
        error = await complaint(url)
    assert (error.code, error.retry) == ("Unreachable", Retry.ALWAYS)
    assert "Certificate" in error.reason
    assert "ca_bundle" in error.remedy


async def test_a_self_signed_sts_is_taken_with_its_ca_bundle(tls, certificate):
    async with impostor(session_xml(), tls=tls) as url:
        session = await run(exchange_at(url, ca_bundle=certificate), Secret(CANARY))
    assert session.access_key_id == "ASIAX"


@pytest.mark.parametrize(("host", "ended"), [("127.0.0.2", False), ("127.0.0.1", True)])
async def test_a_certificate_of_another_name_or_time_is_refused(tmp_path, host, ended):
    bundle = tmp_path / "stub.pem"
    async with impostor(session_xml(), tls=write_certificate(bundle, host, ended=ended)) as url:
        error = await complaint(url, ca_bundle=bundle)
    assert (error.code, error.retry) == ("Unreachable", Retry.ALWAYS)
    assert "Certificate" in error.reason


@pytest.mark.parametrize("content", [None, "no certificate at all"])
async def test_a_ca_bundle_that_is_none_is_named_as_the_trouble(tls, tmp_path, content):
    bundle = tmp_path / "bundle.pem"
    if content:
        bundle.write_text(content)
    async with impostor(session_xml(), tls=tls) as url:
        error = await complaint(url, ca_bundle=bundle)
    assert "ca_bundle" in error.remedy


# What stands in the process's environment. Each runs in a process and a network of its own.

IN_A_PROCESS = """
import asyncio, json, sys
from imdsd.errors import ExchangeError
from imdsd.secret import Secret
from imdsd.sts import StsExchange

async def outcome(region, url):
    exchange = StsExchange(region, endpoint_url=url)
    try:
        session = await exchange.exchange(
            Secret("web-identity-token"), role_arn="arn:aws:iam::123456789012:role/dev", chain=(),
            session_name="imdsd-box", duration_seconds=3600, policy=None, policy_arns=(),
        )
        return session.access_key_id
    except ExchangeError as error:
        return error.code

async def main():
    return [await outcome(region, url) for region, url in json.loads(sys.argv[1])]

print(json.dumps(asyncio.run(main())))
"""
HOSTILE_FILE = """
[default]
aws_access_key_id = AKIAFROMFILE
aws_secret_access_key = from-a-file
endpoint_url = http://127.0.0.1:1
region = us-west-2
sts_regional_endpoints = legacy
[profile hostile]
credential_process = /bin/false
role_arn = arn:aws:iam::999999999999:role/hostile
source_profile = default
"""


class Recorder:
    """Takes what comes, keeps the head of it, answers always the same."""

    def __init__(self, answer):
        self._answer = answer
        self.requests = []

    async def serve(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head.decode("latin-1"))
            writer.write(self._answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.requests.append("")
        finally:
            writer.close()

    @property
    def first_lines(self):
        return [each.split("\r\n")[0] for each in self.requests]


@asynccontextmanager
async def recording(where, port, answer=b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n"):
    """Record what arrives at a loopback port of a room."""
    recorder = Recorder(answer)
    opened = await asyncio.to_thread(where.listen, port)
    server = await asyncio.start_server(recorder.serve, sock=opened)
    try:
        yield recorder
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture(scope="module")
def house():
    with room() as made:
        yield made


async def outcomes(where, asked, environ):
    done = await asyncio.to_thread(
        where.run, sys.executable, "-c", IN_A_PROCESS, json.dumps(asked), environ=environ
    )
    return json.loads(done.stdout)


def ok(body):
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


STS, HELPER, PROXY = 8001, 8002, 8003
THE_PROXY = f"http://127.0.0.1:{PROXY}"
PROXIES = {
    name: THE_PROXY
    for lower in ("http_proxy", "https_proxy", "all_proxy")
    for name in (lower, lower.upper())
}


def hostile_environ(home):
    (home / ".aws").mkdir()
    for name in ("config", "credentials"):
        (home / ".aws" / name).write_text(HOSTILE_FILE)
    elsewhere = f"http://127.0.0.1:{HELPER}"
    return measured_environ(
        home,
        AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{elsewhere}/credentials",
        AWS_EC2_METADATA_SERVICE_ENDPOINT=elsewhere,
        AWS_ENDPOINT_URL=elsewhere,
        AWS_ENDPOINT_URL_STS=elsewhere,
        AWS_DEFAULTS_MODE="auto",
        AWS_REGION="us-west-1",
        AWS_DEFAULT_REGION="us-west-1",
        AWS_STS_REGIONAL_ENDPOINTS="legacy",
        AWS_USE_FIPS_ENDPOINT="true",
        AWS_USE_DUALSTACK_ENDPOINT="true",
        AWS_MAX_ATTEMPTS="5",
        AWS_RETRY_MODE="adaptive",
        AWS_CA_BUNDLE="/no/such/bundle",
        AWS_DATA_PATH="/no/such/data",
        AWS_ROLE_ARN="arn:aws:iam::999999999999:role/hostile",
        AWS_WEB_IDENTITY_TOKEN_FILE="/no/such/token",
    )


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"AWS_PROFILE": "hostile"},
        {"AWS_PROFILE": "no-such-profile"},
        {"AWS_ACCESS_KEY_ID": "AKIAHOSTILE", "AWS_SECRET_ACCESS_KEY": "hostile"},
    ],
    ids=["chain", "profile", "absent profile", "keys"],
)
async def test_nothing_of_the_environment_or_of_aws_files_takes_part(house, tmp_path, more):
    environ = {**hostile_environ(tmp_path), **more}
    async with (
        recording(house, STS, ok(session_xml())) as sts,
        recording(house, HELPER) as helper,
    ):
        asked = [("eu-central-1", f"http://127.0.0.1:{STS}")]
        assert await outcomes(house, asked, environ) == ["ASIAX"]
    assert helper.requests == []
    (request,) = sts.requests
    assert "authorization" not in request.lower()
    assert "AKIA" not in request


async def test_regional_endpoints_are_asked_through_the_proxy(house, tmp_path):
    hosts = {
        "eu-central-1": "sts.eu-central-1.amazonaws.com",
        "us-east-1": "sts.us-east-1.amazonaws.com",
        "cn-north-1": "sts.cn-north-1.amazonaws.com.cn",
        "us-gov-west-1": "sts.us-gov-west-1.amazonaws.com",
    }
    environ = {**hostile_environ(tmp_path), "HTTPS_PROXY": THE_PROXY}
    async with recording(house, PROXY) as proxy:
        found = await outcomes(house, [(region, None) for region in hosts], environ)
    assert found == ["Unreachable"] * len(hosts)
    assert proxy.first_lines == [f"CONNECT {host}:443 HTTP/1.1" for host in hosts.values()]


async def test_no_proxy_is_used_for_a_loopback_endpoint(house, tmp_path):
    environ = measured_environ(tmp_path, **PROXIES)
    hosts = ("127.0.0.1", "localhost")
    async with (
        recording(house, STS, ok(session_xml())) as sts,
        recording(house, PROXY) as proxy,
    ):
        asked = [("eu-central-1", f"http://{host}:{STS}") for host in hosts]
        assert await outcomes(house, asked, environ) == ["ASIAX"] * len(hosts)
    assert proxy.requests == []
    assert sts.first_lines == ["POST / HTTP/1.1"] * len(hosts)
