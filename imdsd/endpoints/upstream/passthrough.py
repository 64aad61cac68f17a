"""Pass-through: upstream's part of the metadata tree, fetched ahead and kept fresh."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from imdsd.endpoints.upstream.crawl import Crawler
from imdsd.endpoints.upstream.errors import UpstreamUnavailableError
from imdsd.endpoints.upstream.health import Health
from imdsd.endpoints.upstream.holdings import Holdings
from imdsd.endpoints.upstream.misses import Misses
from imdsd.endpoints.upstream.paths import Coverage
from imdsd.endpoints.upstream.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imdsd.clock import Clock
    from imdsd.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

CRAWL_SECONDS = 60.0
LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 1.0, 60.0
_JITTER = 0.1
_MOST_TOUCHED = 256


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long one read may take, an IMDS token included."""

    # Go v2 gives the metadata service half a second to headers.
    miss_seconds: float = 0.4
    background_seconds: float = 2.0


DEADLINES = Deadlines()


class Upstream:
    """Serve configured paths of a real metadata service, credentials never among them.

    All of it but `run` and `fetch` returns at once. `fetch` may be called before `run`, which
    closes the connections at its end.
    """

    def __init__(
        self,
        url: str,
        prefixes: tuple[str, ...],
        *,
        clock: Clock,
        metrics: Metrics | None = None,
        draw: Callable[[], float] = random.random,
        deadlines: Deadlines = DEADLINES,
    ) -> None:
        self._clock = clock
        self._draw = draw
        self._deadlines = deadlines
        self._coverage = Coverage(prefixes)
        self._holdings = Holdings(clock=clock)
        self._health = Health(url, self._holdings, clock=clock, metrics=metrics)
        self._service = Service(url, clock=clock, mint_seconds=deadlines.background_seconds)
        self._misses = Misses(self._ask_for_a_client, clock=clock)
        self._crawler = Crawler(
            self._ask_in_background, self._holdings, goes_on=lambda: not self._health.gone
        )
        self._touched: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        self._tries = 0
        self._cut = False

    def covers(self, path: str) -> bool:
        """Whether a path below a version is upstream's to answer; never one to credentials."""
        return self._coverage.covers(path)

    def leaves(self) -> Mapping[str, bytes]:
        """Return every value that may be served now."""
        return self._holdings.leaves()

    def labels(self) -> Mapping[str, bytes]:
        """Return the directories that list something else than their names."""
        return self._holdings.labels()

    def generation(self) -> int:
        """Return a number that changes with the leaves and the labels."""
        return self._holdings.generation()

    def touch(self, path: str) -> None:
        """Have a path that is held fetched again if it is older than 5 s.

        While upstream is away this asks nothing: the crawl finds out when it is back.
        """
        if self.covers(path) and self._holdings.is_known(path):
            self._refresh_soon(f"{path}/" if self._holdings.is_directory(path) else path)

    async def fetch(self, path: str) -> bytes | None:
        """Return what upstream has there, None for nothing, within 0.4 s.

        Raises UpstreamUnavailableError. A directory gives its listing.
        """
        return await self._misses.fetch(path) if self.covers(path) else None

    async def run(self) -> None:
        """Crawl at the start and every minute, fetch again what is touched, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._crawl_for_ever(), name="crawl upstream")
                tasks.create_task(self._refresh_touched(), name="fetch upstream again")
        finally:
            await self._misses.aclose()
            await self._service.aclose()

    # In the background

    async def _crawl_for_ever(self) -> None:
        roots = self._coverage.roots()
        while True:
            self._health.look_again()
            walk = await self._crawler.crawl(roots)
            if walk.fault is not None and not walk.answered:
                self._health.lost(walk.fault)
            self._tell_of_cuts(cut=walk.cut)
            await self._pause()

    async def _pause(self) -> None:
        changed = self._health.changed
        changed.clear()
        woken = await self._clock.nap(self._pause_seconds(), changed)
        if woken and not self._health.up:
            self._tries = 1
            await self._clock.sleep(LEAST_PAUSE_SECONDS)

    def _pause_seconds(self) -> float:
        if self._health.up is False:
            self._tries += 1
            return min(LEAST_PAUSE_SECONDS * 2.0 ** (self._tries - 1), MOST_PAUSE_SECONDS)
        self._tries = 0
        return CRAWL_SECONDS * (1 - _JITTER + 2 * _JITTER * self._draw())

    def _tell_of_cuts(self, *, cut: bool) -> None:
        if cut and not self._cut:
            log.warning("upstream_truncated", upstream=self._health.url, held=len(self.leaves()))
        self._cut = cut

    async def _refresh_touched(self) -> None:
        while True:
            name = await self._touched.get()
            self._waiting.discard(name)
            if self._health.up is not False:
                await self._crawler.refresh(name)

    def _refresh_soon(self, name: str) -> None:
        due = self._holdings.is_due(name.removesuffix("/"))
        if due and name not in self._waiting and len(self._waiting) < _MOST_TOUCHED:
            self._waiting.add(name)
            self._touched.put_nowait(name)

    # One request

    async def _ask_in_background(self, name: str) -> bytes | None:
        return await self._ask(name, self._deadlines.background_seconds)

    async def _ask_for_a_client(self, path: str) -> bytes | None:
        value = await self._ask(path, self._deadlines.miss_seconds)
        if value is not None:
            self._learn(path, value)
        return value

    async def _ask(self, name: str, seconds: float) -> bytes | None:
        try:
            value = await self._service.read(name, seconds=seconds)
        except UpstreamUnavailableError as error:
            self._health.failed(name, error)
            raise
        self._health.answered(absent=value is None)
        return value

    def _learn(self, path: str, value: bytes) -> None:
        """Hold what a client's question brought, or have its directory listed.

        Only a listing tells a value from a directory.
        """
        directory = path.rpartition("/")[0]
        if self._coverage.is_leaf(path):
            self._holdings.put(path, value)
        elif self.covers(directory):
            self._refresh_soon(f"{directory}/")
