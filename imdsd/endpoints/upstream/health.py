"""Whether upstream is there: decided by its last answers, told once for each change."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from imdsd.endpoints.upstream.errors import Fault

if TYPE_CHECKING:
    from imdsd.clock import Clock
    from imdsd.endpoints.upstream.errors import UpstreamUnavailableError
    from imdsd.endpoints.upstream.holdings import Holdings
    from imdsd.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

_SILENT_PATHS = 3
"""So many without an answer between them mean that nobody is there; one path may just hang."""


class Health:
    """Hold whether upstream answers: `up` is None before it was first asked.

    `gone` is set by the faults since the last answer, or since the last crawl began.
    """

    def __init__(
        self, url: str, holdings: Holdings, *, clock: Clock, metrics: Metrics | None
    ) -> None:
        self.url = url
        self.up: bool | None = None
        self.changed = asyncio.Event()
        self._holdings = holdings
        self._clock = clock
        self._metrics = metrics
        self._silent: set[str] = set()
        self.gone = False

    def look_again(self) -> None:
        """Forget earlier faults, so that each path gets its turn."""
        self._silent.clear()
        self.gone = False

    def answered(self, *, absent: bool) -> None:
        """Take note of an answer, be it 404."""
        self._count("absent" if absent else "ok")
        self.look_again()
        if not self.up:
            self._become(up=True)
            log.info("upstream_reached", upstream=self.url)

    def failed(self, name: str, error: UpstreamUnavailableError) -> None:
        """Take note of a fault."""
        self._count("failed")
        if error.fault is Fault.SILENT:
            self._silent.add(name)
        if error.fault is Fault.GONE or len(self._silent) >= _SILENT_PATHS:
            self.gone = True
            self.lost(error)

    def lost(self, error: UpstreamUnavailableError) -> None:
        """Take note that upstream does not answer at all."""
        if self.up is False:
            return
        self._become(up=False)
        lasting = timedelta(seconds=self._holdings.remaining_seconds())
        log.warning(
            "upstream_lost",
            upstream=self.url,
            reason=error.reason,
            remedy=error.remedy,
            stale_until=self._clock.now() + lasting,
        )

    def _become(self, *, up: bool) -> None:
        self.up = up
        self.changed.set()
        if self._metrics is not None:
            self._metrics.upstream_is(self.url, up=up)

    def _count(self, result: str) -> None:
        if self._metrics is not None:
            self._metrics.upstream_asked(result)
