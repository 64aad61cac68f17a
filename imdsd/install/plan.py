"""What an installation consists of, as values: what is wanted, and the steps that lead there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


NEXT = "`imdsd status` shows how it stands; shells that open from now on have the variables"
"""What to tell a person once a daemon was started."""


class Part(StrEnum):
    """What a file belongs to; each part can be taken out by itself."""

    SERVICE = "service"
    CONFIGURATION = "configuration"
    SHELLS = "shells"
    PROFILES = "profiles"


class Edit(Protocol):
    """How the content of a file comes about from what stood there, and how it is undone."""

    @property
    def kind(self) -> str:
        """A word by which the receipt remembers how to undo it: `whole` or `block`."""
        ...

    def apply(self, before: bytes | None) -> bytes:
        """Return what shall stand there, given what does; None for no file."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A file of our own, from its first byte to its last."""

    content: bytes
    kind: str = "whole"

    def apply(self, before: bytes | None) -> bytes:  # noqa: ARG002  # an Edit is told what was there
        """Return the content, whatever stood there."""
        return self.content


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file as an installation wants it; `mode` is for one that is not there yet."""

    path: Path
    edit: Edit
    part: Part
    reason: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Write:
    """Replace a file, or make it; `question` is set where a person must agree first."""

    path: Path
    content: bytes
    before: bytes | None
    reason: str
    mode: int = 0o644
    question: str = ""


@dataclass(frozen=True, slots=True)
class Remove:
    """Take a file away; `question` as above."""

    path: Path
    before: bytes
    reason: str
    question: str = ""


@dataclass(frozen=True, slots=True)
class RemoveFolder:
    """Take away a folder that the installation made, if nothing else is in it by then."""

    path: Path
    reason: str = "made by the installation"


@dataclass(frozen=True, slots=True)
class Run:
    """Run a command; where `remedy` is set, its failure is told with that and is no obstacle.

    `accepted` are further exit codes that mean success.
    """

    argv: tuple[str, ...]
    reason: str
    remedy: str = ""
    accepted: tuple[int, ...] = ()


Step = Write | Remove | RemoveFolder | Run


@dataclass(frozen=True, slots=True)
class Entry:
    """What the receipt remembers of a file.

    `sha256` is of the content as we leave it, and `former` of ours that it takes the place of:
    after an interruption it may be either. `existed` says whether there was a file before, and
    `before` is what stood in one that was replaced wholly.
    """

    path: str
    part: str
    kind: str
    sha256: str
    existed: bool
    before: bytes | None = None
    former: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an installation did, so that it can be undone: facts, never commands.

    `folders` were made by it, the outer ones first; `units` are those it enabled; `account` and
    `group` are the user and the group that it had made; `members` it put into that group; for
    `lingering` it had a user's services start at boot. It is `unfinished` until the last step is
    done: the service may not have taken over yet what was written.
    """

    entries: tuple[Entry, ...] = ()
    folders: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    account: str = ""
    group: str = ""
    members: tuple[str, ...] = ()
    lingering: str = ""
    unfinished: bool = False

    def entry(self, path: Path) -> Entry | None:
        """Return what is remembered of a file."""
        return next((each for each in self.entries if each.path == str(path)), None)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in their order, what to remember of them, and what a person should know.

    An installation is remembered before it begins, so that what is interrupted can be taken back;
    a `removal` is forgotten when it is done. `receipt` is None where nothing is left to remember.
    """

    steps: tuple[Step, ...]
    receipt: Receipt | None
    notes: tuple[str, ...] = ()
    removal: bool = False

    @property
    def questions(self) -> Sequence[str]:
        """What a person must agree to before anything is done."""
        return [
            each.question
            for each in self.steps
            if isinstance(each, Write | Remove) and each.question
        ]
