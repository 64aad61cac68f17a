"""The only module that knows which keys give which leaf, and what of them clashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsd.config.tables import ExpectedError, Setting, problem_of, shown

if TYPE_CHECKING:
    from imdsd.errors import Problem


class Placing:
    """Put leaves at their paths; a path twice, or a leaf that is a directory too, is noted."""

    def __init__(self, problems: list[Problem]) -> None:
        self.leaves: dict[str, bytes] = {}
        self._problems = problems
        self._givers: dict[str, Setting] = {}
        self._directories: dict[str, Setting] = {}

    def put(self, path: str, value: bytes, giver: Setting) -> None:
        """Put a leaf that a key of the file gives."""
        if (clash := self._clash(path)) is not None:
            self._problems.append(problem_of(giver, clash))
            return
        self.leaves[path] = value
        self._givers[path] = giver
        for above in _directories_of(path):
            self._directories.setdefault(above, giver)

    def put_below(self, path: str, value: bytes, giver: Setting) -> None:
        """Put a leaf that follows from others, unless it was put already."""
        if path not in self.leaves:
            self.put(path, value, giver)

    def giver(self, path: str) -> Setting | None:
        """Return which key gave a leaf."""
        return self._givers.get(path)

    def _clash(self, path: str) -> ExpectedError | None:
        if (same := self._givers.get(path)) is not None:
            found = f"a second value for {shown(path)}, which {same.key} gives too"
            return ExpectedError("each leaf once", found=found, hint="keep one of the two keys")
        expected, hint = "either a leaf or a directory", "take one of the two keys out"
        if (below := self._directories.get(path)) is not None:
            found = f"{shown(path)} as a leaf, which {below.key} makes a directory"
            return ExpectedError(expected, found=found, hint=hint)
        for above in _directories_of(path):
            if (leaf := self._givers.get(above)) is not None:
                found = f"{shown(path)} below {shown(above)}, which {leaf.key} makes a leaf"
                return ExpectedError(expected, found=found, hint=hint)
        return None


def _directories_of(path: str) -> list[str]:
    segments = path.split("/")
    return ["/".join(segments[:depth]) for depth in range(1, len(segments))]
