"""Signatures made by botocore's own signer, and what happens when one thing about them is off."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from imdsd.clock import SystemClock
from imdsd.sandbox.sessions import Sessions, open_session, parse_role_arn
from imdsd.sandbox.sigv4 import SignedRequest, authenticate
from imdsd.sandbox.wire import StsError

# botocore's signer reads the machine's own clock.
NOW = SystemClock().now()
ROLE = parse_role_arn("arn:aws:iam::123456789012:role/dev")
SESSION = open_session(ROLE, "test", now=NOW, duration_seconds=3600)
SESSIONS = Sessions()
SESSIONS.remember(SESSION)
BODY = b"Action=GetCallerIdentity&Version=2011-06-15"


def signed(
    *,
    session=SESSION,
    secret=None,
    token=None,
    service="sts",
    method="POST",
    url="http://127.0.0.1:4711/",
    body=BODY,
    headers=None,
):
    credentials = Credentials(
        session.access_key_id,
        secret or session.secret_access_key.reveal(),
        token or session.session_token.reveal(),
    )
    request = AWSRequest(method, url, data=body, headers={"X-Other": "a  b", **(headers or {})})
    SigV4Auth(credentials, service, "eu-central-1").add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    sent = [(name, str(value)) for name, value in request.headers.items()]
    return SignedRequest(method, parts.path, parts.query, (("Host", parts.netloc), *sent), body)


def with_header(request, name, value):
    kept = [(key, old) for key, old in request.headers if key.lower() != name.lower()]
    return replace(request, headers=(*kept, (name, value)) if value is not None else tuple(kept))


def code_of(request, *, now=None):
    with pytest.raises(StsError) as caught:
        authenticate(request, SESSIONS, now=now or SystemClock().now())
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4711/",
        "http://127.0.0.1:4711/?Action=GetCallerIdentity&Version=2011-06-15",
        "http://127.0.0.1:4711/?b=2&a=%2F%20~%2A&a=&c",
        "http://[::1]:4711/a%20b/c",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_right_signature_names_its_session(url, method):
    request = signed(url=url, method=method)
    assert authenticate(request, SESSIONS, now=SystemClock().now()) is SESSION


@given(body=st.binary(max_size=200), value=st.text("abc \t=,;", max_size=20))
def test_whatever_is_signed_is_accepted_and_bound(body, value):
    request = signed(body=body, headers={"X-Amz-Meta": value or "-"})
    now = SystemClock().now()
    assert authenticate(request, SESSIONS, now=now) is SESSION
    with pytest.raises(StsError):
        authenticate(replace(request, body=body + b"!"), SESSIONS, now=now)


def test_a_wrong_secret_is_refused():
    code, message = code_of(signed(secret="not-the-secret"))
    assert code == "SignatureDoesNotMatch"
    assert message.startswith("The request signature we calculated does not match")


@pytest.mark.parametrize(
    "changes", [{"body": b"Action=Other"}, {"method": "PUT"}, {"path": "/x"}, {"query": "a=b"}]
)
def test_what_was_changed_after_signing_is_refused(changes):
    assert code_of(replace(signed(), **changes))[0] == "SignatureDoesNotMatch"


def test_an_unknown_access_key_is_refused():
    stranger = open_session(ROLE, "stranger", now=NOW, duration_seconds=3600)
    assert code_of(signed(session=stranger))[0] == "InvalidClientTokenId"


def test_another_session_token_is_refused():
    assert code_of(signed(token="another"))[0] == "InvalidClientTokenId"


def test_a_missing_session_token_is_refused():
    assert code_of(with_header(signed(), "X-Amz-Security-Token", None))[0] == "InvalidClientTokenId"


def test_credentials_past_their_expiry_are_refused():
    code, message = code_of(signed(), now=SESSION.expires_at)
    assert (code, message) == (
        "ExpiredToken",
        "The security token included in the request is expired",
    )


@pytest.mark.parametrize(
    ("skew", "text"), [(6, "Signature expired"), (-6, "Signature not yet current")]
)
def test_a_clock_more_than_five_minutes_off_is_named(skew, text):
    code, message = code_of(signed(), now=SystemClock().now() + timedelta(minutes=skew))
    assert code == "SignatureDoesNotMatch"
    assert message.startswith(text)


@pytest.mark.parametrize("skew", [4, -4])
def test_a_clock_less_than_five_minutes_off_is_fine(skew):
    now = SystemClock().now() + timedelta(minutes=skew)
    assert authenticate(signed(), SESSIONS, now=now) is SESSION


def test_a_signature_for_another_service_is_refused():
    code, message = code_of(signed(service="s3"))
    assert code == "SignatureDoesNotMatch"
    assert "correct service: 'sts'" in message


def test_no_signature_at_all_is_named():
    code, message = code_of(with_header(signed(), "Authorization", None))
    assert (code, message) == (
        "MissingAuthenticationToken",
        "Request is missing Authentication Token",
    )


@pytest.mark.parametrize(
    "header",
    [
        "Bearer abc",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=00",
        "AWS4-ECDSA-P256-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=00",
    ],
)
def test_a_broken_authorization_header_is_named(header):
    assert code_of(with_header(signed(), "Authorization", header))[0] == "IncompleteSignature"


@pytest.mark.parametrize("stamp", [None, "yesterday"])
def test_a_request_without_an_instant_is_refused(stamp):
    assert code_of(with_header(signed(), "X-Amz-Date", stamp))[0] == "IncompleteSignature"


def test_a_scope_of_another_day_is_refused():
    code, message = code_of(with_header(signed(), "X-Amz-Date", "20200101T000000Z"))
    assert code == "SignatureDoesNotMatch"
    assert "Date in Credential scope" in message


def test_an_amazon_header_that_is_not_signed_is_refused():
    code, message = code_of(with_header(signed(), "X-Amz-Later", "x"))
    assert code == "SignatureDoesNotMatch"
    assert "'x-amz-later' must be a 'SignedHeader'" in message
