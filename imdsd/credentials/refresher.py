"""One role: mint, check, exchange, publish; then wait, or fail without losing what is held."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic

import structlog

from imdsd.credentials.attempt import token_spent
from imdsd.credentials.model import NEVER, D, Failure, Moment, RoleState, Snapshot
from imdsd.credentials.news import News
from imdsd.credentials.pacing import Pacing
from imdsd.errors import RefreshError, Stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from imdsd.credentials.attempt import Attempt, Workshop
    from imdsd.credentials.model import Exchange, TokenSource

log = structlog.get_logger(__name__)

HURRY_SECONDS = 2.0
"""Requests that find nothing cut a pause short at most this often."""

_CRASH = "InternalError"


class Refresher(Generic[D]):
    """Keep one role's credentials fresh; one attempt at a time, shared by all who ask."""

    def __init__(
        self,
        attempt: Attempt[D],
        workshop: Workshop[D],
        *,
        name: str,
        first_after_seconds: float = 0.0,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.attempt = attempt
        self.name = name
        self.changed = changed
        self.snapshot: Snapshot[D] | None = None
        self._failure: Failure | None = None
        self.refreshes = 0
        self.failures = 0
        self._workshop = workshop
        self._clock = workshop.clock
        self._pacing = Pacing(least_interval_seconds=workshop.least_interval_seconds)
        self._closed = False
        self._news = News()
        self._running: asyncio.Task[RefreshError | None] | None = None
        self._settled = asyncio.Event()
        self.published = asyncio.Event()
        self._not_before = self._clock.monotonic() + first_after_seconds
        self._hurried_at = self._clock.monotonic() - HURRY_SECONDS
        self.due = self._after(first_after_seconds)

    # What is held

    def current(self) -> Snapshot[D] | None:
        """Return what may be served now, or None."""
        snapshot = self.snapshot
        if snapshot is None or not snapshot.servable(self._clock.now(), self._clock.monotonic()):
            return None
        return snapshot

    async def current_within(self, seconds: float) -> Snapshot[D] | None:
        """Return what may be served, waiting up to `seconds` for an attempt if there is nothing."""
        if (snapshot := self.current()) is not None:
            return snapshot
        self._hurry()
        if self.attempting:
            await self._clock.nap(seconds, self._settled)
        return self.current()

    @property
    def state(self) -> RoleState:
        """How the role fares now."""
        if self._pacing.denied:
            return RoleState.DENIED
        if self.snapshot is None:
            return RoleState.STARTING
        if self.current() is None:
            return RoleState.EXPIRED
        return RoleState.DEGRADED if self.failure else RoleState.OK

    @property
    def failure(self) -> Failure | None:
        """What failed last, nothing since a success; or that the last credentials have ended."""
        if self._failure or self.snapshot is None or self.due is not NEVER or self.current():
            return self._failure
        return Failure(token_spent(self.attempt.source), self.snapshot.credentials.expires_at)

    @property
    def remaining_seconds(self) -> float:
        """The life of what is held, 0 when nothing can be served."""
        snapshot = self.current()
        if snapshot is None:
            return 0.0
        return snapshot.remaining_seconds(self._clock.now(), self._clock.monotonic())

    @property
    def attempting(self) -> bool:
        """Whether an attempt is under way."""
        return self._running is not None and not self._running.done()

    # When

    def seconds_until_due(self) -> float:
        """Return the seconds until the next attempt, 0 or less when it should start."""
        return self.due.remaining_seconds(self._clock.now(), self._clock.monotonic())

    @property
    def refresh_at(self) -> datetime | None:
        """When the next attempt is due, None when there is no use in one."""
        return None if self.due is NEVER else self.due.at

    def clock_jumped(self) -> None:
        """Take note that the machine slept or its clock was set."""
        self._pacing.spread_next()
        if self.current() is None and not self._pacing.denied and self.due is not NEVER:
            self._bring_forward()

    def delay(self, seconds: float) -> None:
        """Put the next attempt off; a request that finds nothing still cuts the wait short."""
        self.due = self._after(max(0.0, self.seconds_until_due()) + seconds)

    def rename(self, name: str, *, source: TokenSource, exchange: Exchange) -> None:
        """Take another name and new collaborators for the same terms; ask at once if stuck."""
        self.name = name
        self.attempt.source, self.attempt.exchange = source, exchange
        if self._pacing.denied or (self.due is NEVER and self.current() is None):
            self._bring_forward()

    def start(self) -> asyncio.Task[RefreshError | None]:
        """Return the attempt under way, or start one; the task gives the failure or None."""
        if self._running is None or self._running.done():
            self._settled.clear()
            self._running = asyncio.create_task(self._run(), name=f"refresh {self.name}")
        return self._running

    async def refresh(self) -> RefreshError | None:
        """Join or start an attempt and return its failure; leaving early cancels nothing."""
        if self._closed:
            return self._given_up()
        attempt = self.start()
        await asyncio.wait((attempt,))
        return self._given_up() if attempt.cancelled() else attempt.result()

    async def aclose(self) -> None:
        """End the attempt under way, its result dropped, and let no other begin."""
        self._closed = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _given_up(self) -> RefreshError:
        reason = "the attempt was given up: the daemon stops, or the role was removed"
        return RefreshError(reason, code="GivenUp", stage=self.attempt.stage)

    def _hurry(self) -> None:
        monotonic = self._clock.monotonic()
        if not self._hurriable or self.attempting or monotonic - self._hurried_at < HURRY_SECONDS:
            return
        self._hurried_at = monotonic
        self._bring_forward()
        if self.seconds_until_due() <= 0:
            self.start()

    @property
    def _hurriable(self) -> bool:
        return not self._closed and self.due is not NEVER and self._pacing.hurriable

    def _bring_forward(self) -> None:
        self.due = self._after(max(0.0, self._not_before - self._clock.monotonic()))
        self.changed()

    def _after(self, seconds: float) -> Moment:
        return Moment.after(seconds, now=self._clock.now(), monotonic=self._clock.monotonic())

    # One attempt

    async def _run(self) -> RefreshError | None:
        started = self._clock.monotonic()
        try:
            self._succeeded(await self.attempt.run(self.name))
        except RefreshError as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001  # a bug must cost one attempt, never the daemon
            self._crashed(error)
        finally:
            self._settled.set()
            self.changed()
        self._workshop.metrics.attempt_ended(self.name, self._clock.monotonic() - started)
        return self.failure.error if self.failure else None

    # What came of it

    def _succeeded(self, snapshot: Snapshot[D]) -> None:
        self.snapshot = snapshot
        self.due = self._refresh_due(snapshot)
        self.refreshes += 1
        self.published.set()
        self._news.over()
        self._failure = None
        log.info(
            "credentials_refreshed",
            role=self.name,
            role_arn=snapshot.credentials.role_arn,
            expires_at=snapshot.credentials.expires_at,
            refresh_at=self.refresh_at,
        )
        if self.due is NEVER:
            detail = f"they end then, as {token_spent(self.attempt.source)}"
            ends = snapshot.credentials.expires_at
            log.warning("last_credentials_obtained", role=self.name, expires_at=ends, detail=detail)
        self._workshop.published(self.name, snapshot.credentials)

    def _refresh_due(self, snapshot: Snapshot[D]) -> Moment:
        wait = self._pacing.succeeded(snapshot.session_seconds, draw=self._workshop.draw())
        issued = snapshot.dead_at - snapshot.session_seconds
        due = Moment.after(wait, now=snapshot.credentials.issued_at, monotonic=issued)
        return due if self.attempt.may_succeed_at(due.at) else NEVER

    def _crashed(self, error: Exception) -> None:
        if self.failure is None or self.failure.error.code != _CRASH:
            log.error("refresh_crashed", role=self.name, exc_info=error)
        reason = f"internal error: {type(error).__name__}"
        self._failed(RefreshError(reason, code=_CRASH, stage=self.attempt.stage))

    def _failed(self, error: RefreshError) -> None:
        # What failed is remembered, not the way it came: that would keep a whole client of STS.
        error.__traceback__ = error.__cause__ = error.__context__ = None
        self._failure = Failure(error, self._clock.now())
        self.failures += 1
        pause = self._pacing.failed(error, self.remaining_seconds, draw=self._workshop.draw())
        self.due = NEVER if self._is_last_word(error) else self._after(pause)
        self._workshop.metrics.refresh_failed(self.name, error.stage, error.code)
        self._report(error)

    def _is_last_word(self, error: RefreshError) -> bool:
        """Whether the one token, which gave a session before, is of no more use."""
        no_token = error.stage in (Stage.MINT, Stage.CHECK)
        return no_token and self.snapshot is not None and not self.attempt.source.renewable

    def _report(self, error: RefreshError) -> None:
        # Credentials may have expired since the last try: that is news, though the reason is not.
        news = self._news.is_new(self.state, error.code)
        for_a_person = self._pacing.denied or self.due is NEVER
        level = "debug" if not news else "error" if for_a_person else "warning"
        getattr(log, level)(
            "refresh_failed",
            role=self.name,
            state=str(self.state),
            stage=str(error.stage),
            code=error.code,
            reason=error.reason,
            remedy=error.remedy,
            serving_for_seconds=round(self.remaining_seconds),
            next_try_at=self.refresh_at,
        )
