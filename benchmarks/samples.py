"""The only module that knows how measurements are repeated, interleaved and summed up."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def interleave(
    ways: Mapping[str, Callable[[], float]], *, repetitions: int
) -> dict[str, list[float]]:
    """Measure A B C, A B C, …: a shared machine slows all of them alike, or none.

    A first round, which fills caches, is thrown away.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for repetition in range(repetitions + 1):
        for name, measure in ways.items():
            value = measure()
            if repetition:
                taken[name].append(value)
    return taken


def added(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return what each repetition took over the base of the same repetition."""
    return [value - least for value, least in zip(values, base, strict=True)]


def ratios(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return how many times the base each repetition took.

    A base of nothing or less is noise; it counts as the least that is told apart.
    """
    return [value / max(least, 0.1) for value, least in zip(values, base, strict=True)]


def middle(values: Sequence[float], *, digits: int = 0) -> str:
    return f"{median(values):.{digits}f}"


def spread(values: Sequence[float], *, digits: int = 0) -> str:
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"
