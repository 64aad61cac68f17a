"""One abuse: the bytes that are sent, how, and what must come of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

ENDS = ("stay", "half-close", "close", "reset")
"""What the abuser does when all is sent: wait, say that no more comes, or be gone."""
GONE = ("close", "reset")

_REPEATED = re.compile(r"\{(\d+)\*((?:[^{}]|\{[^{}]*\})*)\}", re.DOTALL)
_PADDED = re.compile(r"\{(.)\.\.(\d+)\}")

Fill = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What must come: the status of each answer, and the end of the connection.

    `end` is `closed`, `kept`, or `cut` for a connection that ends before all was answered.
    """

    answers: tuple[int, ...]
    end: str = "closed"

    def __str__(self) -> str:
        if len(self.answers) > 5:
            told = f"{len(self.answers)} answers"
        else:
            told = ", ".join(map(str, self.answers))
        return f"{told or 'nothing'}, {self.end}"


@dataclass(frozen=True, slots=True)
class Abuse:
    """One abuse. `outcomes` are those that will do, by configuration; those of "" for all others.

    `drip` is sent after `sent`, byte by byte; nothing that ends in the daemon's patience may end
    before `least_seconds`.
    """

    name: str
    reason: str
    sent: str
    outcomes: dict[str, tuple[Outcome, ...]]
    drip: str = ""
    every_seconds: float = 0.0
    least_seconds: float = 0.0
    unread_seconds: float = 0.0
    end: str = "stay"
    mints: bool = False
    each: str = ""

    @property
    def is_slow(self) -> bool:
        """Whether it takes its time, so that others had better go on beside it."""
        due = [outcome for outcomes in self.outcomes.values() for outcome in outcomes]
        waits = any(408 in outcome.answers for outcome in due)
        return bool(self.drip or self.least_seconds or self.unread_seconds) or waits

    def due(self, configuration: str) -> tuple[Outcome, ...]:
        """Return what may come of it where the daemon is configured like this."""
        return self.outcomes.get(configuration, self.outcomes[""])

    def filled(self, fill: Fill) -> Abuse:
        """Return it with every `{name}` replaced, then what is repeated or padded written out."""
        return replace(self, sent=_written(fill(self.sent)), drip=_written(fill(self.drip)))


def _written(text: str) -> str:
    text = _REPEATED.sub(lambda found: int(found[1]) * found[2], text)
    return "\r\n".join(map(_padded, text.split("\r\n"))) if _PADDED.search(text) else text


def _padded(line: str) -> str:
    """Return a line of just so many bytes, by as many of a character as it takes."""
    found = _PADDED.search(line)
    if found is None:
        return line
    missing = int(found[2]) - len(line) + len(found[0])
    return line[: found.start()] + missing * found[1] + line[found.end() :]
