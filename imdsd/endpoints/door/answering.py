"""From a connection to an endpoint: who is let in, and who answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from imdsd.endpoints import container
from imdsd.endpoints.door.connection import Connection
from imdsd.endpoints.door.limits import LIMITS, Limits
from imdsd.endpoints.door.line import Acceptor
from imdsd.endpoints.door.poller import Poller
from imdsd.endpoints.door.quick import Endpoint, QuickAnswers
from imdsd.endpoints.door.table import ConnectionTable
from imdsd.endpoints.events import EventsEndpoint
from imdsd.endpoints.ops import OpsEndpoint

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Awaitable, Callable

    from imdsd.clock import Clock
    from imdsd.endpoints.door.handling import Handling
    from imdsd.endpoints.guards import Listener
    from imdsd.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

# A flood is told of once in this time.
_SILENT_SECONDS = 60.0


class Door:
    """Guard every request, choose its endpoint, write the answer as clients expect it."""

    def __init__(
        self,
        *,
        credentials: Endpoint,
        imds: Endpoint,
        ops: Endpoint,
        events: Endpoint,
        clock: Clock,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
        limits: Limits = LIMITS,
        per_user: bool = False,
    ) -> None:
        """Take the endpoints, and whether no user may have more than half of the places."""
        self._credentials = credentials
        self._imds = imds
        self._ops = ops
        self._events = events
        self._metrics = metrics
        self._loop = loop
        self._table = ConnectionTable(loop, limits, per_user=per_user)
        self._limits = limits
        self._poller = Poller(loop)
        self._silent_until = loop.time()
        self._quick = QuickAnswers(
            self._route, poller=self._poller, clock=clock, metrics=metrics, loop=loop
        )
        metrics.watch_connections(self._table.__len__)
        self._handling: Handling | None = None
        self._waiting: list[Connection] = []

    def listen(self, listening: socket.socket, listener: Listener) -> Acceptor:
        """Take in every client of a listening socket, until that is closed."""
        return Acceptor(listening, lambda: self.protocol(listener), self._loop, self._poller)

    async def load(self, aside: Callable[[Callable[[], object]], Awaitable[None]]) -> None:
        """Load what requests need that are not plain, which takes a tenth of a second.

        `aside` runs what it is given beside the loop; who sends such a request waits for it.
        """
        await aside(_import_handling)
        if self._handling is None:
            self._begin_handling()

    def protocol(self, listener: Listener) -> Connection:
        """Return the protocol for a new connection on this listener."""
        return Connection(
            listener, self._table, self._quick.answer, self._handler, closed=self._closed
        )

    async def close(self, *, grace_seconds: float) -> None:
        """Let requests in flight finish for a while, then close every connection.

        A client is accepted before its request is here: whoever came last is heard first.
        """
        if self._waiting:
            self._begin_handling()
        await self._table.until_all_asked(seconds=self._limits.newcomer_seconds)
        if self._handling is not None:
            await self._handling.close(grace_seconds=grace_seconds)
        self._table.empty()
        self._poller.close()

    def _begin_handling(self) -> None:
        self._handling = _import_handling()(
            self._route, limits=self._limits, metrics=self._metrics, loop=self._loop
        )
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            try:
                connection.go_on()
            except Exception as error:  # noqa: BLE001  # a bug that one meets costs no other
                message = "a request that had waited"
                self._loop.call_exception_handler({"message": message, "exception": error})

    def _handler(self, connection: Connection) -> asyncio.Protocol | None:
        if self._handling is None:
            self._waiting.append(connection)
            return None
        return self._handling.handler(connection)

    def _closed(self, reason: str) -> None:
        self._metrics.connection_closed(reason)
        now = self._loop.time()
        if reason in ("displaced", "full") and now >= self._silent_until:
            self._silent_until = now + _SILENT_SECONDS
            log.warning("connections_exhausted", limit=self._limits.connections, reason=reason)

    def _route(self, path: str) -> tuple[str, Endpoint]:
        if path == container.PATH or path.startswith(container.PATH + "/"):
            return "container", self._credentials
        if OpsEndpoint.serves(path):
            return "ops", self._ops
        if EventsEndpoint.serves(path):
            return "ops", self._events
        return "imds", self._imds


def _import_handling() -> type[Handling]:
    from imdsd.endpoints.door.handling import Handling  # noqa: PLC0415  # see there

    return Handling
