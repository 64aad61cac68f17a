"""HTTP/1.1 as RFC 9112 spells it and nothing beyond: what a stream of bytes asks, and was answered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Section 3 lets a recipient take any number of blanks for one.
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") +([!-~]+) +HTTP/1\.([01])\r\n")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):([\t -~\x80-\xff]*)\r\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t -~\x80-\xff]*)?\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2}) [\t -~]*\r\n")
_CONTINUE = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is well-formed to the last byte of its head."""

    method: str
    target: str
    version: str
    fields: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, its framing exact."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes


def requests_in(data: bytes) -> Iterator[Asked]:
    """Return the requests up to the first byte that is not as it should be."""
    at = 0
    while True:
        # RFC 9112, section 2.2: empty lines before a request line are passed over, and may end in
        # LF alone. The C parser passes a lone CR over too: whatever it was, it asked nothing.
        while data[at : at + 1] in (b"\r", b"\n"):
            at += 1
        line = _REQUEST_LINE.match(data, at)
        if line is None:
            return
        fields, at = _fields(data, line.end())
        if at < 0:
            return
        asked = Asked(line[1].decode(), line[2].decode(), line[3].decode(), fields)
        yield asked
        at = _after_body(asked, data, at)
        if at < 0:
            return


def answers_in(data: bytes, methods: Sequence[str]) -> Iterator[Answered]:
    """Return the answers, and raise AssertionError where one is not as it should be.

    `methods` are those of the requests as far as they are known.
    """
    at, number = 0, 0
    while at < len(data):
        line = _STATUS_LINE.match(data, at)
        assert line is not None, data[at : at + 100]
        fields, at = _fields(data, line.end())
        assert at >= 0, "a head that is not as it should be"
        if int(line[1]) == _CONTINUE:
            continue
        lengths = [value for key, value in fields if key.lower() == "content-length"]
        assert len(lengths) == 1, fields
        assert not any(key.lower() == "transfer-encoding" for key, _ in fields)
        length = int(lengths[0])
        if _is_bare(data, at, length, methods[number] if number < len(methods) else None):
            length = 0
        assert at + length <= len(data), "a body that is cut short"
        yield Answered(int(line[1]), fields, data[at : at + length])
        at, number = at + length, number + 1


def _is_bare(data: bytes, at: int, length: int, method: str | None) -> bool:
    """Whether an answer has no body whatever its length says: it is one to HEAD, or looks so."""
    if method is not None:
        return method.upper() == "HEAD"
    end = at + length
    whole = end == len(data) or data.startswith(b"HTTP/1.", end)
    return not whole and (at == len(data) or data.startswith(b"HTTP/1.", at))


def _fields(data: bytes, at: int) -> tuple[tuple[tuple[str, str], ...], int]:
    """Return the fields of a head and where its body begins, -1 for a head that has no end."""
    found = []
    while not data.startswith(b"\r\n", at):
        match = _FIELD.match(data, at)
        if match is None:
            return (), -1
        found.append((match[1].decode(), match[2].strip(b" \t").decode("latin-1")))
        at = match.end()
    return tuple(found), at + 2


def _after_body(asked: Asked, data: bytes, at: int) -> int:
    """Return where a request's body ends, -1 where nobody could say or it has not ended."""
    lengths, codings = asked.all("Content-Length"), asked.all("Transfer-Encoding")
    if not lengths and not codings:
        return at
    if lengths and codings:
        return -1
    if lengths:
        well_formed = len(lengths) == 1 and re.fullmatch(r"[0-9]{1,9}", lengths[0])
        end = at + int(lengths[0]) if well_formed else -1
        return end if end <= len(data) else -1
    return _after_chunks(data, at) if [c.lower() for c in codings] == ["chunked"] else -1


def _after_chunks(data: bytes, at: int) -> int:
    while True:
        size = _CHUNK.match(data, at)
        if size is None:
            return -1
        length, at = int(size[1], 16), size.end()
        if length == 0:
            return _fields(data, at)[1]
        at += length
        if not data.startswith(b"\r\n", at):
            return -1
        at += 2
