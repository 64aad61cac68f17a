"""The roles in service, by name, and the one timer that keeps them all fresh."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

import structlog

from imdsd.credentials.attempt import Attempt, Workshop
from imdsd.credentials.model import D, Exchange, RoleTerms, TokenSource
from imdsd.credentials.refresher import Refresher
from imdsd.credentials.schedule import NAP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

log = structlog.get_logger(__name__)

JUMP_SECONDS = 2.0
"""A nap whose two clocks disagree by more than this saw a suspended machine or a clock step."""


@dataclass(frozen=True, slots=True)
class RoleDefinition:
    """A role as configured: its names, its terms, and who mints and exchanges for it."""

    name: str
    aliases: tuple[str, ...]
    terms: RoleTerms
    source: TokenSource
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class _Table(Generic[D]):
    """Who is in service: swapped as a whole at a reload."""

    definitions: tuple[RoleDefinition, ...]
    refreshers: tuple[Refresher[D], ...]
    by_name: dict[str, Refresher[D]]
    default: Refresher[D]


class Roles(Generic[D]):
    """Find a role by name, keep every role fresh, and change them without losing credentials."""

    def __init__(
        self,
        definitions: Sequence[RoleDefinition],
        workshop: Workshop[D],
        *,
        default: str,
        first_after_seconds: float = 0.0,
        spread_seconds: float = 0.0,
    ) -> None:
        """Put `definitions` into service, `default` among them.

        No first attempt starts before `first_after_seconds`, and each is drawn from the
        `spread_seconds` after that; a request that finds nothing cuts the spread short.
        """
        self._workshop = workshop
        self._clock = workshop.clock
        self._wake = asyncio.Event()
        self.turned = asyncio.Event()
        """Set whenever a role may have changed its state, at least every nap."""
        self._first_after_seconds = first_after_seconds
        refreshers = [self._refresher(definition) for definition in definitions]
        for refresher in refreshers:
            refresher.delay(spread_seconds * workshop.draw())
        self._table = self._tabled(definitions, refreshers, default)

    @property
    def default(self) -> Refresher[D]:
        """The role that is served where none is named."""
        return self._table.default

    def find(self, name: str) -> Refresher[D] | None:
        """Return the role of exactly this name or alias."""
        return self._table.by_name.get(name)

    def __iter__(self) -> Iterator[tuple[RoleDefinition, Refresher[D]]]:
        return iter(zip(self._table.definitions, self._table.refreshers, strict=True))

    async def run(self) -> None:
        """Start attempts when they are due, for ever; cancel to stop, attempts included."""
        try:
            while True:
                self._start_due()
                self.turned.set()
                await self._nap()
        finally:
            await _close(self._table.refreshers)

    async def replace(self, definitions: Sequence[RoleDefinition], default: str) -> None:
        """Take new definitions into service.

        Credentials stay with the terms they were obtained on, whatever the role is called now;
        on changed terms the old set is served until the first publish, unless role or policy
        changed. Results that arrive for a removed role are dropped.
        """
        old = self._table
        kept = _matching(definitions, old)
        refreshers = []
        for definition in definitions:
            refresher = kept.get(definition.name)
            if refresher is None:
                refresher = self._successor(definition, old)
            else:
                refresher.rename(
                    definition.name, source=definition.source, exchange=definition.exchange
                )
            refreshers.append(refresher)
        self._table = self._tabled(definitions, refreshers, default)
        self._wake.set()
        await _close(set(old.refreshers) - set(refreshers))

    def _tabled(
        self,
        definitions: Sequence[RoleDefinition],
        refreshers: Sequence[Refresher[D]],
        default: str,
    ) -> _Table[D]:
        by_name = {
            name: refresher
            for definition, refresher in zip(definitions, refreshers, strict=True)
            for name in (definition.name, *definition.aliases)
        }
        return _Table(tuple(definitions), tuple(refreshers), by_name, by_name[default])

    def _refresher(self, definition: RoleDefinition) -> Refresher[D]:
        attempt = Attempt(
            definition.terms,
            self._workshop,
            source=definition.source,
            exchange=definition.exchange,
        )
        return Refresher(
            attempt,
            self._workshop,
            name=definition.name,
            first_after_seconds=self._first_after_seconds,
            changed=self._wake.set,
        )

    def _successor(self, definition: RoleDefinition, old: _Table[D]) -> Refresher[D]:
        self._first_after_seconds = 0.0
        refresher = self._refresher(definition)
        before = old.by_name.get(definition.name)
        if before and definition.terms.may_serve_what(before.attempt.terms):
            refresher.snapshot = before.snapshot
        return refresher

    def _start_due(self) -> None:
        for refresher in self._table.refreshers:
            if not refresher.attempting and refresher.seconds_until_due() <= 0:
                refresher.start()

    async def _nap(self) -> None:
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        self._wake.clear()
        await self._clock.nap(self._seconds_until_next(), self._wake)
        jumped = (self._clock.now() - wall).total_seconds() - (self._clock.monotonic() - monotonic)
        if abs(jumped) > JUMP_SECONDS:
            log.warning("clock_jumped", seconds=round(jumped, 1))
            for refresher in self._table.refreshers:
                refresher.clock_jumped()

    def _seconds_until_next(self) -> float:
        waiting = [r.seconds_until_due() for r in self._table.refreshers if not r.attempting]
        return max(0.0, min([NAP_SECONDS, *waiting]))


async def _close(refreshers: Iterable[Refresher[D]]) -> None:
    # Side by side: a token command that ignores SIGTERM takes two seconds to kill.
    await asyncio.gather(*(refresher.aclose() for refresher in refreshers))


def _matching(definitions: Sequence[RoleDefinition], old: _Table[D]) -> dict[str, Refresher[D]]:
    """Return, by new name, the refreshers in service whose terms are asked for again.

    A role that keeps its name comes before one that takes over the terms under another.
    """
    free = list(old.refreshers)
    kept: dict[str, Refresher[D]] = {}
    for same_name in (True, False):
        for definition in definitions:
            for refresher in free:
                if definition.name in kept or refresher.attempt.terms != definition.terms:
                    continue
                if not same_name or refresher.name == definition.name:
                    kept[definition.name] = refresher
                    free.remove(refresher)
                    break
    return kept
