"""How case files are read: strictly, so that no case says less than it seems to."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path

from tests.wire.case import FACTS, PLACEHOLDER, SERVICES, TOKENS, Case, Expectation, Pairs

CASES = Path(__file__).parent / "cases"
CONFIGURATIONS = Path(__file__).parent / "configurations"

_KINDS = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}
_MADE = ("method", "path", "headers", "token", "body")
"""Of what a request is made that is not raw."""
_NOT_DEFAULTS = ("name", "reason", "each")
_LEAST_REASON = 20


class BadCaseError(Exception):
    """A case file that cannot be taken: which file, which case, what was found and expected."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")


class _Table:
    """A table of a file, of which every key must be taken."""

    def __init__(self, table: Mapping[str, object], where: str) -> None:
        self._table = table
        self._known: list[str] = []
        self.where = where

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def take(self, key: str, *kinds: type) -> object:
        """Return the value of a key, None where it is not there."""
        self._known.append(key)
        value = self._table.get(key)
        # True is an int to Python, not to a reader.
        if value is not None and type(value) not in kinds:
            expected = " or ".join(_KINDS[kind] for kind in kinds)
            raise BadCaseError(self.where, f"{key} is {value!r}, expected {expected}")
        return value

    def text(self, key: str, *, of: Iterable[str] = ()) -> str | None:
        value = self.take(key, str)
        if value is None:
            return None
        known = tuple(of)
        if known and value not in known:
            raise BadCaseError(self.where, _unknown(f"{key} is", str(value), known))
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        return self.checked(key, self.take(key, list) or [])

    def checked(self, key: str, values: object) -> tuple[str, ...]:
        """Return a list's values, each of which must be text."""
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise BadCaseError(self.where, f"{key} is {values!r}, expected a list of text")
        return tuple(values)

    def pairs(self, key: str) -> Pairs:
        """Return a table's pairs, or those of a list where a name stands twice."""
        found = self.take(key, dict, list) or {}
        listed = list(map(list, found.items())) if isinstance(found, dict) else list(found)  # type: ignore[call-overload]
        pairs = [self.checked(key, pair) for pair in listed]
        if any(len(pair) != 2 for pair in pairs):
            raise BadCaseError(self.where, f"{key} is {found!r}, expected pairs of name and value")
        return tuple((pair[0], pair[1]) for pair in pairs)

    def end(self) -> None:
        """Refuse what nobody took."""
        for key in self._table:
            if key not in self._known:
                raise BadCaseError(self.where, _unknown("unknown key", key, self._known))


def load_cases(directory: Path = CASES, *, needs: Iterable[str] | None = None) -> tuple[Case, ...]:
    """Return the cases of every file, in order.

    `needs` are the names of the configurations there are. Raises `BadCaseError`.
    """
    known = tuple(needs) if needs is not None else configurations()
    cases: list[Case] = []
    owner: dict[str, str] = {}
    for path in sorted(directory.glob("*.toml")):
        for case in _load(path, known):
            if case.name in owner:
                raise BadCaseError(
                    f"{path.name}, case {case.name!r}",
                    f"this name stands in {owner[case.name]} already; choose another",
                )
            owner[case.name] = path.name
            cases.append(case)
    if not cases:
        raise BadCaseError(str(directory), "no case in any *.toml, expected some")
    return tuple(cases)


def configurations() -> tuple[str, ...]:
    """Return the names of the configurations that a case may need."""
    return tuple(sorted(path.stem for path in CONFIGURATIONS.glob("*.toml")))


def _load(path: Path, needs: tuple[str, ...]) -> Iterator[Case]:
    try:
        whole = _Table(tomllib.loads(path.read_text(encoding="utf-8")), path.name)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadCaseError(path.name, f"this is not TOML: {error}") from error
    defaults = whole.take("defaults", dict) or {}
    entries = whole.take("case", list) or []
    whole.end()
    assert isinstance(defaults, dict)
    assert isinstance(entries, list)
    for key in _NOT_DEFAULTS:
        if key in defaults:
            raise BadCaseError(path.name, f"{key} stands in [defaults], expected in each case")
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise BadCaseError(f"{path.name}, case {number}", "this is not a table")
        yield from _cases_of(entry, defaults, where=path.name, number=number, needs=needs)


def _cases_of(
    entry: dict[str, object],
    defaults: dict[str, object],
    *,
    where: str,
    number: int,
    needs: tuple[str, ...],
) -> Iterator[Case]:
    name = entry.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]+([._-][a-z0-9]+)*", name):
        raise BadCaseError(
            f"{where}, case {number}", f"name is {name!r}, expected small letters, digits, dashes"
        )
    table = _Table(_merged(entry, defaults), f"{where}, case {name!r}")
    for label, value in _repetitions(table):
        yield _case(table, f"{name}{label}", each=value, needs=needs)


def _merged(entry: dict[str, object], defaults: dict[str, object]) -> dict[str, object]:
    """Return a case over its file's defaults; what makes a request gives way to a raw one."""
    if "raw" in entry:
        defaults = {key: value for key, value in defaults.items() if key not in _MADE}
    merged = {**defaults, **entry}
    expect, usual = entry.get("expect"), defaults.get("expect")
    if isinstance(expect, dict) and isinstance(usual, dict):
        merged["expect"] = {**usual, **expect}
    return merged


def _repetitions(table: _Table) -> list[tuple[str, str]]:
    """Return what a case is repeated with: a suffix of its name, and the value of `{each}`."""
    each = table.take("each", list, dict)
    if each is None:
        return [("", "")]
    if not each:
        raise BadCaseError(table.where, "each is empty, expected a value at least")
    if isinstance(each, dict):
        values = table.checked("each", list(each.values()))
        return [(f"[{name}]", value) for name, value in zip(each, values, strict=True)]
    return [(f"[{value}]", value) for value in table.checked("each", each)]


def _case(table: _Table, name: str, *, each: str, needs: tuple[str, ...]) -> Case:
    table.text("name")
    case = Case(
        name=name,
        reason=_reason(table),
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


def _reason(table: _Table) -> str:
    reason = (table.text("reason") or "").strip()
    if len(reason) < _LEAST_REASON:
        raise BadCaseError(
            table.where, f"reason is {reason!r}, expected which client, page or capture needs this"
        )
    return reason


def _path(table: _Table) -> str:
    path = table.text("path")
    if path is None and "raw" not in table:
        raise BadCaseError(table.where, "neither path nor raw is there, expected one of them")
    if path is not None and not path.startswith(("/", "{each}")):
        raise BadCaseError(table.where, f"path is {path!r}, expected a slash first")
    return path or "/"


def _agree(case: Case, table: _Table) -> None:
    for key in _MADE if case.raw else ():
        if key in table:
            raise BadCaseError(table.where, f"{key} beside raw, expected one of them")
    for service in case.on:
        if service not in SERVICES:
            raise BadCaseError(table.where, _unknown("on names", service, SERVICES))
    expect = case.expect
    bodies = [expect.body is not None, expect.body_matches is not None, expect.body_empty]
    if sum(bodies) > 1:
        raise BadCaseError(
            table.where, "expect has more than one of body, body_matches, body_empty"
        )


def _expectation(table: _Table) -> Expectation:
    found = table.take("expect", dict)
    if not isinstance(found, dict):
        raise BadCaseError(table.where, "expect.status is missing")
    expect = _Table(found, f"{table.where}, expect")
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


def _status(expect: _Table) -> tuple[int, ...]:
    found = expect.take("status", int, list)
    statuses = found if isinstance(found, list) else [found]
    if not statuses or not all(type(each) is int and 200 <= each <= 599 for each in statuses):
        raise BadCaseError(expect.where, f"status is {found!r}, expected one, or a list of them")
    return tuple(statuses)


def _whole(expect: _Table, key: str) -> int | None:
    found = expect.take(key, int)
    return found if isinstance(found, int) else None


def _flag(expect: _Table, key: str) -> bool | None:
    found = expect.take(key, bool)
    return found if isinstance(found, bool) else None


def _json(expect: _Table) -> Mapping[str, object] | None:
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
            raise BadCaseError(where, _unknown("unknown placeholder", name, FACTS))


def _unknown(what: str, found: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(found, list(known), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
    return f"{what} {found!r}; {hint}"


assert {each.name for each in fields(Case)} >= set(_MADE)
