"""What answers at the STS endpoint, through botocore's parser: a session as it says, or an error.

A case is a status, perhaps a `Retry-After`, a line end, and the body. Only the socket is a fake.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Coroutine
from contextlib import asynccontextmanager
from html import escape
from typing import Any, Self

from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.config import AioConfig
from hypothesis import strategies as st

from imdsd.credentials.attempt import Attempt, Workshop
from imdsd.credentials.model import Snapshot
from imdsd.credentials.schedule import SERVE_MARGIN_SECONDS, asked_pause
from imdsd.endpoints.documents import DocumentRenderer, Documents
from imdsd.errors import RefreshError
from imdsd.host.aws_credentials_file import ProfileKeys
from imdsd.secret import Secret
from imdsd.sts import StsExchange
from imdsd.sts.library import client_config, shared_session
from imdsd.telemetry.metrics import Metrics
from tests.fakes.clock import START, ManualClock
from tests.fakes.refresh import ASSUMED_ARN, terms
from tests.fakes.web_identity import CLAIMS, part
from tests.fuzz.shapes import odd_texts, spoiled
from tests.fuzz.target import Target, assert_fit_for_a_person, assert_hides

KEY_CANARY, TOKEN_CANARY = (
    "canaryOfTheSecretKey/0123456789abcdef",
    "canaryOfTheSessionToken/fedcba9876543210",
)
_SIGNATURE = "x0Ab9" * 68
_WEB_IDENTITY_TOKEN = f"{part({'alg': 'RS256'})}.{part(CLAIMS)}.{_SIGNATURE}"
_SHORTEST_SHOWN = 65
"""Of so long a run of the token nothing is shown."""
_SESSION_ARN = re.compile(r"arn:aws:sts::123456789012:assumed-role/dev/.+", re.DOTALL)


class _Source:
    """Gives one token; a signature nobody checks."""

    description, renewable, minted_on_demand = "a fake", True, True

    async def mint(self) -> Secret:
        return Secret(_WEB_IDENTITY_TOKEN)


class _Body:
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self) -> bytes:
        return self._data


class _Http:
    """In the place of aiobotocore's HTTP session: gives the answer of the case."""

    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")

    def __init__(self, **_settings: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        pass

    async def send(self, request: Any) -> AioAWSResponse:
        assert _WEB_IDENTITY_TOKEN in request.body
        status, headers, body = _Http.answer
        return AioAWSResponse(request.url, status, headers, _Body(body))


class _OneClient:
    """A session of the SDK's whose client is made once: that takes longer than a thousand cases."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @asynccontextmanager
    async def create_client(self, *_args: object, **_settings: object):
        yield self._client


class _Rig:
    """A whole attempt, from mint to publish, on a loop that stays."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        atexit.register(self._loop.close)
        client = self.run(_client())
        self._exchange = StsExchange("eu-central-1")
        self._exchange._session = _OneClient(client)
        self._workshop = Workshop(
            publisher=DocumentRenderer(),
            clock=ManualClock(),
            metrics=Metrics("0"),
            draw=lambda: 0.0,
            host="box",
        )

    def run(self, work: Coroutine[object, object, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def attempt(self) -> Snapshot[Documents]:
        made = Attempt(terms(), self._workshop, source=_Source(), exchange=self._exchange)
        return self.run(made.run("dev"))


async def _client() -> Any:
    config = client_config(signed=False, proxied=False).merge(AioConfig(http_session_cls=_Http))
    made = shared_session().create_client("sts", region_name="eu-central-1", config=config)
    return await made.__aenter__()


_rig = functools.cache(_Rig)


def check(data: bytes) -> None:
    """Have an attempt get this answer."""
    _Http.answer = _answer(data)
    status, _, body = _Http.answer
    try:
        snapshot = _rig().attempt()
    except RefreshError as error:
        assert_fit_for_a_person(error)
        _assert_hides_secrets(str(error), body)
        _assert_no_long_pause(error.retry_after_seconds)
        assert data != GOOD, "a good answer was refused"
    else:
        assert status < 300
        _assert_as_answered(snapshot, body)


def _answer(data: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = data.partition(b"\n")
    match = re.fullmatch(r"([2-5][0-9]{2})(?: ([ -~]*))?", head.decode("latin-1"))
    if match is None:
        return 200, {}, data
    return int(match[1]), {"retry-after": match[2]} if match[2] else {}, body


def _assert_no_long_pause(seconds: float | None) -> None:
    assert seconds is None or 0 <= asked_pause(seconds) <= 60


def _assert_hides_secrets(text: str, body: bytes) -> None:
    windows = (text[i : i + _SHORTEST_SHOWN] for i in range(len(text) - _SHORTEST_SHOWN + 1))
    assert not any(window in _WEB_IDENTITY_TOKEN for window in windows)
    for name, canary in (("SecretAccessKey", KEY_CANARY), ("SessionToken", TOKEN_CANARY)):
        # Where an answer says it in another place too, it is no secret.
        if canary.encode() not in body.replace(f"<{name}>{canary}</{name}>".encode(), b""):
            assert_hides(canary, text)


def _assert_as_answered(snapshot: Snapshot[Documents], body: bytes) -> None:
    """Hold what is served against the answer as another XML parser reads it."""
    held = snapshot.credentials
    said = [(each.tag.rpartition("}")[2], each.text) for each in ET.fromstring(body).iter()]
    given = {
        "AccessKeyId": held.access_key_id,
        "SecretAccessKey": held.secret_access_key.reveal(),
        "SessionToken": held.session_token.reveal(),
        "Arn": held.assumed_role_arn,
    }
    for name, value in given.items():
        assert (name, value) in said, name
    assert _SESSION_ARN.fullmatch(held.assumed_role_arn)
    assert held.expires_at.utcoffset().total_seconds() == 0
    assert (held.expires_at - START).total_seconds() > SERVE_MARGIN_SECONDS
    document = json.loads(snapshot.documents.container.body)
    assert document["SecretAccessKey"] == given["SecretAccessKey"]
    assert json.loads(snapshot.documents.imds_role)["Token"] == given["SessionToken"]
    _assert_one_profile(snapshot)


def _assert_one_profile(snapshot: Snapshot[Documents]) -> None:
    """Hold that a file of credentials gets these lines and no other from an impostor."""
    held = snapshot.credentials
    keys = ProfileKeys(
        held.access_key_id, held.secret_access_key, held.session_token, held.expires_at
    )
    assert all(line.isprintable() for line in keys.lines())


_CREDENTIALS = {
    "AccessKeyId": "ASIA0123456789ABCDEF",
    "SecretAccessKey": KEY_CANARY,
    "SessionToken": TOKEN_CANARY,
    "Expiration": "2026-01-01T01:00:00Z",
}


def _body(
    credentials: dict[str, str], arn: str, *, root: str = "AssumeRoleWithWebIdentity"
) -> bytes:
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in credentials.items())
    return (
        f'<{root}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{root}Result>'
        f"<Credentials>{inner}</Credentials><AssumedRoleUser><Arn>{arn}</Arn>"
        f"<AssumedRoleId>AROA:imdsd</AssumedRoleId></AssumedRoleUser></{root}Result>"
        f"<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{root}Response>"
    ).encode("utf-8", "surrogatepass")


def _refusal(status: int, retry: str, code: str, message: str) -> bytes:
    return (
        f"{status} {retry}\n<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
        f"<Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    ).encode("utf-8", "surrogatepass")


def _session(name: str, value: str, arn: str, escaped: bool) -> bytes:
    said = {**_CREDENTIALS, name: escape(value) if escaped else value}
    return b"200\n" + _body(said, arn)


GOOD = b"200\n" + _body(_CREDENTIALS, ASSUMED_ARN)
_BOMB = "".join(f'<!ENTITY x{n} "{f"&x{n - 1};" * 10}">' for n in range(1, 10))
_SEEDS = (
    GOOD,
    _refusal(400, "", "ValidationError", "exceeds the MaxSessionDuration set"),
    _refusal(429, "7", "Throttling", "Rate exceeded"),
    _refusal(403, "", "AccessDenied", f"not authorized: {_WEB_IDENTITY_TOKEN}"),
    _refusal(400, "", "IDPRejectedClaim", _SIGNATURE),
    b"503 3\n<html><body>busy</body></html>",
    b'500\n{"Error": {"Code": "x"}}',
    b"302 \n",
    f'200\n<!DOCTYPE x [<!ENTITY x0 "aaaaaaaaaa">{_BOMB}]><x>&x9;</x>'.encode(),
    b"200\n" + b"<a>" * 3000,
    b"200\n" + _body({**_CREDENTIALS, "AccessKeyId": "A&#10;[default]"}, ASSUMED_ARN),
    b"200\n" + _body(_CREDENTIALS, ASSUMED_ARN.replace("dev", "other")),
)
_EXPIRATIONS = (
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "1767229200",
    "1e400", "NaN", "2026-01-01", "2026-01-01T00:00:29Z", "Thu, 01 Jan 2026 01:00:00 GMT", "now", "",
    "2026-01-01T01:00:00+99:99", "9" * 400, "-1", "2026-02-30T00:00:00Z", "2026-01-01T01:00:00.9999999Z",
)  # fmt: skip
_TEXTS = st.one_of(
    odd_texts(),
    st.sampled_from(
        (_WEB_IDENTITY_TOKEN, _SIGNATURE, f"({_SIGNATURE})", "<a/>", "&#10;", "&x;", "]]>")
    ),
)

TARGET = Target(
    check,
    cases=st.one_of(
        st.builds(
            _session,
            st.sampled_from(sorted({*_CREDENTIALS, "More"})),
            _TEXTS,
            st.sampled_from(
                (ASSUMED_ARN, ASSUMED_ARN, "", "arn:aws:sts::123456789012:assumed-role/dev/")
            ),
            st.booleans(),
        ),
        st.builds(
            _session,
            st.just("Expiration"),
            st.sampled_from(_EXPIRATIONS),
            st.just(ASSUMED_ARN),
            st.just(True),
        ),
        st.builds(
            _refusal,
            st.sampled_from((200, 300, 302, 400, 403, 429, 500, 503)),
            st.one_of(
                st.just(""), st.sampled_from(("1", "0", "-1", "1e9", "9" * 400, "nan", "Thu"))
            ),
            st.one_of(st.sampled_from(("AccessDenied", "ValidationError", "Throttling")), _TEXTS),
            _TEXTS,
        ),
        spoiled(st.sampled_from(_SEEDS)),
    ),
    seeds=_SEEDS,
)
