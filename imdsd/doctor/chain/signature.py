"""Whether the token's signature is its issuer's: what STS checks, checked here with its keys."""

from __future__ import annotations

import importlib.util
import json
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import jwt

from imdsd.addresses import is_loopback
from imdsd.doctor.chain.network import ANSWER_CAP_BYTES, NetworkError, get
from imdsd.doctor.finding import Diagnosis, Level, Step
from imdsd.errors import tidy
from imdsd.tokens.shape import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from imdsd.doctor.finding import Finding
    from imdsd.secret import Secret
    from imdsd.tokens.claims import Claims

LOOK_SECONDS = 5.0
_OK = 200
# What IAM takes (IAM User Guide, "Create an OpenID Connect identity provider in IAM"): no `none`,
# and nothing that a shared secret signs.
_ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
_STEP = Step.SIGNATURE

_failure = partial(Diagnosis, _STEP, Level.FAILURE)

VERIFIED = Diagnosis(_STEP, Level.OK, "verified", "the issuer's published key verifies the token")
NO_EXTRA = _failure(
    "no-extra",
    "`--verify` needs a library that is not installed",
    "install imdsd with its extra, as in: uv tool install 'imdsd[verify] @ git+URL'",
)
INSECURE = _failure(
    "insecure",
    "the issuer, or where it says its keys are, is no https address",
    "have tokens minted by an issuer that serves https; plain http is asked on loopback only",
)
UNREACHABLE = _failure(
    "unreachable",
    "discovery document or keys cannot be fetched",
    "see whether this machine, by HTTPS_PROXY if need be, reaches {url}; STS, which fetches the "
    "same, may still do so",
)
DISCOVERY = _failure(
    "discovery",
    "what is served there is no discovery document of this issuer, or no key set",
    "ask who runs the issuer; compare {url} with the issuer's documentation",
)
UNKNOWN_KEY = _failure(
    "unknown-key",
    "the token names a key that the issuer does not publish",
    "mint a new token, since keys are replaced; if it stays, another issuer made it",
)
WRONG = _failure(
    "wrong",
    "the signature is not that of the issuer's key",
    "do not trust the token source: what it gives was changed or made by somebody else",
)
ALGORITHM = _failure(
    "algorithm",
    "the token is signed by an algorithm that IAM does not take",
    "have the issuer sign with RS256 or ES256",
)


def can_verify() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("cryptography") is not None


class _Refused(Exception):  # noqa: N818  # carries a finding up, and is no error of its own
    def __init__(self, finding: Finding) -> None:
        self.finding = finding


def verify(
    token: Secret,
    claims: Claims,
    environ: Mapping[str, str],
    *,
    ca_bundle: Path | None,
    installed: bool,
    seconds: float = LOOK_SECONDS,
) -> Iterator[Finding]:
    """Fetch the issuer's keys, each document within `seconds`, and check the signature.

    `installed` says whether PyJWT has what it checks signatures with.
    """
    if not installed:
        yield NO_EXTRA("the package cryptography is not installed")
        return

    def fetch(url: str) -> dict[str, object]:
        return _fetch(url, environ, ca_bundle=ca_bundle, seconds=seconds)

    try:
        header = jwt.get_unverified_header(token.reveal())
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in _ALGORITHMS:
            raise _Refused(ALGORITHM(f"alg is {one_line(str(algorithm), most=40)!r}"))
        url = f"{claims.issuer.rstrip('/')}/.well-known/openid-configuration"
        keys_url = _keys_url(fetch(url), url, claims.issuer)
        key = _key(fetch(keys_url), keys_url, key_id)
        yield _checked(token, key, algorithm, keys_url)
    except _Refused as refused:
        yield refused.finding


def _fetch(
    url: str, environ: Mapping[str, str], *, ca_bundle: Path | None, seconds: float
) -> dict[str, object]:
    shown = one_line(url)
    _refuse_insecure(url, shown)
    try:
        answer = get(url, environ=environ, ca_bundle=ca_bundle, seconds=seconds)
    except (NetworkError, ValueError) as error:
        raise _Refused(UNREACHABLE(f"{shown}: {error}", url=shown)) from None
    if answer.status != _OK:
        raise _Refused(UNREACHABLE(f"{shown} answered {answer.status}", url=shown))
    try:
        document = json.loads(answer.body[:ANSWER_CAP_BYTES])
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _Refused(DISCOVERY(f"{shown} is no JSON object", url=shown))
    return document


def _refuse_insecure(url: str, shown: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    plain = parts.scheme == "http" and is_loopback(host)
    if not (host and (plain or parts.scheme == "https")) or not url.isascii() or " " in url:
        raise _Refused(INSECURE(f"{shown}: expected https"))


def _keys_url(document: Mapping[str, object], url: str, issuer: str) -> str:
    named, keys_url = document.get("issuer"), document.get("jwks_uri")
    if named != issuer:
        told = one_line(str(named), most=100)
        raise _Refused(DISCOVERY(f"{url} speaks of {told!r}, expected {issuer!r}", url=url))
    if not isinstance(keys_url, str):
        raise _Refused(DISCOVERY(f"{url} has no jwks_uri", url=url))
    return keys_url


def _key(document: Mapping[str, object], url: str, key_id: object) -> jwt.PyJWK:
    try:
        keys = jwt.PyJWKSet.from_dict(dict(document)).keys
    except jwt.PyJWTError:
        raise _Refused(DISCOVERY(f"{one_line(url)} is no key set", url=one_line(url))) from None
    # A token without a key id is of the only key there is (OpenID Connect Core, 10.1).
    fitting = [key for key in keys if key.key_id == key_id or (key_id is None and len(keys) == 1)]
    if not fitting:
        # Neither is a secret: a key id stands in what the issuer publishes.
        known = tidy(", ".join(str(key.key_id) for key in keys), most=200)
        told = f"kid is {tidy(str(key_id), most=80)!r}, {one_line(url)} has {known or 'none'}"
        raise _Refused(UNKNOWN_KEY(told))
    return fitting[0]


def _checked(token: Secret, key: jwt.PyJWK, algorithm: str, url: str) -> Finding:
    # Times and audience were judged before, against the clock that was handed in.
    unasked = ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
    options = {"verify_signature": True, **{f"verify_{claim}": False for claim in unasked}}
    try:
        jwt.decode(token.reveal(), key, algorithms=[algorithm], options=options)  # type: ignore[arg-type]  # a TypedDict to PyJWT
    except jwt.PyJWTError as error:
        return WRONG(
            f"the key {key.key_id} of {one_line(url)} does not fit: {type(error).__name__}"
        )
    return VERIFIED(f"{algorithm} by the key {key.key_id} of {one_line(url)}", key_id=key.key_id)
