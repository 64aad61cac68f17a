"""Every way in which what came of an abuse can be wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.abuse.abuse import GONE, Abuse, Outcome
from tests.abuse.talking import Heard, split
from tests.wire.talking import Answer, NoAnswerError

_LEAST_ECHO = 9
"""A shorter piece of a request may stand in a page by chance."""
_IMDS_TOKEN = re.compile(rb"[A-Za-z0-9_-]{55}[A-Za-z0-9_=-]")
_CREDENTIALS = (b"SecretAccessKey", b"AccessKeyId", b"ASIA")
_OURS = ("content-type", "connection", "server", "date")
"""What these say in an answer is the protocol's, whoever said it first."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What no abuser may hear: values, never shown in what is told of them."""

    values: tuple[bytes, ...]


def problems(
    abuse: Abuse, outcomes: tuple[Outcome, ...], heard: Heard, secrets: Secrets
) -> list[str]:
    """Return one line for each thing that is wrong; the abuse is filled already."""
    if abuse.end in GONE:
        return []
    return [
        *_leaks(abuse, heard.said, secrets),
        *_outcome(outcomes, heard),
        *_times(abuse, heard),
        *_echoes(abuse, heard),
    ]


def _leaks(abuse: Abuse, said: bytes, secrets: Secrets) -> Iterator[str]:
    """Look at all bytes that came, be they an answer or not."""
    if any(value in said for value in secrets.values):
        yield "a secret came"
    if any(word in said for word in _CREDENTIALS):
        yield "what looks like credentials came"
    if not abuse.mints and _IMDS_TOKEN.search(said):
        yield "what looks like an IMDS token came"
    if b"access-control-" in said.lower():
        yield "a CORS header came"


def _outcome(outcomes: tuple[Outcome, ...], heard: Heard) -> Iterator[str]:
    try:
        answers, rest = split(heard.said)
    except NoAnswerError as error:
        yield f"{error} in {heard.said[:200]!r}"
        return
    found = Outcome(tuple(answer.status for answer in answers), heard.end)
    if not any(_fits(found, outcome) for outcome in outcomes):
        yield f"{found}, expected {' or '.join(map(str, outcomes))}"
    if rest and not any(outcome.end == "cut" for outcome in outcomes):
        yield f"after {len(answers)} answers came {rest[:200]!r}, expected nothing"
    yield from _versions(answers)


def _fits(found: Outcome, expected: Outcome) -> bool:
    if expected.end != "cut":
        return found == expected
    count = len(found.answers)
    was_cut = count < len(expected.answers) and found.end == "closed"
    return was_cut and found.answers == expected.answers[:count]


def _versions(answers: Iterable[Answer]) -> Iterator[str]:
    for answer in answers:
        if answer.version not in ("HTTP/1.0", "HTTP/1.1"):
            yield f"the answer is {answer.version}, expected HTTP/1.1"
        if answer.status >= 400 and answer.all("Location"):
            yield "the header Location is there"


def _times(abuse: Abuse, heard: Heard) -> Iterator[str]:
    if heard.seconds < abuse.least_seconds - 0.1:
        yield f"it ended after {heard.seconds:.1f} s, expected {abuse.least_seconds:g} s at least"


def _echoes(abuse: Abuse, heard: Heard) -> Iterator[str]:
    """Find what was sent in what came, names of fields apart: they are the protocol's."""
    try:
        answers, _ = split(heard.said)
    except NoAnswerError:
        return
    told = b"\r\n".join(_told(answers))
    for piece in sorted(set(_pieces(abuse.sent + abuse.drip))):
        if piece in told:
            yield f"the answer repeats {piece[:80]!r}"


def _told(answers: Iterable[Answer]) -> Iterator[bytes]:
    for answer in answers:
        yield answer.body
        for name, value in answer.headers:
            if name.lower() not in _OURS:
                yield value.encode("latin-1")


def _pieces(sent: str) -> Iterator[bytes]:
    for line in re.split(r"[\r\n]+", sent):
        # A field's name is no piece, but the target in front of a colon is.
        _, colon, value = line.partition(":")
        text = value if colon and " " not in line.partition(":")[0] else line
        for piece in text.split():
            if len(piece) >= _LEAST_ECHO:
                yield piece.encode("latin-1")
