"""The ways in which the sandbox STS can be told to fail.

sandbox.sts.faults.once(throttling(), server_error())   # the next two exchanges
sandbox.sts.faults.always(reset())                      # until clear()
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsd.sandbox.wire import TOO_LONG_FOR_ROLE, Answer, StsError, render_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from imdsd.clock import Clock
    from imdsd.sandbox.grants import Grant

# GetCallerIdentity is never spoiled: it is how a test finds out what clients hold.
SPOILED_ACTIONS = frozenset({"AssumeRole", "AssumeRoleWithWebIdentity"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail: what happens first, then instead of the right answer, or to it."""

    delay_seconds: float = 0
    hangs: bool = False
    resets: bool = False
    answer: Answer | None = None
    bend: Callable[[Grant, datetime], Grant] | None = None


def delay(seconds: float) -> Fault:
    """Answer rightly, but only after `seconds` of the sandbox's clock."""
    return Fault(delay_seconds=seconds)


def hang() -> Fault:
    """Answer rightly, but only when `Faults.release` says so."""
    return Fault(hangs=True)


def reset() -> Fault:
    """Read the request, then reset the connection."""
    return Fault(resets=True)


def error(code: str, message: str = "", *, status: int | None = None) -> Fault:
    """Refuse with an error code of STS, by default with its own status and text."""
    return Fault(answer=render_error(StsError(code, message, status=status)))


def throttling() -> Fault:
    """Say `Throttling`, with the status 400 that STS gives it."""
    return error("Throttling")


def too_many_requests(*, retry_after_seconds: int) -> Fault:
    """Say 429 with Retry-After."""
    answer = render_error(StsError("Throttling", status=429))
    headers = {**answer.headers, "Retry-After": str(retry_after_seconds)}
    return Fault(answer=replace(answer, headers=headers))


def server_error(status: int = 503) -> Fault:
    """Answer a 5xx as a load balancer does: in HTML, not in the protocol's XML."""
    body = f"<html><body><h1>{status} Service Unavailable</h1></body></html>"
    return Fault(answer=Answer(status, body, "ServiceUnavailable"))


def malformed_xml() -> Fault:
    """Answer 200 with XML that breaks off."""
    return Fault(answer=Answer(200, "<AssumeRoleWithWebIdentityResponse><Assume", "Malformed"))


def maximum_duration_refused() -> Fault:
    """Refuse as for a session longer than the role's MaxSessionDuration."""
    return error("ValidationError", TOO_LONG_FOR_ROLE)


def without_credentials() -> Fault:
    """Answer 200, everything in its place but Credentials."""
    return Fault(bend=lambda grant, _now: replace(grant, session=None))


def expired() -> Fault:
    """Hand out credentials whose expiry is an hour past."""
    return lasting(-3600)


def lasting(seconds: float) -> Fault:
    """Hand out a session of `seconds`, whatever was asked; negative ones are over already."""

    def bend(grant: Grant, now: datetime) -> Grant:
        if grant.session is None:
            return grant
        expires_at = now + timedelta(seconds=seconds)
        return replace(grant, session=replace(grant.session, expires_at=expires_at))

    return Fault(bend=bend)


def other_role(assumed_role_arn: str) -> Fault:
    """Answer with the ARN of another role's session."""
    return Fault(bend=lambda grant, _now: replace(grant, assumed_role_arn=assumed_role_arn))


class Faults:
    """Which fault the next exchange meets: queued ones first, then the one that stays."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue: deque[Fault] = deque()
        self._standing: Fault | None = None
        self._released = asyncio.Event()
        self._arrived = asyncio.Event()
        self._hanging = 0

    @property
    def hanging(self) -> int:
        """How many requests wait for `release` at this moment."""
        return self._hanging

    def once(self, *faults: Fault) -> None:
        """Spoil one exchange with each, in this order."""
        self._queue.extend(faults)

    def always(self, fault: Fault) -> None:
        """Spoil every exchange that finds the queue empty, until `clear`."""
        self._standing = fault

    def clear(self) -> None:
        """Forget all faults and let hanging requests go on."""
        self._queue.clear()
        self._standing = None
        self.release()

    def release(self) -> None:
        """Let the requests that hang now go on to their answer."""
        self._released.set()
        self._released = asyncio.Event()

    async def until_hanging(self, count: int = 1) -> None:
        """Return as soon as so many requests wait for `release`."""
        while self._hanging < count:
            self._arrived.clear()
            await self._arrived.wait()

    def take(self, action: str) -> Fault:
        """Return what this request meets; a Fault that does nothing when none was asked for."""
        if action not in SPOILED_ACTIONS:
            return Fault()
        return self._queue.popleft() if self._queue else self._standing or Fault()

    async def suffer(self, fault: Fault) -> None:
        """Wait as long as a fault says."""
        if fault.delay_seconds:
            await self._clock.sleep(fault.delay_seconds)
        if fault.hangs:
            released = self._released
            self._hanging += 1
            self._arrived.set()
            try:
                await released.wait()
            finally:
                self._hanging -= 1
