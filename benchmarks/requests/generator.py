"""The load, from a process of its own: compiled here, since no generator at hand opens connections
as SDKs do."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_name("load_generator.c")
_SECONDS_MORE = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it; the percentiles are in microseconds."""

    answered: int
    errors: int
    seconds: float
    p50: int
    p99: int

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds


@dataclass(frozen=True, slots=True)
class Generator:
    """The compiled program, and the core that it has for itself."""

    program: Path
    core: int

    @classmethod
    def compiled(cls, directory: Path, *, core: int) -> Generator:
        """Compile it into a directory; leaves with what to install where that cannot be."""
        program = directory / "load_generator"
        compiler = found("cc", package="gcc libc6-dev")
        subprocess.run([compiler, "-O2", "-o", str(program), str(_SOURCE)], check=True)
        return cls(program, core)

    def run(
        self, port: int, request: Path, how: str, number: int, seconds: float, *more: str
    ) -> Load:
        """Return what a server made of a load; leaves where it refused anything."""
        words = [str(port), str(request), how, str(number), str(seconds), *more]
        done = subprocess.run(
            [found("taskset", package="util-linux"), "-c", str(self.core), self.program, *words],
            stdout=subprocess.PIPE,
            text=True,
            timeout=seconds + _SECONDS_MORE,
            check=True,
        )
        load = Load(**json.loads(done.stdout))
        if load.errors or not load.answered:
            raise SystemExit(f"{how} at port {port}: {load.errors} errors, {load.answered} answers")
        return load


def found(program: str, *, package: str) -> str:
    """Return where a program is; leaves with what to install where it is not."""
    path = shutil.which(
        program, path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
    )
    if path is None:
        raise SystemExit(f"{program} is not found: apt-get install {package}")
    return path
