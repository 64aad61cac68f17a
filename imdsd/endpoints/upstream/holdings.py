"""What is held of upstream: values, listings, and for how long they may be served."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsd.clock import Clock
    from imdsd.endpoints.upstream.listing import DirectoryListing

STALE_SECONDS = 3600.0
"""How long after its last answer a value is served while upstream is away."""

FRESH_SECONDS = 5.0
"""What is younger is not asked for again."""

MOST_LEAVES = 2000
MOST_DIRECTORIES = 500
MOST_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Held:
    value: bytes
    at: float


@dataclass(frozen=True, slots=True)
class _View:
    leaves: Mapping[str, bytes]
    labels: Mapping[str, bytes]


class Holdings:
    """Values by their path below a version; `generation` changes whenever something served does."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._values: dict[str, _Held] = {}
        self._listings: dict[str, DirectoryListing] = {}
        self._tried: dict[str, float] = {}
        self._bytes = 0
        self._oldest = math.inf
        self._generation = 0
        self._view: _View | None = None

    # What is served

    def generation(self) -> int:
        """Return a number that changes with the leaves and the labels."""
        self._let_go()
        return self._generation

    def leaves(self) -> Mapping[str, bytes]:
        """Return every value that may be served now."""
        return self._viewed().leaves

    def labels(self) -> Mapping[str, bytes]:
        """Return the listings that are not made of plain names, by directory."""
        return self._viewed().labels

    def remaining_seconds(self) -> float:
        """Return how long everything that is held may be served, 0 when nothing is held."""
        self._let_go()
        oldest = min((held.at for held in self._values.values()), default=-math.inf)
        return max(0.0, oldest + STALE_SECONDS - self._clock.monotonic())

    # What is known

    def is_directory(self, path: str) -> bool:
        """Whether upstream listed this path."""
        return path in self._listings

    def is_known(self, path: str) -> bool:
        """Whether this path is held, as a value or a listing."""
        return path in self._values or path in self._listings

    def is_due(self, path: str) -> bool:
        """Whether it is time to ask for a path again."""
        return self._clock.monotonic() - self._tried.get(path, -math.inf) >= FRESH_SECONDS

    def tried(self, path: str) -> None:
        """Take note that a path that is known is asked for, whatever comes of it."""
        if self.is_known(path):
            self._tried[path] = self._clock.monotonic()

    # What upstream said

    def put(self, path: str, value: bytes) -> bool:
        """Hold a value; return False when there is no room for it."""
        held = self._values.get(path)
        total = self._bytes + len(value) - (len(held.value) if held else 0)
        if total > MOST_BYTES or (held is None and len(self._values) >= MOST_LEAVES):
            return False
        now = self._clock.monotonic()
        self._values[path] = _Held(value, now)
        self._tried[path] = now
        self._bytes = total
        self._oldest = min(self._oldest, now)
        if held is None or held.value != value:
            self._changed()
        return True

    def put_listing(self, directory: str, listing: DirectoryListing) -> bool:
        """Hold a listing and drop what it no longer names; return False when there is no room."""
        self._drop([path for path, name in self._below(directory) if name not in listing.names])
        before = self._listings.get(directory)
        if before is None and len(self._listings) >= MOST_DIRECTORIES:
            return False
        self._listings[directory] = listing
        self._tried[directory] = self._clock.monotonic()
        if listing.labels != (before.labels if before else {}):
            self._changed()
        return True

    def drop(self, path: str) -> None:
        """Forget a path and everything below."""
        self._drop([path, *(below for below, _ in self._below(path))])

    def _below(self, directory: str) -> list[tuple[str, str]]:
        """Return every path below a directory, and the name its listing must have for that."""
        inside = f"{directory}/"
        known = (*self._values, *(f"{path}/" for path in self._listings))
        return [
            (path.removesuffix("/"), "".join(path.removeprefix(inside).partition("/")[:2]))
            for path in known
            if path.startswith(inside) and path != inside
        ]

    def _drop(self, paths: list[str]) -> None:
        for path in paths:
            self._tried.pop(path, None)
            self._listings.pop(path, None)
            if (held := self._values.pop(path, None)) is not None:
                self._bytes -= len(held.value)
                self._changed()

    def _let_go(self) -> None:
        """Drop what is too old; cheap until the oldest value is."""
        limit = self._clock.monotonic() - STALE_SECONDS
        if self._oldest > limit:
            return
        self._drop([path for path, held in self._values.items() if held.at <= limit])
        self._oldest = min((held.at for held in self._values.values()), default=math.inf)

    def _changed(self) -> None:
        self._generation += 1
        self._view = None

    def _viewed(self) -> _View:
        self._let_go()
        if self._view is None:
            leaves = {path: held.value for path, held in self._values.items()}
            labels = {
                directory: lines
                for directory, listing in self._listings.items()
                if (lines := _labels_in_use(directory, listing, leaves))
            }
            self._view = _View(MappingProxyType(leaves), MappingProxyType(labels))
        return self._view


def _labels_in_use(directory: str, listing: DirectoryListing, leaves: Mapping[str, bytes]) -> bytes:
    return b"\n".join(
        line
        for name, line in listing.labels.items()
        if any(path.startswith(f"{directory}/{name}/") for path in leaves)
    )
