"""A connection's bytes, however they are cut, before the door and both of aiohttp's parsers.

A case is a byte for the listener and the client's manners, one for the cuts, and the stream. What
the stream asks is read apart by the letter of RFC 9112: an answer may hold credentials only where
that reading allows it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from hypothesis import strategies as st

from imdsd.metadata.tree import VERSIONS
from tests.fakes.clock import START
from tests.fakes.served import BEARER
from tests.fuzz.connections import (
    HOSTS,
    KEY,
    KEY_ID,
    ROLE,
    TOKEN,
    Listening,
    Manners,
    Way,
    converse,
)
from tests.fuzz.shapes import spoiled
from tests.fuzz.target import Target
from tests.fuzz.targets.imds_tokens import genuine, seconds_left
from tests.fuzz.wire_grammar import Answered, Asked, answers_in, requests_in

_UID = os.geteuid()
_LISTENERS = (
    Listening("attested", _UID),
    Listening("attested", _UID, allow_imdsv1=True),
    Listening("attested", _UID + 1, allow_imdsv1=True),
    Listening("attested", None),
    Listening("open", None),
    Listening("off", _UID, allow_imdsv1=True),
)
_SECRETS = (KEY_ID, KEY, TOKEN)
_REFUSED_FIELDS = frozenset(
    {
        "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto",
        "x-forwarded-server", "x-real-ip", "x-client-ip", "x-envoy-external-address", "cf-connecting-ip",
        "true-client-ip", "origin", "referer", "sec-fetch-site",
    }
)  # fmt: skip
_TOKEN_FIELD, _TTL_FIELD = "X-aws-ec2-metadata-token", "X-aws-ec2-metadata-token-ttl-seconds"
_DOCUMENT = re.compile(
    rf"/+({'|'.join(map(re.escape, VERSIONS))})/+meta-data/+iam/+security-credentials/+{ROLE}/*"
)
_LONGEST_BODY = 1024
_NO_HTTP = 400


def check(data: bytes) -> None:
    """Have the stream answered each way, and hold the answers against what was asked."""
    first, cuts, stream = data[:1] or b"\0", data[1:2] or b"\0", data[2:]
    behaves, number = divmod(first[0], len(_LISTENERS))
    manners = Manners(asks_early=behaves // 2 % 2 == 1, half_closes=behaves % 2 == 1)
    listening, pieces = _LISTENERS[number], list(_cut(stream, cuts[0]))
    asked = list(requests_in(stream))
    given = {}
    for way in Way:
        written = converse(listening, pieces, manners, way=way)
        answers = list(answers_in(written, [each.method for each in asked]))
        _assert_justified(answers, asked, listening)
        given[way] = [(answer.status, _is_secret(answer)) for answer in answers]
    assert given[Way.QUICK] == given[Way.AIOHTTP]
    _assert_no_parser_gives_more(given[Way.QUICK], given[Way.PURE_PYTHON])


def _assert_no_parser_gives_more(
    by_c: list[tuple[int, bool]], by_python: list[tuple[int, bool]]
) -> None:
    """Hold that neither gives credentials for what the other answers otherwise.

    The C parser answers nothing that came in one piece with what it cannot read, the other what
    stands before that.
    """
    for (status, secret), (other_status, also_secret) in zip(by_c, by_python, strict=False):
        if _NO_HTTP in (status, other_status):
            return
        assert secret == also_secret


def _cut(stream: bytes, cuts: int) -> Iterator[bytes]:
    """Cut the stream nowhere, once, or into pieces of a few bytes each."""
    size = len(stream) if cuts < 64 else 1 + len(stream) * (cuts - 64) // 128
    if cuts >= 192:
        size = max(cuts - 190, len(stream) // 64)
    return (stream[at : at + size] for at in range(0, len(stream), max(1, size)))


def _is_secret(answer: Answered) -> bool:
    return any(secret.encode() in answer.body for secret in _SECRETS)


def _assert_justified(answers: list[Answered], asked: list[Asked], listening: Listening) -> None:
    for number, answer in enumerate(answers):
        _assert_silent(answer)
        request = asked[number] if number < len(asked) else None
        if _is_secret(answer):
            assert request is not None, "credentials for what is no request"
            assert answer.status == 200
            assert _may_have_credentials(request, listening), request
        elif answer.status == 200 and seconds_left(answer.body.decode("latin-1")) is not None:
            assert request is not None, "an IMDS token for what is no request"
            assert request.method.upper() == "PUT"
            assert _passes_guards(request)
            assert listening.gives_imds


def _assert_silent(answer: Answered) -> None:
    """Hold that no answer gives the bearer away, or a page of another origin leave to read it."""
    said = repr(answer.fields) + answer.body.decode("latin-1")
    assert BEARER.reveal() not in said
    assert "access-control-" not in said.lower()
    assert not any(secret in repr(answer.fields) for secret in _SECRETS)


def _may_have_credentials(request: Asked, listening: Listening) -> bool:
    # aiohttp's parser in Python takes `get` for GET; who says so shows the bearer all the same.
    if request.method.upper() != "GET" or not _passes_guards(request):
        return False
    path = request.target.partition("?")[0]
    if path in ("/v1/credentials", f"/v1/credentials/{ROLE}"):
        return request.all("Authorization") == [BEARER.reveal()]
    if not listening.gives_imds or not _DOCUMENT.fullmatch(path):
        return False
    tokens = request.all(_TOKEN_FIELD)
    if not tokens:
        return listening.allow_imdsv1
    return len(tokens) == 1 and seconds_left(tokens[0]) is not None


def _passes_guards(request: Asked) -> bool:
    hosts = request.all("Host")
    single = ("Authorization", "Content-Length", "Transfer-Encoding")
    return (
        len(hosts) == 1
        and hosts[0].lower() in HOSTS
        and not any(name.lower() in _REFUSED_FIELDS for name, _ in request.fields)
        and request.target.startswith("/")
        and all(len(request.all(name)) <= 1 for name in single)
        and not (request.all("Content-Length") and request.all("Transfer-Encoding"))
        and all(int(each) <= _LONGEST_BODY for each in request.all("Content-Length"))
    )


def _request(line: str, fields: list[str], body: bytes) -> bytes:
    return "\r\n".join([line, *fields, "", ""]).encode("latin-1", "replace") + body


_HOST = "Host: 127.0.0.1:9254"
_BEARER = f"Authorization: {BEARER.reveal()}"
_ROLE_PATH = f"/latest/meta-data/iam/security-credentials/{ROLE}"
_IMDS_TOKEN = f"{_TOKEN_FIELD}: {genuine(int(START.timestamp()) + 300)}"
_GOOD = (
    _request("GET /v1/credentials HTTP/1.1", [_HOST, _BEARER], b""),
    _request(f"GET /v1/credentials/{ROLE} HTTP/1.1", [_HOST, _BEARER], b""),
    _request(f"GET {_ROLE_PATH} HTTP/1.1", [_HOST, _IMDS_TOKEN], b""),
)
_LINES = (
    "GET /v1/credentials HTTP/1.1", f"GET /v1/credentials/{ROLE} HTTP/1.1", f"GET {_ROLE_PATH} HTTP/1.1",
    "HEAD /v1/credentials HTTP/1.1", "GET /v1/credentials HTTP/1.0", "GET http://127.0.0.1:9254/v1/credentials HTTP/1.1",
    "PUT /latest/api/token HTTP/1.1", "OPTIONS /latest/api/token HTTP/1.1", "GET /status HTTP/1.1", "GET /metrics HTTP/1.1",
    "POST /refresh HTTP/1.1", "POST /events HTTP/1.1", "DELETE /events HTTP/1.1", "GET /v1/credentials", "CONNECT 127.0.0.1:80 HTTP/1.1",
    "TRACE / HTTP/1.1", "GET  /v1/credentials HTTP/1.1", "get /v1/credentials HTTP/1.1", "GET /v1/credentials HTTP/2.0",
    "GET /v1/credentials/../credentials HTTP/1.1", "GET /v1/credentials%2f HTTP/1.1", "GET //latest/meta-data HTTP/1.1", "GET * HTTP/1.1",
    "GET /v1/credentials\tHTTP/1.1", "GET /v1/credentials?a=\xe9 HTTP/1.1", "PRI * HTTP/2.0", "GET /latest/dynamic HTTP/1.1", "",
)  # fmt: skip
_FIELDS = (
    _HOST, _BEARER, _IMDS_TOKEN, "Host: localhost", "Host: evil.example", "host:127.0.0.1", "Host : 127.0.0.1", " Host: x",
    "Content-Length: 0", "Content-Length: 5", "Content-Length: +5", "Content-Length: 5, 5", "Content-Length: 1025",
    "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding : chunked",
    "Origin: http://x", "Via: 1.1 x", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: http", "Sec-Fetch-Site: none", "Connection: close", "Connection: keep-alive",
    "Connection: upgrade", "Upgrade: websocket", "Upgrade: h2c", "Expect: 100-continue", "Expect: x", f"{_TTL_FIELD}: 60", f"{_TTL_FIELD}: 1e2",
    f"Authorization: Bearer {BEARER.reveal()}", f"authorization:{BEARER.reveal()} ", "Authorization: ", "X: \x00", "X: a\n b", "X: \xff",
    "X: " + "a" * 8190, "\xe9: x", ": x", "X", "Content-Encoding: gzip", "Sec-WebSocket-Key: x", "Sec-WebSocket-Key1: x",
)  # fmt: skip
_BODIES = (
    b"", b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n", b"-1\r\n", b"5\nhello\n0\n\n",
    b"ffffffffffffffffff\r\n", b'{"kind": "rebalance"}', *_GOOD,
)  # fmt: skip
_STREAMS = (
    *_GOOD,
    _GOOD[0] * 3,
    _request("PUT /latest/api/token HTTP/1.1", [_HOST, f"{_TTL_FIELD}: 60"], b""),
    _request("POST /refresh HTTP/1.1", [_HOST, _BEARER, "Content-Length: 5"], b"hello" + _GOOD[0]),
    _request("POST /events HTTP/1.1", [_HOST, _BEARER, "Transfer-Encoding: chunked"], _BODIES[3]),
    _request(
        "GET /status HTTP/1.1", [_HOST, "Content-Length: 4", "Transfer-Encoding: chunked"], _GOOD[0]
    ),
    _request("HEAD /v1/credentials HTTP/1.1", [_HOST, _BEARER], _GOOD[1]),
    _request("GET /v1/credentials HTTP/1.0", [_HOST, _BEARER, "Connection: keep-alive"], _GOOD[1]),
    _request("GET / HTTP/1.1", [_HOST, "Connection: upgrade", "Upgrade: websocket"], _GOOD[0]),
    _request("CONNECT x:1 HTTP/1.1", [_HOST, _BEARER], _GOOD[0]),
)


def _stream(requests: list[tuple[str, list[str], bytes]]) -> bytes:
    return b"".join(_request(*each) for each in requests)


_PREFIXES = st.binary(min_size=2, max_size=2)

TARGET = Target(
    check,
    cases=st.builds(
        bytes.__add__,
        _PREFIXES,
        st.one_of(
            st.lists(
                st.tuples(
                    st.sampled_from(_LINES),
                    st.lists(st.sampled_from(_FIELDS), max_size=4).map(
                        lambda more: [_HOST, _BEARER, *more]
                    ),
                    st.sampled_from(_BODIES),
                ),
                min_size=1,
                max_size=3,
            ).map(_stream),
            st.lists(
                st.tuples(
                    st.sampled_from(_LINES),
                    st.lists(st.sampled_from(_FIELDS), max_size=5),
                    st.sampled_from(_BODIES),
                ),
                min_size=1,
                max_size=2,
            ).map(_stream),
            spoiled(st.sampled_from(_STREAMS)),
        ),
    ),
    seeds=tuple(bytes([48 + n % 6, 48]) + stream for n, stream in enumerate(_STREAMS)),
)
