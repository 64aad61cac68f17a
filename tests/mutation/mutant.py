"""A mutant: one change of a module, and whether a test noticed."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

KILLED = "killed"
SURVIVED = "survived"
TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`change` is the lines that differ, each after `- ` or `+ ` and without its indent."""

    module: str
    where: str
    change: str
    outcome: str

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.module, self.where, self.change


def change_of(before: str, after: str) -> str:
    return changed_lines(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0))


def changed_lines(diff) -> str:
    """Return what a unified diff takes away and puts in."""
    body = [line for line in diff if not line.startswith(("---", "+++", "@@", " "))]
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in body if line.strip("+- "))
