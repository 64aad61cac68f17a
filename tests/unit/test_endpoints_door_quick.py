"""Plain requests: what counts as one, and that both ways through the door say the same."""

import asyncio
import contextlib
import os
import socket
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imdsd.endpoints.door.connection import Connection
from imdsd.endpoints.door.line import Acceptor
from imdsd.endpoints.door.quick import QuickAnswers, read_head
from imdsd.endpoints.guards import Listener, host_names
from imdsd.endpoints.message import Answer
from imdsd.host.peer import PeerLookup
from imdsd.telemetry.metrics import Metrics
from tests.fakes.clock import ManualClock
from tests.fakes.manual_loop import ManualLoop
from tests.fakes.refresh import Bench
from tests.fakes.served import BEARER, parse, serving

PLAIN = (
    b"GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1:9254\r\n"
    b"User-Agent: Botocore/1.43 md/arch#x86_64\r\nAuthorization: the bearer\r\n\r\n"
)


def test_a_plain_request_is_read():
    head = read_head(PLAIN)
    assert (head.method, head.path) == ("GET", "/v1/credentials")
    assert head.headers["Authorization"] == "the bearer"
    assert not head.ends_connection


def test_a_token_is_asked_for_without_a_body_in_either_form():
    put = b"PUT /latest/api/token HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
    assert read_head(put % b"Content-Length: 0\r\n").method == "PUT"
    assert read_head(put % b"").method == "PUT"


@pytest.mark.parametrize(
    ("said", "ends"), [(b"close", True), (b"keep-alive", False), (b"Keep-Alive", False)]
)
def test_a_client_says_whether_it_wants_more(said, ends):
    head = read_head(PLAIN.replace(b"Host", b"Connection: " + said + b"\r\nHost"))
    assert head.ends_connection is ends


@pytest.mark.parametrize(
    "field",
    [
        "Accept: */*",
        "accept: application/json",
        "Accept-Encoding: identity",
        "Accept-Language: *",
        "Amz-Sdk-Invocation-Id: b1946ac9",
        "Amz-Sdk-Request: attempt=1; max=3",
        "Cache-Control: no-cache",
        "Content-Length: 0",
        "Content-Type: application/x-amz-json-1.1",
        "Pragma: no-cache",
        "X-Amz-User-Agent: aws-sdk-js/3.972",
        "X-aws-ec2-metadata-token: AQAEA",
        "X-aws-ec2-metadata-token-ttl-seconds: 21600",
        "User-Agent: aws-cli/2.9 note: with a colon",
    ],
)
def test_what_clients_send_beside_is_plain(field):
    name, _, value = field.partition(": ")
    others = PLAIN.replace(b"User-Agent: Botocore/1.43 md/arch#x86_64\r\n", b"")
    head = read_head(others.replace(b"Host", field.encode() + b"\r\nHost"))
    assert head.headers[name] == value


@pytest.mark.parametrize(("size", "is_plain"), [(4096, True), (4097, False)])
def test_four_kibibytes_are_plain(size, is_plain):
    data = PLAIN.replace(b"the bearer", b"x" * (size - len(PLAIN) + len(b"the bearer")))
    assert (len(data), read_head(data) is not None) == (size, is_plain)
    assert (quick(Answer(200)).answer(data, Somebody()) is not None) == is_plain


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PLAIN[:-1],
        PLAIN + b"G",
        PLAIN + PLAIN,
        b"\r\n" + PLAIN,
        PLAIN.replace(b"\r\n", b"\n"),
        PLAIN.replace(b"GET", b"get"),
        PLAIN.replace(b"GET", b"POST"),
        PLAIN.replace(b"GET", b"HEAD"),
        PLAIN.replace(b"1.1", b"1.0"),
        PLAIN.replace(b"GET /v1", b"GET  /v1"),
        PLAIN.replace(b"GET /v1", b"GET http://localhost/v1"),
        PLAIN.replace(b"credentials HTTP", b"credentials?x HTTP"),
        PLAIN.replace(b"credentials HTTP", b"cred\x00entials HTTP"),
        PLAIN.replace(b"credentials HTTP", b"cr\xc3\xa9dentials HTTP"),
        PLAIN.replace(b"Host", b"Host: 127.0.0.1\r\nHost"),
        PLAIN.replace(b"Host", b"host: 127.0.0.1\r\nHost"),
        PLAIN.replace(b"Host", b"X-Forwarded-For: 127.0.0.1\r\nHost"),
        PLAIN.replace(b"Host", b"Origin: null\r\nHost"),
        PLAIN.replace(b"Host", b"Transfer-Encoding: chunked\r\nHost"),
        PLAIN.replace(b"Host", b"Content-Length: 1\r\nHost"),
        PLAIN.replace(b"Host", b"Content-Length: 00\r\nHost"),
        PLAIN.replace(b"Host", b"Connection: upgrade\r\nHost"),
        PLAIN.replace(b"Host", b"Expect: 100-continue\r\nHost"),
        PLAIN.replace(b"Host:", b"Host :"),
        PLAIN.replace(b"Host: ", b"Host:"),
        PLAIN.replace(b"Host: ", b"Host:\t"),
        PLAIN.replace(b"Host: ", b"Host:  "),
        PLAIN.replace(b"the bearer", b"the bearer "),
        PLAIN.replace(b"the bearer", b"the\tbearer"),
        PLAIN.replace(b"the bearer", b"the bear\r\n er"),
        PLAIN.replace(b"the bearer", b"the b\xe9arer"),
        PLAIN.replace(b"Host", b"Accept: *\r\n" * 33 + b"Host"),
    ],
)
def test_every_other_one_is_left(data):
    assert read_head(data) is None


@given(st.binary())
def test_nothing_is_read_into_what_is_no_http(data):
    assert read_head(data) is None or data.endswith(b"\r\n\r\n")


class Face:
    """An endpoint that has one answer at a time."""

    def __init__(self, answer):
        self.given = answer
        self.asked = 0

    def answer_now(self, request):
        self.asked += 1
        return self.given


class Turn:
    """A poller's: what is to be done when all that can be heard at once are."""

    def __init__(self, *, crowded=True):
        self.crowded = crowded
        self._due = []

    def soon(self, act):
        self._due.append(act)

    def over(self):
        while self._due:
            self._due.pop()()


class Somebody:
    hosts = frozenset({"127.0.0.1:9254"})


def quick(answer, *, name="container", routed=None, loop=None, clock=None, turn=None, metrics=None):
    face = answer if isinstance(answer, Face) else Face(answer)

    def route(path):
        if routed is not None:
            routed.append(path)
        return name, face

    return QuickAnswers(
        route,
        poller=turn or Turn(),
        clock=clock or ManualClock(),
        metrics=metrics or Metrics("0"),
        loop=loop or ManualLoop(),
    )


@pytest.mark.parametrize("name", [b"amz-sdk-invocation-id", b"Amz-Sdk-Invocation-Id"])
def test_a_number_of_its_own_makes_no_other_head(name):
    answers = quick(Answer(200))
    for number in (b"3f0c-1", b"3f0c-2"):
        answers.answer(PLAIN.replace(b"Host", name + b": " + number + b"\r\nHost"), Somebody())
    assert len(answers._heads) == 1


@pytest.mark.parametrize(
    "data",
    [
        PLAIN + b"amz-sdk-invocation-id: 1\r\n\r\n",
        PLAIN[:-2] + b"\r\namz-sdk-invocation-id: 1\r\n",
        PLAIN[:-4] + b"\r\namz-sdk-invocation-id: 1",
        PLAIN.replace(b"Host", b"amz-sdk-invocation-id: 1\xe9\r\nHost"),
        PLAIN.replace(b"Host", b"amz-sdk-invocation-id: 1\r\n 2\r\nHost"),
        b"\r\namz-sdk-invocation-id: 1" + PLAIN,
        PLAIN.replace(b"Host", b"amz-sdk-invocation-id: 1\r\n" * 2 + b"Host"),
        PLAIN.replace(b"Host", b"amz-sdk-invocation-id: 1\r\nAmz-Sdk-Invocation-Id: 1\r\nHost"),
        PLAIN.replace(b"Host", b"amz-sdk-invocation-id: " + b"1" * 4096 + b"\r\nHost"),
    ],
)
def test_a_number_makes_nothing_plain(data):
    assert quick(Answer(200)).answer(data, Somebody()) is None


def test_what_has_to_be_waited_for_is_left():
    assert quick(None).answer(PLAIN, Somebody()) is None


def test_a_head_that_is_known_is_guarded_all_the_same():
    answers, stranger = quick(Answer(200)), Somebody()
    stranger.hosts = frozenset({"elsewhere"})
    assert answers.answer(PLAIN, Somebody()) is not None
    assert answers.answer(PLAIN, stranger) is None


def test_the_same_head_is_told_the_same_until_the_turn_is_over():
    face, turn, metrics = Face(Answer(200, b"one")), Turn(), Metrics("0")
    answers = quick(face, turn=turn, metrics=metrics)
    first = answers.answer(PLAIN, Somebody())
    face.given = Answer(200, b"two")
    assert answers.answer(PLAIN, Somebody()) == first
    assert b"two" in answers.answer(PLAIN.replace(b"bearer", b"other"), Somebody())[0]
    turn.over()
    assert b"two" in answers.answer(PLAIN, Somebody())[0]
    assert face.asked == 3
    assert b'imdsd_requests_total{endpoint="container",status="200"} 4.0' in metrics.render()


def test_nothing_that_was_told_is_kept_beyond_its_turn():
    turn = Turn()
    answers = quick(Answer(200, b"canary"), turn=turn)
    answers.answer(PLAIN, Somebody())
    assert answers._said
    turn.over()
    assert not answers._said


def test_what_one_client_alone_is_told_is_not_kept():
    answers = quick(Answer(200), turn=Turn(crowded=False))
    answers.answer(PLAIN, Somebody())
    assert not answers._said


def test_the_metadata_service_asks_each_client_who_calls():
    face = Face(Answer(200))
    answers = quick(face, name="imds")
    for _ in range(2):
        answers.answer(PLAIN, Somebody())
    assert face.asked == 2


def test_a_head_that_was_answered_is_guarded_on_another_listener_in_the_same_turn():
    answers, stranger, twin = quick(Answer(200)), Somebody(), Somebody()
    stranger.hosts = frozenset({"elsewhere"})
    twin.hosts = frozenset({"127.0.0.1:9254", "elsewhere"})
    assert answers.answer(PLAIN, Somebody()) is not None
    assert answers.answer(PLAIN, stranger) is None
    assert answers.answer(PLAIN, twin) is not None


def test_a_head_that_is_known_is_neither_read_nor_judged_again():
    class Asked(frozenset):
        times = 0

        def __contains__(self, name):
            Asked.times += 1
            return super().__contains__(name)

    client, routed = Somebody(), []
    client.hosts = Asked(Somebody.hosts)
    answers = quick(Answer(200), routed=routed, turn=Turn(crowded=False))
    for _ in range(3):
        assert answers.answer(PLAIN, client) is not None
    assert (routed, Asked.times) == (["/v1/credentials"], 1)


def test_heads_are_not_kept_without_end():
    answers = quick(Answer(200))
    for number in range(1000):
        answers.answer(PLAIN.replace(b"the bearer", b"%d" % number), Somebody())
        assert len(answers._heads) <= 128


@pytest.mark.parametrize("begun_seconds", [0.0, 0.25, 0.75])
def test_the_date_is_that_of_the_second(begun_seconds):
    loop, clock, turn = ManualLoop(), ManualClock(), Turn()
    clock.step(begun_seconds)
    answers = quick(Answer(200), loop=loop, clock=clock, turn=turn)
    for _ in range(12):
        words, _ = answers.answer(PLAIN, Somebody())
        assert f"\r\nDate: {format_datetime(clock.now(), usegmt=True)}\r\n".encode() in words
        loop.now += 0.25
        clock.step(0.25)
        turn.over()


def test_within_a_second_the_date_is_not_written_anew():
    loop, clock, turn = ManualLoop(), ManualClock(), Turn()
    clock.step(0.25)
    answers = quick(Answer(200), loop=loop, clock=clock, turn=turn)
    first, _ = answers.answer(PLAIN, Somebody())
    turn.over()
    loop.now += 0.5
    clock.step(3600)
    assert answers.answer(PLAIN, Somebody())[0] == first


@pytest.mark.parametrize("month", range(1, 13))
def test_a_date_of_any_month_is_written_as_http_has_it(month):
    clock = ManualClock(datetime(2026, month, month, 1, 2, 3, tzinfo=UTC))
    words, _ = quick(Answer(200), clock=clock).answer(PLAIN, Somebody())
    assert f"\r\nDate: {format_datetime(clock.now(), usegmt=True)}\r\n".encode() in words


@pytest.mark.parametrize(
    ("endpoint", "server"), [("container", b"imdsd"), ("ops", b"imdsd"), ("imds", b"EC2ws")]
)
def test_each_endpoint_has_the_name_of_what_it_stands_for(endpoint, server):
    words, _ = quick(Answer(200), name=endpoint).answer(PLAIN, Somebody())
    assert b"\r\nServer: " + server + b"\r\n" in words


def test_the_metadata_service_ends_each_connection():
    assert quick(Answer(200), name="imds").answer(PLAIN, Somebody())[1]


# Both ways

FIELDS = st.sampled_from(
    [
        ("Accept", "application/json"),
        ("amz-sdk-invocation-id", "0b5f-4f3a-11"),
        ("Amz-Sdk-Invocation-Id", "with a blank"),
        ("User-Agent", "aws-sdk-rust/1.3"),
        ("Connection", "close"),
        ("Connection", "keep-alive"),
        ("Content-Length", "0"),
        ("Authorization", BEARER.reveal()),
        ("authorization", BEARER.reveal()),
        ("Authorization", "wrong"),
        ("X-aws-ec2-metadata-token", "TOKEN"),
        ("x-aws-ec2-metadata-token", "A" * 56),
        ("X-aws-ec2-metadata-token-ttl-seconds", "21600"),
        ("X-aws-ec2-metadata-token-ttl-seconds", "0"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Origin", "null"),
        ("Expect", "100-continue"),
    ]
)
PATHS = st.sampled_from(
    [
        "/v1/credentials",
        "/v1/credentials/",
        "/v1/credentials/dev",
        "/v1/credentials/other",
        "/v1/credentials?x",
        "/latest/api/token",
        "//latest/api/token",
        "/latest/api/token/",
        "/2021-07-15/api/token",
        "/latest/meta-data/iam/security-credentials",
        "/latest/meta-data/iam/security-credentials/",
        "/latest/meta-data/iam/security-credentials/dev",
        "/latest/meta-data/iam/security-credentials/dev/",
        "/latest/meta-data/iam/security-credentials/other",
        "/latest/meta-data/placement/region",
        "/latest/user-data",
        "/latest/nothing",
        "/never/meta-data",
        "/",
        "//",
        "/healthz",
        "/readyz",
        "/status",
        "/v1/../healthz",
        "/%2e",
    ]
)
REQUESTS = st.tuples(
    st.sampled_from(["GET", "GET", "GET", "PUT", "HEAD", "POST", "OPTIONS"]),
    PATHS,
    st.sampled_from(["HOST", "HOST", "localhost", "evil.example"]),
    st.lists(FIELDS, max_size=4),
    st.sampled_from(["1.1", "1.1", "1.1", "1.0"]),
)


class Both:
    """One door, and two ports of it: the second has nothing answered but by aiohttp."""

    def __init__(self, served, door, peers, *, imdsv1):
        self.served, self.imdsv1 = served, imdsv1
        self._listener = Listener(
            host_names([("127.0.0.1", served.port)]),
            imds="attested",
            peers=peers,
            allowed_uids=frozenset({os.geteuid()}),
        )
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.slow_port = self._listening.getsockname()[1]
        self._acceptor = Acceptor(
            self._listening,
            lambda: Connection(
                self._listener, door._table, lambda *_: None, door._handler, closed=door._closed
            ),
            asyncio.get_running_loop(),
            door._poller,
        )

    def close(self):
        self._acceptor.close()
        self._listening.close()

    async def ask(self, port, raw):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(10):
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0 if raw.startswith(b"HEAD") else int(parse(head).headers["content-length"])
            reply = parse(head + await reader.readexactly(length))
            if reply.headers.get("connection") == "close":
                assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        reply.headers.pop("date")
        minted = reply.status == 200 and b"/api/token " in raw and raw.startswith(b"PUT")
        names = sorted(name for name in reply.header_names if name != "Date")
        body = len(reply.body) if minted else reply.body
        return reply.status, reply.reason, reply.headers, names, body


@contextlib.asynccontextmanager
async def both(*, imdsv1):
    bench = Bench()
    async with serving(bench=bench, allow_imdsv1=imdsv1) as served:
        assert await served.roles.default.refresh() is None
        with (
            PeerLookup() as peers,
            contextlib.closing(Both(served, served.door, peers, imdsv1=imdsv1)) as ways,
        ):
            yield ways


@pytest.mark.parametrize("imdsv1", [False, True])
def test_both_ways_answer_alike(imdsv1):
    with asyncio.Runner() as runner:
        opened = both(imdsv1=imdsv1)
        ways = runner.run(opened.__aenter__())
        token = runner.run(ways.served.imds_token())

        @given(REQUESTS)
        @settings(max_examples=400, deadline=None)
        def alike(request):
            method, path, host, fields, version = request
            host = f"127.0.0.1:{ways.served.port}" if host == "HOST" else host
            lines = [f"{method} {path} HTTP/{version}", f"Host: {host}"]
            lines += [f"{name}: {token if value == 'TOKEN' else value}" for name, value in fields]
            raw = "\r\n".join([*lines, "", ""]).encode()
            quickly = runner.run(ways.ask(ways.served.port, raw))
            assert quickly == runner.run(ways.ask(ways.slow_port, raw))

        try:
            alike()
            assert ways.served.door._quick._heads
        finally:
            runner.run(opened.__aexit__(None, None, None))
