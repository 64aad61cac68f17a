"""An STS that grants so many calls a second, and the outage that it has."""

from __future__ import annotations

from imdsd.errors import ExchangeError
from imdsd.sts.library import CONNECT_SECONDS

MINT_SECONDS = 0.3
"""From the start of an attempt to its call: what a token command takes."""

ANSWER_SECONDS = 0.1
"""From a call to its answer, granted or throttled."""

THROTTLED = ExchangeError("Throttling: Rate exceeded", throttled=True, code="Throttling")
UNREACHABLE = ExchangeError("STS could not be reached", code="Unreachable")


class Sts:
    """A token bucket, as AWS says that STS has one, of one second's calls.

    https://aws.amazon.com/blogs/security/how-to-monitor-and-query-iam-resources-at-scale-part-2/
    Between the two instants of `outage` nothing reaches it. With `retry_after_seconds` a throttled
    call is told when to come back.
    """

    def __init__(
        self,
        per_second: float,
        *,
        outage: tuple[float, float] = (0.0, 0.0),
        retry_after_seconds: float | None = None,
    ) -> None:
        self.per_second = per_second
        self._tokens = self._most = max(1.0, per_second)
        self._counted_at = 0.0
        self._outage_begins, self._outage_ends = outage
        self._throttled = ExchangeError(
            THROTTLED.reason,
            throttled=True,
            retry_after_seconds=retry_after_seconds,
            code=THROTTLED.code,
        )

    def ask(self, at: float) -> ExchangeError | None:
        """Return what becomes of a call at this second, None when it is granted."""
        if self._outage_begins <= at < self._outage_ends:
            return UNREACHABLE
        grown = self._tokens + (at - self._counted_at) * self.per_second
        self._tokens, self._counted_at = min(self._most, grown), at
        if self._tokens < 1:
            return self._throttled
        self._tokens -= 1
        return None


def answered_at(called_at: float, error: ExchangeError | None) -> float:
    """Return when the caller knows; a call that reaches nobody ends at its deadline."""
    return called_at + (CONNECT_SECONDS if error is UNREACHABLE else ANSWER_SECONDS)
