"""How the tables of case files are read: every key is of its kind, and none goes unnoticed."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from tests.wire.case import Pairs

_LEAST_REASON = 20
_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_KINDS = {
    str: "text",
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


class BadCaseError(Exception):
    """A case file that cannot be taken: which file, which case, what was found and expected."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")


class Table:
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
            raise BadCaseError(self.where, unknown(f"{key} is", str(value), known))
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
                raise BadCaseError(self.where, unknown("unknown key", key, self._known))


def unknown(what: str, found: str, known: Iterable[str]) -> str:
    """Say that a word is none of those there are, and which is the nearest."""
    near = difflib.get_close_matches(found, list(known), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
    return f"{what} {found!r}; {hint}"


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Made = TypeVar("Made", bound=_Named)


def gather(directory: Path, load: Callable[[Path], Iterable[Made]]) -> tuple[Made, ...]:
    """Return what `load` makes of each file, in order, no name twice."""
    owner: dict[str, str] = {}
    found: list[Made] = []
    for path in sorted(directory.glob("*.toml")):
        for made in load(path):
            if made.name in owner:
                raise BadCaseError(
                    f"{path.name}, case {made.name!r}",
                    f"this name stands in {owner[made.name]} already; choose another",
                )
            owner[made.name] = path.name
            found.append(made)
    if not found:
        raise BadCaseError(str(directory), "no case in any *.toml, expected some")
    return tuple(found)


def read(path: Path) -> Table:
    """Return the table that a file is."""
    try:
        return Table(tomllib.loads(path.read_text(encoding="utf-8")), path.name)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadCaseError(path.name, f"this is not TOML: {error}") from error


def entries(whole: Table, key: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield where each entry of a file's list stands, and the entry; the file has no other key."""
    listed = whole.take(key, list) or []
    whole.end()
    assert isinstance(listed, list)
    for number, entry in enumerate(listed, 1):
        where = f"{whole.where}, case {number}"
        if not isinstance(entry, dict):
            raise BadCaseError(where, "this is not a table")
        name = entry.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise BadCaseError(where, f"name is {name!r}, expected small letters, digits, dashes")
        yield f"{whole.where}, case {name!r}", entry


def repetitions(table: Table) -> list[tuple[str, str]]:
    """Return the names that a case is repeated under, each with the value of `{each}`."""
    name = table.text("name")
    each = table.take("each", list, dict)
    if each is None:
        return [(str(name), "")]
    if not each:
        raise BadCaseError(table.where, "each is empty, expected a value at least")
    if isinstance(each, dict):
        values = table.checked("each", list(each.values()))
        return [(f"{name}[{label}]", value) for label, value in zip(each, values, strict=True)]
    return [(f"{name}[{value}]", value) for value in table.checked("each", each)]


def reason(table: Table, expected: str) -> str:
    """Return why the case is there, which has to be more than a word."""
    found = (table.text("reason") or "").strip()
    if len(found) < _LEAST_REASON:
        raise BadCaseError(table.where, f"reason is {found!r}, expected {expected}")
    return found
