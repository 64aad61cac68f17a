"""What a process holds, second by second, and whether that grows."""

import asyncio
import re
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.machine import descendants

MOST_GROWTH = {"memory of its own kB": 4096.0, "descriptors": 6.0, "threads": 2.0, "children": 0.5}
"""How much more the last third of a run may hold than the first, each by its median."""

WARM_UP = 0.2
"""The part of a run in which caches fill; it is not looked at."""


LEAST_SAMPLES = 60


@dataclass(frozen=True, slots=True)
class Sample:
    """What the kernel says of a process at one moment."""

    at: float
    held: dict[str, float]

    @classmethod
    def of(cls, pid: int) -> "Sample":
        place = Path(f"/proc/{pid}")
        status = (place / "status").read_text()
        held = {
            "memory of its own kB": _number("RssAnon", status),
            "descriptors": len(list((place / "fd").iterdir())),
            "threads": _number("Threads", status),
            "children": len(descendants(pid)),
        }
        return cls(time.monotonic(), held)


@dataclass(slots=True)
class Course:
    """All samples of a run, in order."""

    samples: list[Sample] = field(default_factory=list)

    async def watch(self, pid: int, *, every_seconds: float = 1.0) -> None:
        while True:
            self.samples.append(Sample.of(pid))
            await asyncio.sleep(every_seconds)

    def growth(self, what: str) -> float:
        """Return what the last third holds over the first, both by their median."""
        first, last = self._thirds()
        return _middle(last, what) - _middle(first, what)

    def hourly(self, what: str) -> float:
        """Return the growth as a slope."""
        first, last = self._thirds()
        seconds = statistics.mean(s.at for s in last) - statistics.mean(s.at for s in first)
        return self.growth(what) / max(seconds, 1.0) * 3600

    def median(self, what: str) -> float:
        return _middle(self._warm(), what)

    def most(self, what: str) -> float:
        return max(sample.held[what] for sample in self.samples)

    def grown(self) -> list[str]:
        """Say what grew by more than it may; less than a minute is too short for that."""
        if len(self.samples) < LEAST_SAMPLES:
            return []
        return [
            f"{what} grew by {self.growth(what):.0f}, expected at most {most:g}"
            for what, most in MOST_GROWTH.items()
            if self.growth(what) > most
        ]

    def _warm(self):
        return self.samples[int(len(self.samples) * WARM_UP) :]

    def _thirds(self):
        warm = self._warm()
        third = max(1, len(warm) // 3)
        return warm[:third], warm[-third:]


def _middle(samples, what):
    return statistics.median(sample.held[what] for sample in samples)


def _number(name, status):
    return float(re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)[1])
