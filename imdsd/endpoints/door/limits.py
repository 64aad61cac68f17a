"""What one client may take of the daemon: every size, number and time the door allows."""

from __future__ import annotations

from dataclasses import dataclass

LINE_BYTES = 8190
FIELD_BYTES = 8190
HEADERS = 64
HEADER_BYTES = 16 * 1024
UNENDED_HEAD_BYTES = 64 * 1024
"""aiohttp's parsers would keep 64 fields of the greatest length, half a mebibyte, before an end."""
BODY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections there may be, and how long a client may let the daemon wait."""

    connections: int = 256
    spare_connections: int = 8
    """How many more may be told that there is no place, or that they were too slow."""
    head_seconds: float = 2.0
    """From the accept, or the first byte on a kept connection, to the end of the headers."""
    request_seconds: float = 5.0
    """From the same instant to the end of the body."""
    write_seconds: float = 5.0
    """How long an answer may lie here because its client does not read."""
    idle_seconds: float = 15.0
    """From an answer to the first byte of the next request."""
    farewell_seconds: float = 1.0
    """How long a client may take to read why its connection ends."""
    newcomer_seconds: float = 0.25
    """How long a stopping daemon waits for the first request of a client that it accepted."""


LIMITS = Limits()
