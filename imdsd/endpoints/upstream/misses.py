"""What clients wait for: one flight for each path, and a short memory of what came to nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsd.endpoints.upstream.errors import Fault, UpstreamUnavailableError
from imdsd.endpoints.upstream.holdings import FRESH_SECONDS
from imdsd.endpoints.upstream.wire import stopping

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imdsd.clock import Clock

MOST_FLIGHTS = 64
MOST_REMEMBERED = 512
# As long as a client is told to wait.
_FAULT_SECONDS = 1.0

Outcome = bytes | UpstreamUnavailableError | None


@dataclass(frozen=True, slots=True)
class _Nothing:
    outcome: UpstreamUnavailableError | None
    until: float


class Misses:
    """Ask upstream while clients wait."""

    def __init__(self, ask: Callable[[str], Awaitable[bytes | None]], *, clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._flights: dict[str, asyncio.Task[Outcome]] = {}
        self._nothing: dict[str, _Nothing] = {}
        self._closed = False

    async def fetch(self, path: str) -> bytes | None:
        """Return what upstream has there, None for nothing; raises UpstreamUnavailableError."""
        nothing = self._nothing.get(path)
        if nothing is not None and self._clock.monotonic() < nothing.until:
            outcome: Outcome = nothing.outcome
        else:
            outcome = await self._join(path)
        if isinstance(outcome, UpstreamUnavailableError):
            # Without the traceback it would grow with everyone who is told.
            raise outcome.with_traceback(None)
        return outcome

    async def aclose(self) -> None:
        """End every flight and let none begin."""
        self._closed = True
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def _join(self, path: str) -> Outcome:
        flight = self._flights.get(path)
        if flight is None:
            if self._closed:
                return stopping()
            if len(self._flights) >= MOST_FLIGHTS:
                return _crowded()
            flight = asyncio.create_task(self._fly(path), name=f"fetch {path} upstream")
            self._flights[path] = flight
            flight.add_done_callback(lambda _: self._flights.pop(path))
        # One who leaves early cancels nothing for the others.
        await asyncio.wait((flight,))
        return stopping() if flight.cancelled() else flight.result()

    async def _fly(self, path: str) -> Outcome:
        try:
            value = await self._ask(path)
        except UpstreamUnavailableError as error:
            self._remember(path, error, _FAULT_SECONDS)
            return error
        if value is None:
            self._remember(path, None, FRESH_SECONDS)
        else:
            self._nothing.pop(path, None)
        return value

    def _remember(
        self, path: str, outcome: UpstreamUnavailableError | None, seconds: float
    ) -> None:
        self._nothing.pop(path, None)
        if len(self._nothing) >= MOST_REMEMBERED:
            del self._nothing[next(iter(self._nothing))]
        self._nothing[path] = _Nothing(outcome, self._clock.monotonic() + seconds)


def _crowded() -> UpstreamUnavailableError:
    reason = f"{MOST_FLIGHTS} paths are being fetched from the metadata service already"
    return UpstreamUnavailableError(reason, remedy="ask again in a second", fault=Fault.ODD)
