"""How abuses are read: strictly, so that none is milder than it seems."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.abuse.abuse import ENDS, Abuse, Outcome
from tests.wire.case import FACTS, PLACEHOLDER
from tests.wire.table import (
    BadCaseError,
    Table,
    entries,
    gather,
    read,
    reason,
    repetitions,
    unknown,
)

CASES = Path(__file__).parent / "cases"

_ANSWERS = re.compile(r"(?:(\d+)\*)?([1-5]\d\d)")
_OUTCOME = re.compile(r"(nothing|.*?)(?:, (kept|cut))?")


def load_abuses(directory: Path = CASES, *, configurations: Iterable[str]) -> tuple[Abuse, ...]:
    """Return the abuses of every file, in order. Raises `BadCaseError`."""
    known = tuple(configurations)
    return gather(directory, lambda path: _load(path, known))


def parse_outcomes(text: str, where: str = "") -> tuple[Outcome, ...]:
    """Return what `400`, `200, 400`, `1000*200, kept`, `nothing` or `400 or 408` stands for."""
    return tuple(_outcome(each, where) for each in text.split(" or "))


def _outcome(text: str, where: str) -> Outcome:
    found = _OUTCOME.fullmatch(text)
    assert found is not None  # it matches anything
    words = [] if found[1] == "nothing" else found[1].split(", ")
    answers: list[int] = []
    for word in words:
        answer = _ANSWERS.fullmatch(word)
        if answer is None:
            expected = "such as 400, `200, 400`, `1000*200, kept`, nothing, or `400 or 408`"
            raise BadCaseError(where, f"expect has {text!r}, expected one {expected}")
        answers += [int(answer[2])] * int(answer[1] or 1)
    return Outcome(tuple(answers), found[2] or "closed")


def _load(path: Path, configurations: tuple[str, ...]) -> Iterator[Abuse]:
    for where, entry in entries(read(path), "abuse"):
        table = Table(entry, where)
        for name, each in repetitions(table):
            yield _abuse(table, name, each=each, configurations=configurations)


def _abuse(table: Table, name: str, *, each: str, configurations: tuple[str, ...]) -> Abuse:
    abuse = Abuse(
        name=name,
        reason=reason(table, "what it tries, or who does such a thing"),
        sent="\r\n".join(table.texts("send")),
        outcomes=_outcomes(table, configurations),
        drip="\r\n".join(table.texts("drip")),
        every_seconds=_seconds(table, "every_seconds"),
        least_seconds=_seconds(table, "least_seconds"),
        unread_seconds=_seconds(table, "unread_seconds"),
        end=table.text("end", of=ENDS) or "stay",
        mints=bool(table.take("mints", bool)),
        each=each,
    )
    differs = bool(table.text("differs"))
    table.end()
    _agree(abuse, table, differs=differs)
    _check_text(abuse, table.where)
    return abuse


def _outcomes(table: Table, configurations: tuple[str, ...]) -> dict[str, tuple[Outcome, ...]]:
    expect = table.text("expect")
    if expect is None:
        raise BadCaseError(table.where, "expect is missing")
    outcomes = {"": parse_outcomes(expect, table.where)}
    for name, text in table.pairs("expect_in"):
        if name not in configurations:
            raise BadCaseError(table.where, unknown("expect_in names", name, configurations))
        outcomes[name] = parse_outcomes(text, table.where)
    return outcomes


def _seconds(table: Table, key: str) -> float:
    found = table.take(key, int, float) or 0
    assert isinstance(found, int | float)
    return float(found)


def _agree(abuse: Abuse, table: Table, *, differs: bool) -> None:
    several = any(len(outcomes) > 1 for outcomes in abuse.outcomes.values())
    if several != differs:
        said = "differs, why the parsers do" if several else "no differs: one answer each will do"
        raise BadCaseError(table.where, f"expect is {table.text('expect')!r}, expected {said}")
    if bool(abuse.drip) != bool(abuse.every_seconds):
        raise BadCaseError(table.where, "drip and every_seconds: one without the other")


def _check_text(abuse: Abuse, where: str) -> None:
    for text in (abuse.sent, abuse.drip, abuse.each):
        for name in PLACEHOLDER.findall(text):
            if name not in FACTS:
                raise BadCaseError(where, unknown("unknown placeholder", name, FACTS))
        if not text.isascii() and max(map(ord, text)) > 0xFF:
            raise BadCaseError(where, f"{text!r} is no bytes, expected each as \\u0000 to \\u00ff")
