"""What came of the mutants, as docs/reliability.md has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report import RELIABILITY, Table
from tests.mutation.mutant import SURVIVED, TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.mutation.mutant import Mutant

LEAST_SCORE = 85.0
"""Of a hundred mutants, so many must be noticed."""

COLUMNS = ("module", "mutants", "killed", "of these by timeout", "survived", "score")


def table(mutants: Sequence[Mutant]) -> Table:
    modules = dict.fromkeys(mutant.module for mutant in mutants)
    rows = [_row(f"`{name}`", [m for m in mutants if m.module == name]) for name in modules]
    return Table("mutation", COLUMNS, [*rows, _row("all", mutants)], RELIABILITY)


def _row(name: str, mutants: Sequence[Mutant]) -> tuple[str, ...]:
    survived, timeouts = (_count(mutants, outcome) for outcome in (SURVIVED, TIMEOUT))
    numbers = (len(mutants), len(mutants) - survived, timeouts, survived)
    return (name, *map(str, numbers), f"{score(mutants):.1f} %")


def score(mutants: Sequence[Mutant]) -> float:
    """Return how many in a hundred were noticed, by a failing test or by never ending."""
    return 100 * (1 - _count(mutants, SURVIVED) / len(mutants))


def _count(mutants: Sequence[Mutant], outcome: str) -> int:
    return sum(mutant.outcome == outcome for mutant in mutants)
