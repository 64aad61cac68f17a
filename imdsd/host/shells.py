"""The only module that knows how each shell and tool spells the setting of a variable."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from imdsd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BARE = re.compile(r"[A-Za-z0-9_./:@%+=,-]*", re.ASCII)
# PowerShell takes the typographic single quotes for the plain one (about_Quoting_Rules).
_POWERSHELL_QUOTES = re.compile("(['\u2018\u2019\u201a\u201b])")


def render(variables: Mapping[str, str], *, style: str) -> str:
    """Write variables in one of STYLES, ready to be evaluated or read; ends in a newline."""
    return _RENDERERS[style](variables)


def assignments(variables: Mapping[str, str]) -> str:
    """Write bare `NAME=value` lines, the form of `$GITHUB_ENV`.

    Raises UsageError for a value of several lines, which would set further variables.
    """
    for name, value in variables.items():
        if "\n" in value or "\r" in value:
            raise UsageError(f"{name} has a line break, which this format cannot carry")
    return _lines(variables, lambda name, value: f"{name}={value}")


def _sh(variables: Mapping[str, str]) -> str:
    def quoted(value: str) -> str:
        return "'" + value.replace("'", "'\\''") + "'"

    return _lines(variables, lambda name, value: f"export {name}={quoted(value)}")


def _fish(variables: Mapping[str, str]) -> str:
    # Within fish's single quotes only \\ and \' are escapes.
    def quoted(value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

    return _lines(variables, lambda name, value: f"set -gx {name} {quoted(value)};")


def _powershell(variables: Mapping[str, str]) -> str:
    def quoted(value: str) -> str:
        return "'" + _POWERSHELL_QUOTES.sub(r"\1\1", value) + "'"

    return _lines(variables, lambda name, value: f"$Env:{name} = {quoted(value)}")


def _dotenv(variables: Mapping[str, str]) -> str:
    # Bare where possible: `docker run --env-file` takes quotes for a part of the value.
    assignments(variables)

    def quoted(value: str) -> str:
        if _BARE.fullmatch(value):
            return value
        if "'" not in value:
            return f"'{value}'"
        return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'

    return _lines(variables, lambda name, value: f"{name}={quoted(value)}")


def _json(variables: Mapping[str, str]) -> str:
    return json.dumps(dict(variables), indent=2) + "\n"


def _lines(variables: Mapping[str, str], line: Callable[[str, str], str]) -> str:
    return "".join(line(name, value) + "\n" for name, value in variables.items())


_RENDERERS: dict[str, Callable[[Mapping[str, str]], str]] = {
    "sh": _sh,
    "fish": _fish,
    "powershell": _powershell,
    "dotenv": _dotenv,
    "json": _json,
}
STYLES = tuple(_RENDERERS)
