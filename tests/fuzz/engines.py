"""The process that puts one engine to one target: `python -m tests.fuzz.engines JSON`.

It counts in shared memory, since libFuzzer ends the process without a farewell.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

COUNTER_BYTES = 8
SLOWEST_SECONDS = 20
"""A case that takes longer hangs, whatever else the machine does."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one process is to do; `counter` and `crashes` are paths."""

    target: str
    engine: str
    cases: int
    seed: int
    counter: str
    crashes: str

    def to_argument(self) -> str:
        return json.dumps(asdict(self))


class Counted:
    """A target's check that counts every case before it is run, and knows the last."""

    def __init__(self, check: Callable[[bytes], None], path: Path) -> None:
        self._check = check
        self._cases = 0
        self.last = b""
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), COUNTER_BYTES)

    def __call__(self, data: bytes) -> None:
        self._cases += 1
        self._shared[:] = self._cases.to_bytes(COUNTER_BYTES, "big")
        self.last = data
        self._check(data)


def by_hypothesis(task: Task) -> None:
    """Make cases by the target's strategy; keep the smallest that breaks it."""
    import hypothesis as h

    from tests.fuzz import target

    found = target.load(task.target)
    counted = Counted(found.check, Path(task.counter))

    @h.seed(task.seed)
    @h.settings(
        max_examples=task.cases,
        database=None,
        deadline=SLOWEST_SECONDS * 1000,
        phases=[h.Phase.generate, h.Phase.shrink],
        suppress_health_check=list(h.HealthCheck),
    )
    @h.given(found.cases)
    def check(data: bytes) -> None:
        counted(data)

    try:
        check()
    except BaseException:
        # Hypothesis ends with the smallest.
        name = f"hypothesis-{hashlib.sha256(counted.last).hexdigest()[:16]}"
        Path(task.crashes, name).write_bytes(counted.last)
        raise


def by_atheris(task: Task) -> None:
    """Mutate bytes towards code of ours that was not reached yet; libFuzzer keeps what breaks."""
    import atheris

    with atheris.instrument_imports(include=["imdsd"]):
        from tests.fuzz import target

        found = target.load(task.target)
    counted = Counted(found.check, Path(task.counter))
    with tempfile.TemporaryDirectory() as corpus:
        for index, seed in enumerate((*found.seeds, *target.kept(task.target))):
            Path(corpus, f"{index:04}").write_bytes(seed)
        options = (
            f"-runs={task.cases}",
            f"-seed={task.seed}",
            f"-max_len={found.longest}",
            f"-timeout={SLOWEST_SECONDS}",
            f"-artifact_prefix={task.crashes}/atheris-",
        )
        atheris.Setup([sys.argv[0], *options, corpus], counted)
        atheris.Fuzz()


def main() -> None:
    """Run one task."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    task = Task(**json.loads(sys.argv[1]))
    engine = {"hypothesis": by_hypothesis, "atheris": by_atheris}[task.engine]
    engine(task)


if __name__ == "__main__":
    main()
