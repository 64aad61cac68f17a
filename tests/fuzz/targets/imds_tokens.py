"""IMDS tokens: what this daemon issued and has not run out is good, and nothing else."""

from __future__ import annotations

import base64
import hmac
import re

from hypothesis import strategies as st

from imdsd.endpoints.imds_tokens import LONGEST_TTL_SECONDS, ImdsTokens, parse_ttl
from tests.fakes.clock import START
from tests.fakes.served import BEARER
from tests.fuzz.shapes import spoiled
from tests.fuzz.target import Target

_NOW = int(START.timestamp())


def genuine(expiry: int, nonce: bytes = b"12345678", bearer: str = BEARER.reveal()) -> str:
    """Make a token as docs/security.md describes it, apart from the daemon's own code."""
    key = hmac.new(bearer.encode(), b"imdsd IMDS token key", "sha256").digest()
    signed = expiry.to_bytes(6, "big") + nonce
    mac = hmac.new(key, signed, "sha256").digest()[:28]
    return base64.urlsafe_b64encode(signed + mac).decode()


def check(data: bytes) -> None:
    """Show the bytes as a token, and ask for one that lives as long as they say."""
    tokens = ImdsTokens(BEARER)
    for text in (data.decode("latin-1"), data.decode("utf-8", "surrogateescape")):
        assert tokens.remaining_seconds(text, now=START) == seconds_left(text), text
        _check_ttl(tokens, text)


def seconds_left(text: str) -> int | None:
    """Say how long a token is good for, by making it anew from what it says."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{56}", text):
        return None
    raw = base64.urlsafe_b64decode(text)
    expiry, nonce = int.from_bytes(raw[:6], "big"), raw[6:14]
    left = expiry - _NOW
    if text != genuine(expiry, nonce) or not 0 < left <= LONGEST_TTL_SECONDS:
        return None
    return left


def _check_ttl(tokens: ImdsTokens, text: str) -> None:
    meant = re.fullmatch(r"[0-9]{1,5}", text) and 1 <= int(text) <= LONGEST_TTL_SECONDS
    ttl = parse_ttl(text)
    assert ttl == (int(text) if meant else None)
    if ttl is not None:
        token = tokens.issue(ttl, now=START)
        assert tokens.remaining_seconds(token, now=START) == ttl == seconds_left(token)


_TOKENS = (
    genuine(_NOW + 1),
    genuine(_NOW + LONGEST_TTL_SECONDS),
    genuine(_NOW + LONGEST_TTL_SECONDS + 1),
    genuine(_NOW),
    genuine(_NOW - 1),
    genuine(2**48 - 1),
    genuine(_NOW + 300, bearer="another daemon's bearer"),
    genuine(_NOW + 300, nonce=b"\xff\xef\xfe\xfb\xff\xef\xfe\xfb"),
)
_SEEDS = tuple(text.encode() for text in (*_TOKENS, "60", "21600", "21601", "0", "00060", "6e1"))


def _crossed(first: str, second: str, at: int) -> bytes:
    """Return the expiry and nonce of one token with the authentication code of another."""
    return (first[:at] + second[at:]).encode()


def _respelled(token: str, old: str, new: str) -> bytes:
    return token.replace(old, new).encode()


TARGET = Target(
    check,
    cases=st.one_of(
        st.builds(_crossed, st.sampled_from(_TOKENS), st.sampled_from(_TOKENS), st.integers(0, 56)),
        st.builds(
            _respelled,
            st.sampled_from(_TOKENS),
            st.sampled_from(("-", "_", "A", "=", "")),
            st.sampled_from(("+", "/", "B", "\n", " ")),
        ),
        spoiled(st.sampled_from(_SEEDS)),
        st.builds(lambda n: str(n).encode(), st.integers(-5, 2 * LONGEST_TTL_SECONDS)),
        st.text(st.characters(categories=["Nd", "No"]), max_size=6).map(str.encode),
    ),
    seeds=_SEEDS,
    longest=128,
)
