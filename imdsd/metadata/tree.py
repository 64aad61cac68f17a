"""The metadata tree: paths, listings, values; nothing of tokens or credentials."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsd.metadata.settings import Leaves

VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "latest",
)

TOP = b"dynamic\nmeta-data\nuser-data"
"""What a version lists; `user-data` always, though it is 404 where there is none."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value, or None for one that cannot be known before the first credentials."""

    value: bytes | None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a directory answers."""

    value: bytes


class MetadataTree:
    """Look values and listings up below a version.

    Directories follow from the leaves and list their names, or what `labels` has for them.
    Paths come as segments, so doubled and trailing slashes have no meaning.
    """

    def __init__(self, leaves: Leaves, labels: Mapping[str, bytes] = MappingProxyType({})) -> None:
        self._nodes: dict[tuple[str, ...], Leaf | Listing] = {}
        children: dict[tuple[str, ...], set[str]] = {}
        for path, value in leaves.items():
            segments = tuple(path.split("/"))
            self._nodes[segments] = Leaf(value)
            for depth in range(1, len(segments)):
                name = segments[depth] + ("/" if depth + 1 < len(segments) else "")
                children.setdefault(segments[:depth], set()).add(name)
        for directory, names in children.items():
            label = labels.get("/".join(directory))
            self._nodes[directory] = Listing(label or "\n".join(sorted(names)).encode())

    def find(self, segments: tuple[str, ...]) -> Leaf | Listing | None:
        """Return what stands at a path below a version, or None."""
        if not segments:
            return Listing(TOP)
        return self._nodes.get(segments)


def split_path(path: str) -> tuple[str, ...]:
    """Return the segments of a path; doubled and trailing slashes say nothing."""
    return tuple(segment for segment in path.split("/") if segment)
