"""The only module that knows how the tables inside [metadata] are taken apart."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from imdsd.config.parsers import table as parse_table
from imdsd.config.tables import ExpectedError, Setting, Settings, Table

if TYPE_CHECKING:
    from imdsd.config.parsers import Parser

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN_CHARACTERS = 120


def entries_of(table: Table, name: str) -> Settings:
    """Return the entries of a table whose keys are the user's own, in the file's order."""
    setting = table.setting(name)
    if setting is None:
        return {}
    entries: Mapping[str, object] = table.read(name, parse_table, {})
    return {
        key: Setting(value, setting.source, f"{setting.key}.{_written(key)}")
        for key, value in entries.items()
    }


def tables_of(table: Table, name: str, *, most: int | None = None) -> tuple[Setting, ...]:
    """Return each table of an array as a setting, its value a mapping for sure."""
    setting = table.setting(name)
    if setting is None:
        return ()
    found = table.read(name, _array(f"[[{setting.key}]]", most), [])
    return tuple(setting.item(index, each) for index, each in enumerate(found))


def mapping_in(setting: Setting) -> Mapping[str, object]:
    """Return what `tables_of` made sure is a table."""
    return setting.value if isinstance(setting.value, Mapping) else {}


def _array(heading: str, most: int | None) -> Parser[list[Mapping[str, object]]]:
    expected = "an array of tables" if most is None else f"an array of at most {most} tables"

    def parse(value: object) -> list[Mapping[str, object]]:
        if isinstance(value, Mapping):
            hint = f"write {heading} with two brackets"
            raise ExpectedError(expected, found="one table", hint=hint)
        items = value if isinstance(value, list) else [None]
        tables = [item for item in items if isinstance(item, Mapping)]
        if len(tables) != len(items) or (most is not None and len(tables) > most):
            raise ExpectedError(expected)
        return tables

    return parse


def _written(key: str) -> str:
    """Return a key as it is written in a file: in quotes where it has to be."""
    written = key if _BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)
    return written if len(written) <= _SHOWN_CHARACTERS else f"{written[:_SHOWN_CHARACTERS]}…"
