"""How findings are told: lines for a person, a document for programs, an exit status for both."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from imdsd import __version__
from imdsd.doctor.finding import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imdsd.doctor.finding import Finding

FORMAT = 1
"""Counts up when a key of the document changes its meaning or goes; new keys do not count."""

WARNINGS_STATUS = 5
_SYMBOLS = {Level.OK: "✓", Level.WARNING: "!", Level.FAILURE: "✗", Level.SKIPPED: "-"}
_PLAIN_SYMBOLS = {Level.OK: "+", Level.WARNING: "!", Level.FAILURE: "x", Level.SKIPPED: "-"}
_COLOURS = {Level.OK: "32", Level.WARNING: "33", Level.FAILURE: "31", Level.SKIPPED: "2"}
_COUNTED = {Level.FAILURE: "failure", Level.WARNING: "warning", Level.SKIPPED: "skipped"}
_INDENT = 4
_NARROWEST = 40


class Style:
    """What the reader of the lines can show: a width or none, colours, letters beyond ASCII.

    What to do is said once for findings that follow one another and need the same.
    """

    def __init__(self, *, width: int | None, colour: bool, unicode: bool) -> None:
        self._width = None if width is None else max(width, _NARROWEST)
        self._colour = colour
        self._symbols = _SYMBOLS if unicode else _PLAIN_SYMBOLS
        self._arrow = "→" if unicode else "->"
        self._remedy = ""

    def lines(self, finding: Finding) -> Iterable[str]:
        """Return a line that says what was found, and what to do below it."""
        mark = f"{self._symbols[finding.level]} {finding.level:8}"
        head = f"{mark}{finding.step:14}{finding.found}"
        first, *more = self._folded(head, indent=_INDENT)
        yield self._coloured(mark, finding.level) + first.removeprefix(mark)
        yield from more
        if finding.remedy and finding.remedy != self._remedy:
            yield from self._folded(
                f"{' ' * _INDENT}{self._arrow} {finding.remedy}", indent=_INDENT + 3
            )
        self._remedy = finding.remedy

    def summary(self, findings: Sequence[Finding]) -> str:
        """Return the last line."""
        counts = Counter(each.level for each in findings)
        told = [
            f"{counts[level]} {word}{'s' if counts[level] != 1 and word != 'skipped' else ''}"
            for level, word in _COUNTED.items()
            if counts[level]
        ]
        told.append(f"{counts[Level.OK]} ok")
        return ", ".join(told)

    def _folded(self, text: str, *, indent: int) -> list[str]:
        if self._width is None:
            return [text]
        return textwrap.wrap(
            text,
            self._width,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
            replace_whitespace=False,
        )

    def _coloured(self, text: str, level: Level) -> str:
        return f"\x1b[{_COLOURS[level]}m{text}\x1b[0m" if self._colour else text


def as_document(findings: Sequence[Finding]) -> dict[str, object]:
    """Return what `--json` prints."""
    counts = Counter(each.level for each in findings)
    return {
        "format": FORMAT,
        "imdsd": __version__,
        "verdict": verdict(findings),
        "counts": {str(level): counts[level] for level in Level},
        "findings": [
            {
                "step": str(each.step),
                "level": str(each.level),
                "code": each.code,
                "found": each.found,
                "remedy": each.remedy,
                "facts": dict(each.facts),
            }
            for each in findings
        ],
    }


def verdict(findings: Iterable[Finding]) -> Level:
    """Return the worst level: ok, warning or failure."""
    levels = {each.level for each in findings}
    return next((each for each in (Level.FAILURE, Level.WARNING) if each in levels), Level.OK)


def exit_status(findings: Iterable[Finding], *, strict: bool) -> int:
    """Return 0, 1 with a failure, and 5 with warnings where those count."""
    worst = verdict(findings)
    if worst is Level.FAILURE:
        return 1
    return WARNINGS_STATUS if strict and worst is Level.WARNING else 0
