"""What the doctor says of one thing: a step, a level, what was found and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.errors import tidy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsd.client import WaitingClock

_MOST_CHARACTERS = 900


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


class Step(StrEnum):
    """The links of the whole chain, in the order in which they are looked at."""

    CONFIGURATION = "configuration"
    TOKEN = "token"
    CLAIMS = "claims"
    SIGNATURE = "signature"
    STS = "sts"
    DAEMON = "daemon"
    SDKS = "sdks"
    PROXIES = "proxies"
    EDITORS = "editors"
    FILES = "files"
    SYSTEMD = "systemd"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found; `facts` are its numbers and names, for programs."""

    step: Step
    level: Level
    code: str
    found: str
    remedy: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A finding that the doctor can come to; words in braces in `remedy` are filled in.

    `means` says in the documents when it is come to.
    """

    step: Step
    level: Level
    name: str
    means: str
    remedy: str = ""

    @property
    def code(self) -> str:
        """The stable name that programs go by."""
        return f"{self.step}.{self.name}"

    def __call__(self, found: str, **facts: object) -> Finding:
        """Return the finding."""
        remedy = self.remedy.format(**facts)
        return Finding(
            self.step,
            self.level,
            self.code,
            tidy(found, most=_MOST_CHARACTERS),
            tidy(remedy, most=_MOST_CHARACTERS),
            facts,
        )


def skip(step: Step, why: str) -> Finding:
    """Return what is said of a step that was not looked at."""
    return Finding(step, Level.SKIPPED, f"{step}.skipped", why)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the doctor looks at: a shell's variables, a user, a home, a folder and a machine."""

    environ: Mapping[str, str]
    uid: int
    home: Path
    clock: WaitingClock
    root: Path = Path("/")
    folder: Path = Path()
