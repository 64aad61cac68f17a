"""Every figure of docs/fleet.md: which scenario it comes from, and the file that keeps them all."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.fleet import scenarios
from benchmarks.fleet.scenarios import HOUR, MACHINES, OUTAGE_SECONDS, PER_SECOND, SESSIONS
from benchmarks.fleet.simulation import run
from benchmarks.fleet.sts import Sts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.fleet.scenarios import Row

FILE = Path(__file__).parents[2] / "docs" / "fleet.json"
Figures = dict[str, list[Any]]
Job = tuple[str, "Callable[..., Any]", tuple[Any, ...], dict[str, Any]]

FLEET = 10_000
"""The fleet of the plots and of what is compared."""

# A short session's outage is a million calls in vain: told of fleets up to this size.
_LARGEST_IN_VAIN = 1_000
BOOT_WINDOW_SECONDS = 2
_SWEPT = (450, 900, 1350, 1800, 2250, 2700, 3600, 5400)


def jobs(*, most_machines: int = max(MACHINES)) -> Iterator[Job]:
    """Yield what is to be simulated for fleets of at most so many machines."""
    # The longest first, for those who simulate side by side.
    for machines in reversed(MACHINES):
        if machines <= most_machines:
            for per_second in PER_SECOND:
                yield from _of_any_size(machines, per_second)
    if most_machines >= max(MACHINES):
        yield from _of_large_fleets()


def _of_any_size(machines: int, per_second: float) -> Iterator[Job]:
    for spread in (0, 30):
        yield _job("boot", scenarios.boot, machines, per_second, spread=spread)
    yield _job("resume", scenarios.resume, machines, per_second, session=3600)
    for session in (900, 3600, 43200):
        if session > min(SESSIONS) or machines <= _LARGEST_IN_VAIN:
            yield _job("outage", scenarios.outage, machines, per_second, session=session)


def _of_large_fleets() -> Iterator[Job]:
    for machines, session in (
        (100_000, 3600),
        (10_000, 900),
        (10_000, 3600),
        (10_000, 43200),
        (1000, 3600),
    ):
        yield _job("cycles", scenarios.cycles, machines, 600, session=session)
    for spread in (0, 30):
        for machines in _SWEPT:
            yield _job("sweep", scenarios.boot, machines, 60, spread=spread)
    yield _job("sweep", scenarios.boot, 30 * 600, 600, spread=30)
    for session in SESSIONS:
        yield _job("load", scenarios.load, max(MACHINES), min(PER_SECOND), session=session)
    yield from _of_the_fleet()


def _of_the_fleet() -> Iterator[Job]:
    for name in scenarios.RULES:
        yield _job("rules", scenarios.rule, name, FLEET, 60)
    for name in scenarios.alternatives(1):
        yield _job("compared", _compared, name)
    for spread in (0, 30, FLEET // 60):
        yield _job("boot_course", _boot_course, spread)
    for session in (900, 3600, 43200):
        yield _job("outage_course", _outage_course, session)


def _job(name: str, work: Callable[..., Any], *given: Any, **named: Any) -> Job:
    return name, work, given, named


def _compared(name: str) -> Row:
    course = scenarios.compared_course(FLEET, 600, name)
    windows = course.windows(scenarios.WINDOW_SECONDS)
    return {**scenarios.compared(name, course, per_second=600), "rates": windows}


def _boot_course(spread: float) -> dict[str, Any]:
    course = run(scenarios.booted(FLEET, spread=spread), Sts(60))
    return {
        "spread": spread,
        "calls": round(course.calls_per_machine, 2),
        "rates": course.windows(BOOT_WINDOW_SECONDS),
    }


def _outage_course(session: float) -> dict[str, Any]:
    until = OUTAGE_SECONDS + HOUR
    course = scenarios.outage_course(FLEET, 60, session=session, until=until)
    return {"session": session, "rates": course.windows(scenarios.WINDOW_SECONDS)}


def simulate(*, most_machines: int = max(MACHINES), processes: int = 1) -> Figures:
    """Return the figures of fleets of at most so many machines, in the order of `jobs`."""
    todo = list(jobs(most_machines=most_machines))
    if processes == 1:
        results = [work(*given, **named) for _, work, given, named in todo]
    else:
        with ProcessPoolExecutor(processes) as pool:
            begun = [pool.submit(work, *given, **named) for _, work, given, named in todo]
            results = [job.result() for job in begun]
    figures: Figures = {}
    for (name, *_), result in zip(todo, results, strict=True):
        figures.setdefault(name, []).append(result)
    return figures


def keep(figures: Figures) -> None:
    """Write the figures down, one row a line."""
    parts = [
        f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]"
        for name, rows in figures.items()
    ]
    FILE.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def kept() -> Figures:
    """Return the figures as they were written down."""
    figures: Figures = json.loads(FILE.read_text(encoding="utf-8"))
    return figures


def digest() -> str:
    """Return what tells one file of figures from another."""
    return hashlib.sha256(FILE.read_bytes()).hexdigest()[:16]
