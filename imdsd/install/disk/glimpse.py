"""The only module that knows how files are looked at for a plan by who may not read all of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from imdsd.errors import InstallError
from imdsd.install.disk.files import Disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Glimpse(Disk):
    """The files of a user as somebody else sees them, who only plans.

    What may not be looked at counts as absent, and its path is kept in `unseen`.
    """

    unseen: set[Path] = field(default_factory=set)

    def locate(self, path: Path) -> Path:
        """Return where a path leads, as far as that can be seen."""
        return self._look(Disk.locate, path, otherwise=path)

    def read(self, path: Path) -> bytes | None:
        """Return what stands in a file; None for one that may not be read."""
        return self._look(Disk.read, path, otherwise=None)

    def missing_folders(self, path: Path) -> list[Path]:
        """Return the folders that are not there; none where that cannot be seen."""
        return self._look(Disk.missing_folders, path, otherwise=[])

    def hides(self, path: Path) -> bool:
        """Whether it cannot be told what stands at a path."""
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except PermissionError:
            self.unseen.add(path)
            return True
        except OSError:
            return False
        return False

    def _look(self, look: Callable[[Disk, Path], _T], path: Path, *, otherwise: _T) -> _T:
        try:
            return look(self, path)
        except InstallError as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
            self.unseen.add(path)
            return otherwise
