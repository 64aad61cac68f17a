"""What the metadata service says at this moment: values, events and an upstream made one tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from imdsd.metadata.tree import Leaf, Listing, MetadataTree
from imdsd.metadata.values import leaves_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imdsd.metadata.machine import Machine
    from imdsd.metadata.settings import MetadataSettings
    from imdsd.metadata.values import RoleFacts


class Overlay(Protocol):
    """Leaves that come and go; `generation` changes whenever they do."""

    def generation(self) -> int: ...  # noqa: D102  # the class says it
    def leaves(self) -> Mapping[str, bytes]: ...  # noqa: D102


class Upstream(Overlay, Protocol):
    """A real metadata service, some of whose paths are served here."""

    def covers(self, path: str) -> bool:
        """Whether a path below a version is upstream's to answer."""
        ...

    def labels(self) -> Mapping[str, bytes]:
        """Return the directories that list something else than their names."""
        ...

    def touch(self, path: str) -> None:
        """Have a path that was asked for fetched again if it is old; return at once."""
        ...

    async def fetch(self, path: str) -> bytes | None:
        """Return what upstream has there, None for nothing; raise where it does not answer."""
        ...


class Metadata:
    """Find what stands at a path; the tree is built anew only when something in it changed.

    `settings` may be replaced at any time. Of a path, an event that is in force comes first, then
    the configuration, then upstream, then what the daemon knows by itself.
    """

    def __init__(
        self,
        settings: MetadataSettings,
        *,
        read_machine: Callable[[], Machine],
        events: Overlay,
        upstream: Upstream | None = None,
    ) -> None:
        self.settings = settings
        self._read_machine = read_machine
        self._events = events
        self._upstream = upstream
        self._key: object = None
        self._tree = MetadataTree({})

    async def find(self, facts: RoleFacts, segments: tuple[str, ...]) -> Leaf | Listing | None:
        """Return what stands at a path below a version, None for nothing.

        Raises what upstream raises for a path of its own that it cannot give.
        """
        node = self.own(facts, segments)
        if self._upstream is None or not self._upstream.covers(path := "/".join(segments)):
            return node
        self._upstream.touch(path)
        if node is not None:
            return node
        fetched = await self._upstream.fetch(path)
        return None if fetched is None else Leaf(fetched)

    def is_upstreams(self, segments: tuple[str, ...]) -> bool:
        """Whether `find` may have to wait for what stands at a path."""
        return self._upstream is not None and self._upstream.covers("/".join(segments))

    def own(self, facts: RoleFacts, segments: tuple[str, ...]) -> Leaf | Listing | None:
        """Return what stands at a path that is not upstream's, as `find` does."""
        return self.tree(facts).find(segments)

    def tree(self, facts: RoleFacts) -> MetadataTree:
        """Return the tree as it is now."""
        upstream = self._upstream.generation() if self._upstream else 0
        key = (facts, self.settings, self._events.generation(), upstream)
        if key != self._key:
            self._tree = self._composed(facts)
            self._key = key
        return self._tree

    def _composed(self, facts: RoleFacts) -> MetadataTree:
        settings, upstream = self.settings, self._upstream
        leaves = dict(leaves_of(facts, self._read_machine(), settings))
        labels = dict(settings.labels)
        if upstream is not None:
            ours = {path for path in leaves if not upstream.covers(path)} | set(settings.leaves)
            leaves = {**upstream.leaves(), **{path: leaves[path] for path in ours}}
            labels = {**upstream.labels(), **labels}
        return MetadataTree({**leaves, **self._events.leaves()}, labels)
