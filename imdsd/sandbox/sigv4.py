"""How a Signature Version 4 in a request's headers is checked.

Canonical forms: IAM User Guide, "Create a signed AWS API request". Codes and texts: what STS
answers, which says SignatureDoesNotMatch, not RequestExpired, to a request of another hour.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from imdsd.sandbox.wire import StsError
from imdsd.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imdsd.sandbox.sessions import Session, Sessions

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "sts"
MOST_SKEW = timedelta(minutes=5)
_STAMP = "%Y%m%dT%H%M%SZ"
_FIELD = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a signature is made over; path and query as they stood on the wire."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return a header's value in its canonical form, several joined by commas."""
        values = [" ".join(value.split()) for key, value in self.headers if key.lower() == name]
        return ",".join(values) if values else None


@dataclass(frozen=True, slots=True)
class Authorization:
    """The fields of the Authorization header."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str

    @property
    def scope(self) -> str:
        """What the signing key is derived for."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def parse_authorization(header: str | None) -> Authorization:
    """Take an Authorization header apart.

    Raises StsError: MissingAuthenticationToken without one, IncompleteSignature for another.
    """
    if not header:
        raise StsError("MissingAuthenticationToken")
    algorithm, _, rest = header.partition(" ")
    fields: dict[str, str] = dict(_FIELD.findall(rest))
    scope = fields.get("Credential", "").split("/")
    if algorithm != ALGORITHM or len(fields) < 3 or len(scope) != 5:  # noqa: PLR2004  # the form's own numbers
        raise StsError("IncompleteSignature")
    signed = tuple(fields["SignedHeaders"].split(";"))
    return Authorization(scope[0], scope[1], scope[2], scope[3], signed, fields["Signature"])


def authenticate(request: SignedRequest, sessions: Sessions, *, now: datetime) -> Session:
    """Return the session whose credentials signed a request; raises StsError for any other."""
    authorization = parse_authorization(request.header("authorization"))
    session = sessions.find(authorization.access_key_id)
    sent_token = Secret(request.header("x-amz-security-token") or "")
    if session is None or sent_token != session.session_token:
        raise StsError("InvalidClientTokenId")
    if session.expires_at <= now:
        raise StsError("ExpiredToken")
    stamp = request.header("x-amz-date") or ""
    _check_stamp(stamp, authorization, now=now)
    _check_signed_headers(request, authorization)
    expected = sign(request, authorization, stamp=stamp, secret=session.secret_access_key)
    if not hmac.compare_digest(expected.encode(), authorization.signature.encode()):
        raise StsError("SignatureDoesNotMatch")
    return session


def _check_stamp(stamp: str, authorization: Authorization, *, now: datetime) -> None:
    if authorization.service != SERVICE:
        text = f"Credential should be scoped to correct service: '{SERVICE}'."
        raise StsError("SignatureDoesNotMatch", text)
    try:
        signed_at = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        text = "Authorization header requires existence of a 'X-Amz-Date' in ISO-8601 basic format"
        raise StsError("IncompleteSignature", text) from None
    if not stamp.startswith(authorization.date):
        text = "Date in Credential scope does not match the date of the request"
        raise StsError("SignatureDoesNotMatch", text)
    _check_skew(signed_at, now=now)


def _check_skew(signed_at: datetime, *, now: datetime) -> None:
    stamp, present = signed_at.strftime(_STAMP), now.strftime(_STAMP)
    if signed_at < now - MOST_SKEW:
        earliest = (now - MOST_SKEW).strftime(_STAMP)
        text = f"Signature expired: {stamp} is now earlier than {earliest} ({present} - 5 min.)"
        raise StsError("SignatureDoesNotMatch", text)
    if signed_at > now + MOST_SKEW:
        latest = (now + MOST_SKEW).strftime(_STAMP)
        text = (
            f"Signature not yet current: {stamp} is still later than {latest} ({present} + 5 min.)"
        )
        raise StsError("SignatureDoesNotMatch", text)


def _check_signed_headers(request: SignedRequest, authorization: Authorization) -> None:
    sent = {name.lower() for name, _ in request.headers}
    must = {"host", *(name for name in sent if name.startswith("x-amz-"))}
    for name in sorted(must - set(authorization.signed_headers)):
        text = f"'{name}' must be a 'SignedHeader' in the AWS Authorization."
        raise StsError("SignatureDoesNotMatch", text)


def sign(
    request: SignedRequest, authorization: Authorization, *, stamp: str, secret: Secret
) -> str:
    """Return the signature that the secret's owner gives this request, in hexadecimal."""
    digest = hashlib.sha256(_canonical(request, authorization.signed_headers).encode()).hexdigest()
    text = f"{ALGORITHM}\n{stamp}\n{authorization.scope}\n{digest}"
    key = f"AWS4{secret.reveal()}".encode()
    for part in authorization.scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _canonical(request: SignedRequest, signed_headers: Iterable[str]) -> str:
    names = tuple(signed_headers)
    headers = "".join(f"{name}:{request.header(name) or ''}\n" for name in names)
    return "\n".join(
        (
            request.method,
            # Every service but S3 encodes the path once more than it was on the wire.
            quote(request.path, safe="/~"),
            _canonical_query(request.query),
            headers,
            ";".join(names),
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def _canonical_query(query: str) -> str:
    pairs = (item.partition("=")[::2] for item in query.split("&") if item)
    encoded = sorted((_encode(name), _encode(value)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encode(text: str) -> str:
    return quote(unquote(text), safe="-_.~")
