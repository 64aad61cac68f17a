"""What one machine does: the daemon with its real schedule, and what one would run instead.

Each says when it calls STS first, and after each answer when it calls next. Seconds count from the
beginning of a scenario.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from benchmarks.fleet.sts import MINT_SECONDS, answered_at
from imdsd.credentials.pacing import Pacing
from imdsd.credentials.refresher import HURRY_SECONDS
from imdsd.credentials.schedule import SERVE_MARGIN_SECONDS, asked_pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsd.errors import ExchangeError, RefreshError

NEVER = math.inf


class Machine(Protocol):
    """Who calls STS for one role; what it holds is of use until `useful_until`."""

    useful_until: float

    def first_call(self) -> float:
        """Return when it calls first."""
        ...

    def told(self, called_at: float, error: ExchangeError | None) -> float:
        """Return when it calls next, having been told this."""
        ...


class Clients:
    """Somebody on the machine who asks `every` so many seconds from `since` on, or nobody."""

    __slots__ = ("_every", "_since")

    def __init__(self, *, since: float, every: float) -> None:
        self._since, self._every = since, every

    def next_question(self, not_before: float) -> float:
        """Return when the first question at or after this second comes."""
        if not_before <= self._since:
            return self._since
        return self._since + math.ceil((not_before - self._since) / self._every) * self._every


NOBODY = Clients(since=NEVER, every=1.0)


class Daemon:
    """`imdsd` with one role; the waits are `imdsd.credentials.pacing`'s."""

    __slots__ = ("_clients", "_draw", "_hurried_at", "_pacing", "_session_seconds", "_starts_at",
                 "useful_until")  # fmt: skip

    def __init__(
        self,
        draw: Callable[[], float],
        *,
        session_seconds: float = 3600.0,
        starts_at: float = 0.0,
        clients: Clients = NOBODY,
        pacing: Pacing | None = None,
    ) -> None:
        self._draw = draw
        self._session_seconds = session_seconds
        self._starts_at = starts_at
        self._clients = clients
        self._pacing = pacing or Pacing()
        self._hurried_at = -HURRY_SECONDS
        self.useful_until = -math.inf

    def hold(self, *, until: float) -> None:
        """Hold credentials that expire at this second, in step with nobody."""
        self.useful_until = until - SERVE_MARGIN_SECONDS
        self._pacing.succeeded(self._session_seconds, draw=0.0)

    def resume(self) -> None:
        """Take note that the machine slept."""
        self._pacing.spread_next()

    def first_call(self) -> float:
        return self._call_of(self._starts_at, free_at=0.0)

    def told(self, called_at: float, error: ExchangeError | None) -> float:
        ended = answered_at(called_at, error)
        if error is None:
            self.useful_until = called_at + self._session_seconds - SERVE_MARGIN_SECONDS
            due = called_at + self._pacing.succeeded(self._session_seconds, draw=self._draw())
        else:
            left = self.useful_until - ended
            remaining = left + SERVE_MARGIN_SECONDS if left > 0 else 0.0
            due = ended + self._pacing.failed(error, remaining, draw=self._draw())
        return self._call_of(due, free_at=ended)

    def _call_of(self, due: float, *, free_at: float) -> float:
        """Return the call of the attempt that is due then, or sooner when somebody asks in vain."""
        if self._pacing.hurriable:
            soonest = max(free_at, self.useful_until, self._hurried_at + HURRY_SECONDS)
            if soonest < due and (asked_at := self._clients.next_question(soonest)) < due:
                self._hurried_at = due = asked_at
        return max(due, free_at) + MINT_SECONDS


class TenPercentAlone(Pacing):
    """The schedule without what parts machines that are in step: every interval loses 0 to 10 %."""

    __slots__ = ()

    def succeeded(self, session_seconds: float, *, draw: float) -> float:
        super().succeeded(session_seconds, draw=0.0)
        return super().succeeded(session_seconds, draw=draw)


class Hurried(Pacing):
    """The schedule, but that requests bring the call after a throttled one forward, too."""

    __slots__ = ()

    def failed(self, error: RefreshError, remaining_seconds: float, *, draw: float) -> float:
        pause = super().failed(error, remaining_seconds, draw=draw)
        self.hurriable = self.hurriable or error.throttled
        return pause


class OnTheDot(Pacing):
    """The schedule, but that nothing is added to the pause that STS asks for."""

    __slots__ = ()

    def failed(self, error: RefreshError, remaining_seconds: float, *, draw: float) -> float:
        super().failed(error, remaining_seconds, draw=draw)
        return asked_pause(error.retry_after_seconds or 0.0)


class Cron:
    """`aws sts assume-role-with-web-identity` at boot and every so many seconds of the clock.

    AWS CLI v2 calls up to three times: after a random part of 1, then of 2 seconds.
    https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-retries.html
    """

    _CALLS = 3

    __slots__ = ("_calls", "_draw", "_every", "_session_seconds", "useful_until")

    def __init__(
        self, draw: Callable[[], float], *, session_seconds: float = 3600.0, every: float = 1800.0
    ) -> None:
        self._draw = draw
        self._session_seconds, self._every = session_seconds, every
        self._calls = 0
        self.useful_until = -math.inf

    def first_call(self) -> float:
        return self._draw()

    def told(self, called_at: float, error: ExchangeError | None) -> float:
        if error is None:
            self.useful_until = called_at + self._session_seconds
            return self._next_run(called_at)
        self._calls += 1
        if self._calls == self._CALLS:
            return self._next_run(called_at)
        return answered_at(called_at, error) + self._draw() * 2 ** (self._calls - 1)

    def _next_run(self, at: float) -> float:
        # A program of the second in which cron starts it, and of what the start itself takes.
        self._calls = 0
        return (at // self._every + 1) * self._every + self._draw()


class SdkProvider:
    """botocore's web identity provider in one process that uses AWS every `uses_every` seconds.

    With under 15 minutes left a use refreshes, in up to five calls: after a random part of
    1, 2, 4 and 8 seconds (botocore/credentials.py and data/_retry.json).
    """

    _CALLS = 5
    _ADVISORY_SECONDS = 900.0

    __slots__ = ("_calls", "_draw", "_session_seconds", "_uses", "useful_until")

    def __init__(
        self,
        draw: Callable[[], float],
        *,
        session_seconds: float = 3600.0,
        uses_every: float = 10.0,
    ) -> None:
        self._draw = draw
        self._session_seconds = session_seconds
        self._uses = Clients(since=0.0, every=uses_every)
        self._calls = 0
        self.useful_until = -math.inf

    def first_call(self) -> float:
        return self._draw()

    def told(self, called_at: float, error: ExchangeError | None) -> float:
        if error is None:
            self._calls = 0
            self.useful_until = called_at + self._session_seconds
            stale_at = self.useful_until - self._ADVISORY_SECONDS
            return self._uses.next_question(stale_at) + self._draw()
        self._calls += 1
        ended = answered_at(called_at, error)
        if self._calls < self._CALLS:
            return ended + self._draw() * 2 ** (self._calls - 1)
        self._calls = 0
        return self._uses.next_question(ended) + self._draw()
