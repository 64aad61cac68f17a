"""The tokens of the IMDS protocol: stateless, so there is nothing to fill, flush or lose."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from imdsd.secret import Secret

LONGEST_TTL_SECONDS = 21600

# 42 bytes are 56 URL-safe characters without padding, the length EC2's tokens have. Python's
# decoder takes the other alphabet of base64 too, in which nothing is issued.
_SHAPE = re.compile(r"[A-Za-z0-9_-]{56}")
_EXPIRY_BYTES = 6
_SIGNED_BYTES = _EXPIRY_BYTES + 8
_MAC_BYTES = 42 - _SIGNED_BYTES


def parse_ttl(text: str) -> int | None:
    """Return the asked seconds, or None unless it is a whole ASCII number from 1 to 21600."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LONGEST_TTL_SECONDS))):
        return None
    seconds = int(text)
    return seconds if 1 <= seconds <= LONGEST_TTL_SECONDS else None


class ImdsTokens:
    """Issue and verify tokens: HMAC-SHA-256 over expiry and nonce.

    The key is derived from the bearer, so tokens outlive a restart as the bearer does: the CRT
    and Rust SDKs hold one for six hours.
    """

    def __init__(self, bearer: Secret) -> None:
        self._key = hmac.digest(bearer.reveal().encode(), b"imdsd IMDS token key", hashlib.sha256)

    def issue(self, ttl_seconds: int, *, now: datetime) -> str:
        """Return a new token that is good for `ttl_seconds`."""
        expiry = int(now.timestamp()) + ttl_seconds
        signed = expiry.to_bytes(_EXPIRY_BYTES) + secrets.token_bytes(8)
        return base64.urlsafe_b64encode(signed + self._mac(signed)).decode()

    def remaining_seconds(self, token: str, *, now: datetime) -> int | None:
        """Return the whole seconds a token is still good for, None for a forged or expired one."""
        if _SHAPE.fullmatch(token) is None:
            return None
        raw = base64.urlsafe_b64decode(token)
        signed, mac = raw[:_SIGNED_BYTES], raw[_SIGNED_BYTES:]
        if not hmac.compare_digest(mac, self._mac(signed)):
            return None
        left = int.from_bytes(signed[:_EXPIRY_BYTES]) - int(now.timestamp())
        return left if 0 < left <= LONGEST_TTL_SECONDS else None

    def _mac(self, signed: bytes) -> bytes:
        return hmac.digest(self._key, signed, hashlib.sha256)[:_MAC_BYTES]
