"""The claims of a web identity token: a body of any bytes is read as it says, or refused."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

from hypothesis import strategies as st

from imdsd.errors import ClaimsError
from imdsd.secret import Secret
from imdsd.tokens.claims import Claims, check_claims, read_claims
from tests.fakes.web_identity import CLAIMS, part
from tests.fuzz.shapes import json_documents, spoiled
from tests.fuzz.target import Target, assert_fit_for_a_person, assert_hides

NOW = datetime.fromtimestamp(CLAIMS["iat"], UTC)
AUDIENCE = CLAIMS["aud"]
SIGNATURE = "c2lnbmF0dXJlLWNhbmFyeS1vZi10aGUtZnV6emVyLTAxMjM0NTY3ODk"
_HEADER = part({"alg": "RS256", "kid": "k1"})
_LEAST_SECONDS = 60
_YEARS = 10 * 365 * 86400


def check(data: bytes) -> None:
    """Read the bytes as a whole token, and as the body of one."""
    _check_token(data.decode("utf-8", "surrogateescape"))
    body = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    claims = _check_token(f"{_HEADER}.{body}.{SIGNATURE}")
    if claims is None:
        assert not _surely_good(data), "a good token was refused"
    else:
        assert dict(claims.values) == json.loads(data)


def _check_token(token: str) -> Claims | None:
    """Return the claims of a token that passes, None for one that is refused as it should."""
    try:
        claims = read_claims(Secret(token))
        warnings = check_claims(claims, audience=AUDIENCE, now=NOW)
    except ClaimsError as error:
        assert_fit_for_a_person(error)
        assert_hides(SIGNATURE, str(error))
        return None
    assert AUDIENCE in claims.audience
    assert (claims.expires_at - NOW).total_seconds() >= _LEAST_SECONDS
    assert all(len(warning) < 200 and warning.isprintable() for warning in warnings)
    assert claims.issuer
    assert claims.subject
    assert claims.environment.startswith(claims.issuer)
    return claims


def _surely_good(data: bytes) -> bool:
    """Whether any reader would take these claims for good, by JSON and RFC 7519 alone."""
    try:
        claims = json.loads(data.decode("utf-8"))
        json.dumps(claims, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return isinstance(claims, dict) and all(
        (
            _is_text(claims.get("iss")),
            _is_text(claims.get("sub")),
            _names(claims.get("aud"), AUDIENCE),
            _is_instant(claims.get("exp"), least=CLAIMS["iat"] + _LEAST_SECONDS),
            "iat" not in claims or _is_instant(claims["iat"], least=0),
        )
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _names(value: object, audience: str) -> bool:
    listed = value if isinstance(value, list) else [value]
    return all(isinstance(each, str) for each in listed) and audience in listed


def _is_instant(value: object, *, least: int) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and least <= value <= CLAIMS["exp"] + _YEARS


_SEEDS = tuple(
    json.dumps({**CLAIMS, **more}).encode()
    for more in (
        {},
        {"aud": ["a", AUDIENCE], "exp": 1e10},
        {"aud": "another", "nbf": 0},
        {"kubernetes.io": {"pod": {"uid": "u1"}}, "environment_id": ""},
        {"repository_id": 1, "run_id": "2", "check_run_id": "3"},
        {"iat": -62135596800, "exp": 253402300799},
        {"exp": True, "sub": ["x"], "iss": ""},
    )
)

TARGET = Target(
    check,
    cases=st.one_of(
        json_documents(CLAIMS), spoiled(st.sampled_from(_SEEDS)), spoiled(json_documents(CLAIMS))
    ),
    seeds=(*_SEEDS, f"{_HEADER}.{part(CLAIMS)}.{SIGNATURE}".encode()),
)
