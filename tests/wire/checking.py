"""Every way in which an answer can be wrong: what its case expects, and what every answer owes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.wire.case import Case
from tests.wire.service import TTL_HEADER
from tests.wire.talking import Answer

_LONGEST_SHOWN = 160
_LEAST_ECHO = 9
"""A shorter piece of a request may stand in a page by chance."""
_LONGEST_TTL_SECONDS = 21600
_SECRET_KEYS = ("SecretAccessKey", "Token")


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a case: the bytes sent, the answers, and one to compare the last with."""

    sent: bytes
    answers: tuple[Answer, ...]
    other: Answer | None = None


def problems(case: Case, found: Found) -> list[str]:
    """Return one line for each thing that is not as it must be, none for a case that holds."""
    last = found.answers[-1]
    return [
        *(line for answer in found.answers for line in _owed(case, answer, found.sent)),
        *_closing(case, last),
        *_expected_head(case, last),
        *_expected_body(case, last),
        *_expected_lines(case, last),
        *_expected_json(case, last),
        *_compared(case, last, found.other),
    ]


def _owed(case: Case, answer: Answer, sent: bytes) -> Iterator[str]:
    yield from _framing(case, answer)
    for name, _ in answer.headers:
        if name.lower().startswith("access-control-"):
            yield f"the header {name} is there, expected no CORS header anywhere"
    for name in ("Transfer-Encoding", "Content-Encoding", "Location"):
        if answer.all(name):
            yield f"the header {name} is there, expected none: clients follow and decode nothing"
    if not any(name.lower() == "server" for name, _ in case.expect.headers):
        server = "EC2ws" if case.is_imds else "imdsd"
        if answer.all("Server") != [server]:
            yield f"Server is {answer.all('Server')}, expected {server!r}"
    if answer.status >= 400:
        yield from _echoes(answer, sent)
    if case.is_imds and answer.status == 200:
        yield from _metadata(case, answer)


def _framing(case: Case, answer: Answer) -> Iterator[str]:
    version_1_0 = bool(case.raw) and " HTTP/1.0" in case.raw[0]
    if answer.version != "HTTP/1.1" and not version_1_0:
        yield f"the answer is {answer.version}, expected HTTP/1.1"
    length = answer.all("Content-Length")
    if len(length) != 1 or not length[0].isdecimal():
        yield f"Content-Length is {length}, expected it once, a whole number"
    elif case.verb != "HEAD" and int(length[0]) != len(answer.body):
        yield f"Content-Length is {length[0]}, found {len(answer.body)} bytes"
    if answer.extra:
        yield f"after the body came {_shown(answer.extra)}, expected nothing"


def _echoes(answer: Answer, sent: bytes) -> Iterator[str]:
    """Find pieces of the request in an error: an echo is how secrets and scripts get around."""
    # What a body is labelled with may be the same on both sides.
    headers = [value for name, value in answer.headers if name.lower() != "content-type"]
    told = answer.body + "\r\n".join(headers).encode("latin-1")
    head, _, body = sent.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    values = [line.partition(b":") for line in lines]
    pieces = {
        "path": b"".join(first.split(b" ")[1:2]),
        "body": body,
        **{f"header {name.decode('latin-1')}": value.strip() for name, _, value in values},
    }
    for name, piece in pieces.items():
        if len(piece) >= _LEAST_ECHO and piece in told:
            yield f"the error repeats the {name} of the request, expected no echo"


def _metadata(case: Case, answer: Answer) -> Iterator[str]:
    is_text = (answer.one("Content-Type") or "").startswith("text/plain")
    if is_text and answer.body.endswith((b"\n", b"\r")):
        yield f"the body ends in {answer.body[-2:]!r}, expected no newline at the end of a value"
    if case.shows == "valid":
        left = answer.one(TTL_HEADER) or ""
        if not (left.isdecimal() and 0 < int(left) <= _LONGEST_TTL_SECONDS):
            yield f"{TTL_HEADER} is {left!r}, expected the seconds that the token has left"


def _closing(case: Case, answer: Answer) -> Iterator[str]:
    if answer.closed is False:
        yield "the connection stayed open, expected the service to close it"
    # An end that is announced may be yet to come.
    ends = answer.closed or (answer.one("Connection") or "").lower() == "close"
    if case.expect.closed is False and ends:
        yield "the connection ends with the answer, expected it to stay open"


def _expected_head(case: Case, answer: Answer) -> Iterator[str]:
    if answer.status not in case.expect.status:
        expected = " or ".join(map(str, case.expect.status))
        yield f"status {answer.status}, expected {expected}"
    for name, expected in case.expect.headers:
        values = answer.all(name)
        if len(values) != 1 or not _fits(values[0], expected):
            yield f"{name} is {values}, expected {expected!r} once"
    for name in case.expect.absent:
        if answer.all(name):
            yield f"the header {name} is there, expected it absent"


def _expected_body(case: Case, answer: Answer) -> Iterator[str]:
    expect, body = case.expect, answer.body
    if expect.body_empty and body:
        yield f"body {_shown(body)}, expected it empty"
    if expect.body is not None and body != expect.body.encode():
        yield f"body {_shown(body)}, expected {_shown(expect.body.encode())}"
    if expect.body_matches is not None and not re.fullmatch(
        expect.body_matches, _text(body), re.DOTALL
    ):
        yield f"body {_shown(body)}, expected one that matches {expect.body_matches!r}"
    if expect.body_bytes is not None and len(body) != expect.body_bytes:
        yield f"{len(body)} bytes of body, expected {expect.body_bytes}"


def _expected_lines(case: Case, answer: Answer) -> Iterator[str]:
    expect, lines = case.expect, _text(answer.body).split("\n")
    for line in expect.lines_include:
        if line not in lines:
            yield f"the listing {lines} lacks {line!r}"
    for line in expect.lines_exclude:
        if line in lines:
            yield f"the listing {lines} has {line!r}, expected it absent"
    # Names are sorted, and the slash of a directory is not of its name.
    if expect.lines_sorted and lines != sorted(lines, key=lambda line: line.rstrip("/")):
        yield f"the listing {lines} is not in alphabetical order"


def _expected_json(case: Case, answer: Answer) -> Iterator[str]:
    expect = case.expect
    if expect.json is None and not expect.json_keys:
        return
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        yield f"body {_shown(answer.body)}, expected a JSON object"
        return
    if expect.json_keys and tuple(document) != expect.json_keys:
        yield f"the keys are {list(document)}, expected {list(expect.json_keys)} in this order"
    for key, expected in (expect.json or {}).items():
        if not _same(document.get(key), expected):
            value = "(secret)" if key in _SECRET_KEYS else _shown(str(document.get(key)).encode())
            yield f"{key} is {value}, expected {expected!r}"


def _compared(case: Case, answer: Answer, other: Answer | None) -> Iterator[str]:
    if other is None:
        return
    where = f"GET {case.expect.same_as}"
    if answer.status != other.status:
        yield f"status {answer.status}, expected {other.status} as of {where}"
    for name in ("Content-Length", "Content-Type", "Server", "Cache-Control"):
        if answer.all(name) != other.all(name):
            yield f"{name} is {answer.all(name)}, expected {other.all(name)} as of {where}"
    if case.verb != "HEAD" and answer.body != other.body:
        yield f"body {_shown(answer.body)}, expected {_shown(other.body)} as of {where}"


def _same(found: object, expected: object) -> bool:
    if isinstance(found, str) and isinstance(expected, str):
        return _fits(found, expected)
    return type(found) is type(expected) and found == expected


def _fits(found: str, expected: str) -> bool:
    if expected.startswith("~"):
        return re.fullmatch(expected[1:], found) is not None
    return found == expected


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _shown(body: bytes) -> str:
    # The service may be a real one, and a terminal is read by others.
    if any(key.encode() in body for key in _SECRET_KEYS):
        return f"(credentials, {len(body)} bytes)"
    cut = "…" if len(body) > _LONGEST_SHOWN else ""
    return f"{body[:_LONGEST_SHOWN]!r}{cut}"
