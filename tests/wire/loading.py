"""How case files are read: strictly, so that no case says less than it seems to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path

from tests.wire.case import FACTS, PLACEHOLDER, SERVICES, TOKENS, Case, Expectation
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
CONFIGURATIONS = Path(__file__).parent / "configurations"

_MADE = ("method", "path", "headers", "token", "body")
"""Of what a request is made that is not raw."""
_NOT_DEFAULTS = ("name", "reason", "each")


def load_cases(directory: Path = CASES, *, needs: Iterable[str] | None = None) -> tuple[Case, ...]:
    """Return the cases of every file, in order.

    `needs` are the names of the configurations there are. Raises `BadCaseError`.
    """
    known = tuple(needs) if needs is not None else configurations()
    return gather(directory, lambda path: _load(path, known))


def configurations() -> tuple[str, ...]:
    """Return the names of the configurations that a case may need."""
    return tuple(sorted(path.stem for path in CONFIGURATIONS.glob("*.toml")))


def _load(path: Path, needs: tuple[str, ...]) -> Iterator[Case]:
    whole = read(path)
    defaults = whole.take("defaults", dict) or {}
    assert isinstance(defaults, dict)
    for key in _NOT_DEFAULTS:
        if key in defaults:
            raise BadCaseError(path.name, f"{key} stands in [defaults], expected in each case")
    for where, entry in entries(whole, "case"):
        table = Table(_merged(entry, defaults), where)
        for name, value in repetitions(table):
            yield _case(table, name, each=value, needs=needs)


def _merged(entry: Mapping[str, object], defaults: dict[str, object]) -> dict[str, object]:
    """Return a case over its file's defaults; what makes a request gives way to a raw one."""
    if "raw" in entry:
        defaults = {key: value for key, value in defaults.items() if key not in _MADE}
    merged = {**defaults, **entry}
    expect, usual = entry.get("expect"), defaults.get("expect")
    if isinstance(expect, dict) and isinstance(usual, dict):
        merged["expect"] = {**usual, **expect}
    return merged


def _case(table: Table, name: str, *, each: str, needs: tuple[str, ...]) -> Case:
    case = Case(
        name=name,
        reason=reason(table, "which client, page or capture needs this"),
        expect=_expectation(table),
        method=table.text("method") or "GET",
        path=_path(table),
        headers=table.pairs("headers"),
        token=table.text("token", of=TOKENS),
        body=table.text("body"),
        raw=table.texts("raw"),
        on=table.texts("on") or SERVICES,
        needs=table.text("needs", of=needs) or "plain",
        each=each,
    )
    table.end()
    _agree(case, table)
    _check_placeholders(case, table.where)
    return case


def _path(table: Table) -> str:
    path = table.text("path")
    if path is None and "raw" not in table:
        raise BadCaseError(table.where, "neither path nor raw is there, expected one of them")
    if path is not None and not path.startswith(("/", "{each}")):
        raise BadCaseError(table.where, f"path is {path!r}, expected a slash first")
    return path or "/"


def _agree(case: Case, table: Table) -> None:
    for key in _MADE if case.raw else ():
        if key in table:
            raise BadCaseError(table.where, f"{key} beside raw, expected one of them")
    for service in case.on:
        if service not in SERVICES:
            raise BadCaseError(table.where, unknown("on names", service, SERVICES))
    expect = case.expect
    bodies = [expect.body is not None, expect.body_matches is not None, expect.body_empty]
    if sum(bodies) > 1:
        raise BadCaseError(
            table.where, "expect has more than one of body, body_matches, body_empty"
        )


def _expectation(table: Table) -> Expectation:
    found = table.take("expect", dict)
    if not isinstance(found, dict):
        raise BadCaseError(table.where, "expect.status is missing")
    expect = Table(found, f"{table.where}, expect")
    headers, status = expect.pairs("headers"), _status(expect)
    pattern = expect.text("body_matches")
    for text in (pattern, *(value[1:] for _, value in headers if value.startswith("~"))):
        _check_pattern(text, expect.where)
    made = Expectation(
        status=status,
        headers=headers,
        absent=expect.texts("absent"),
        body=expect.text("body"),
        body_matches=pattern,
        body_empty=bool(expect.take("body_empty", bool)),
        body_bytes=_whole(expect, "body_bytes"),
        lines_include=expect.texts("lines_include"),
        lines_exclude=expect.texts("lines_exclude"),
        lines_sorted=bool(expect.take("lines_sorted", bool)),
        json=_json(expect),
        json_keys=expect.texts("json_keys"),
        same_as=expect.text("same_as"),
        answers=_whole(expect, "answers") or 1,
        closed=_flag(expect, "closed"),
    )
    expect.end()
    return made


def _status(expect: Table) -> tuple[int, ...]:
    found = expect.take("status", int, list)
    statuses = found if isinstance(found, list) else [found]
    if not statuses or not all(type(each) is int and 200 <= each <= 599 for each in statuses):
        raise BadCaseError(expect.where, f"status is {found!r}, expected one, or a list of them")
    return tuple(statuses)


def _whole(expect: Table, key: str) -> int | None:
    found = expect.take(key, int)
    return found if isinstance(found, int) else None


def _flag(expect: Table, key: str) -> bool | None:
    found = expect.take(key, bool)
    return found if isinstance(found, bool) else None


def _json(expect: Table) -> Mapping[str, object] | None:
    found = expect.take("json", dict)
    if not isinstance(found, dict):
        return None
    for value in found.values():
        if isinstance(value, str) and value.startswith("~"):
            _check_pattern(value[1:], expect.where)
    return found


def _check_pattern(text: str | None, where: str) -> None:
    if text is None:
        return
    try:
        re.compile(PLACEHOLDER.sub("x", text))
    except re.error as error:
        raise BadCaseError(where, f"{text!r} is no pattern: {error}") from error


def _check_placeholders(case: Case, where: str) -> None:
    named: list[str] = []

    def note(text: str) -> str:
        named.extend(PLACEHOLDER.findall(text))
        return text

    case.filled(note)
    if "{each}" in case.each:
        raise BadCaseError(where, f"each holds {case.each!r}, expected no {{each}} in itself")
    for name in [*named, *PLACEHOLDER.findall(case.each)]:
        if name not in FACTS:
            raise BadCaseError(where, unknown("unknown placeholder", name, FACTS))


assert {each.name for each in fields(Case)} >= set(_MADE)
