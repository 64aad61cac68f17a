"""Which engine runs how many cases of which target, two at a time, and what came of each."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from imdsd.clock import SystemClock
from tests.fuzz.engines import COUNTER_BYTES, Task
from tests.fuzz.target import CRASHES, SHARES

ENGINES = ("hypothesis", "atheris")
HYPOTHESIS_SHARE = 0.1
"""Its cases take milliseconds to make, and each says more."""

COLUMNS = ("target", "engine", "cases", "seconds", "crashes")
"""Of the table in docs/reliability.md."""

_LONGEST_SECONDS = 3600
_SHOWN_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one engine did to one target; `report` is empty if all that were asked for passed."""

    target: str
    engine: str
    cases: int
    seconds: float
    crashes: tuple[Path, ...]
    report: str

    @property
    def passed(self) -> bool:
        return not self.report


def shares(cases: int, targets: Iterable[str] = SHARES) -> Iterator[tuple[str, str, int]]:
    """Return target, engine and cases, at least `cases` in all."""
    chosen = {name: SHARES[name] for name in targets}
    for name, share in chosen.items():
        of_target = -(-cases * share // sum(chosen.values()))
        by_hypothesis = max(1, int(of_target * HYPOTHESIS_SHARE))
        yield name, "hypothesis", by_hypothesis
        yield name, "atheris", of_target - by_hypothesis


def run_all(
    plan: Sequence[tuple[str, str, int]], *, seed: int, crashes: Path = CRASHES
) -> Iterator[Outcome]:
    """Run every share, as many at a time as there are processors, and return them in their order."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda each: run(*each, seed=seed, crashes=crashes), plan)


def run(target: str, engine: str, cases: int, *, seed: int, crashes: Path = CRASHES) -> Outcome:
    """Run one engine on one target in a process of its own; what breaks it lands in `crashes`."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as place:
        counter, broken = Path(place, "counter"), Path(place, "broken")
        counter.write_bytes(bytes(COUNTER_BYTES))
        broken.mkdir()
        began = clock.monotonic()
        done = _run(Task(target, engine, cases, seed, str(counter), str(broken)))
        seconds = clock.monotonic() - began
        counted = int.from_bytes(counter.read_bytes(), "big")
        found = _keep(sorted(broken.iterdir()), crashes / target)
    report = _report(done, found, counted) if done.returncode or found or counted < cases else ""
    return Outcome(target, engine, counted, seconds, found, report)


def _run(task: Task) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.fuzz.engines", task.to_argument()],
        env=_environ(task.engine),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_LONGEST_SECONDS,
        check=False,
    )


def _keep(broken: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    kept = tuple(folder / path.name for path in broken)
    for source, path in zip(broken, kept, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.read_bytes())
    return kept


def _environ(engine: str) -> dict[str, str]:
    """Return this environment; what instruments code for itself is not measured by coverage."""
    measured = engine != "atheris"
    kept = {k: v for k, v in os.environ.items() if measured or not k.startswith("COVERAGE_")}
    return {**kept, "PYTHONHASHSEED": "0"}


def _report(done: subprocess.CompletedProcess[bytes], found: Iterable[Path], counted: int) -> str:
    said = done.stdout.decode("utf-8", "replace")[-6000:]
    cases = "".join(f"\n{path}: {path.read_bytes()[:_SHOWN_BYTES]!r}" for path in found)
    return f"exit {done.returncode} after {counted} cases\n{said}{cases}"


def cells(outcome: Outcome) -> tuple[str, ...]:
    """Return an outcome as a row of the table."""
    seconds, crashes = f"{outcome.seconds:.0f}", str(len(outcome.crashes))
    return outcome.target, outcome.engine, str(outcome.cases), seconds, crashes


def sums(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Return the last row, of them all."""
    cases, crashes = sum(o.cases for o in outcomes), sum(len(o.crashes) for o in outcomes)
    return "all", "both", str(cases), f"{sum(o.seconds for o in outcomes):.0f}", str(crashes)
