"""What a request's head may be: one rule for both of aiohttp's parsers, which differ in theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import HttpVersion10, HttpVersion11

from imdsd.endpoints.door.limits import (
    BODY_BYTES,
    FIELD_BYTES,
    HEADER_BYTES,
    HEADERS,
    LINE_BYTES,
)
from imdsd.endpoints.message import Answer

if TYPE_CHECKING:
    from aiohttp import HttpVersion
    from aiohttp.web_request import BaseRequest

NO_HTTP = Answer(400)
TOO_LARGE = Answer(413)
_HEADERS_TOO_LARGE = Answer(431)

PARSED_LINES = HEADERS + 2
"""The pure-Python parser counts the request line and the empty one as well."""

_VERSIONS = (HttpVersion10, HttpVersion11)


def refused(incoming: BaseRequest, version: HttpVersion) -> Answer | None:
    """Return the answer to a head that is no HTTP of ours or too large, None for a good one.

    `version` is the one that the client wrote. After such an answer the connection ends.
    """
    if version not in _VERSIONS or _is_malformed(incoming):
        return NO_HTTP
    # RFC 9112, section 6.1: there were no chunks in HTTP/1.0.
    if version == HttpVersion10 and "Transfer-Encoding" in incoming.headers:
        return NO_HTTP
    if sum(len(name) + len(value) for name, value in incoming.raw_headers) > HEADER_BYTES:
        return _HEADERS_TOO_LARGE
    return TOO_LARGE if (incoming.content_length or 0) > BODY_BYTES else None


def _is_malformed(incoming: BaseRequest) -> bool:
    """Whether something is too long or too many; the C parser counts target and value alone."""
    line = f"{incoming.method} {incoming.raw_path} HTTP/1.1"
    fields = incoming.raw_headers
    return (
        len(line) > LINE_BYTES
        or len(fields) > HEADERS
        or any(len(name) + len(value) + len(": ") > FIELD_BYTES for name, value in fields)
    )
