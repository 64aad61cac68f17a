"""How long a role waits after each attempt: the schedule, applied to how the attempts ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsd.credentials import schedule
from imdsd.errors import Retry

if TYPE_CHECKING:
    from imdsd.errors import RefreshError


class Pacing:
    """One role's outcomes so far, as far as they bear on the next wait; it knows no clock.

    `denied` says that a person is needed. `hurriable` says whether asking sooner may help: not
    where STS refused, said when to come back, or had too many calls.
    """

    __slots__ = (
        "_denied_tries",
        "_least_interval_seconds",
        "_limited_tries",
        "_spread_next",
        "_tries",
        "denied",
        "hurriable",
    )

    def __init__(self, *, least_interval_seconds: float = schedule.LEAST_INTERVAL_SECONDS) -> None:
        self._least_interval_seconds = least_interval_seconds
        self._spread_next = True
        self._reset()

    def _reset(self) -> None:
        self.denied, self.hurriable = False, True
        self._tries = self._limited_tries = self._denied_tries = 0

    def spread_next(self) -> None:
        """Spread the next refresh widely: other machines may be in step with this one."""
        self._spread_next = True

    def succeeded(self, session_seconds: float, *, draw: float) -> float:
        """Take note of a success; return the seconds from issue to the next attempt."""
        spread, self._spread_next = self._spread_next, False
        self._reset()
        return schedule.refresh_interval(
            session_seconds,
            draw=draw,
            spread=spread,
            least_seconds=self._least_interval_seconds,
        )

    def failed(self, error: RefreshError, remaining_seconds: float, *, draw: float) -> float:
        """Take note of a failure; return the pause before the next attempt.

        `remaining_seconds` is the life of what is held, 0 when nothing can be served.
        """
        self._spread_next = True
        self._tries += 1
        self._limited_tries += error.retry is Retry.LIMITED
        if error.retry is Retry.NEVER or self._limited_tries >= schedule.LIMITED_TRIES:
            self.denied = True
        elif error.retry is Retry.ALWAYS:
            self._limited_tries = 0
        asked_to_wait = error.throttled or bool(error.retry_after_seconds)
        self.hurriable = error.retry is Retry.ALWAYS and not asked_to_wait and not self.denied
        return self._pause(error.retry_after_seconds, remaining_seconds, draw=draw)

    def _pause(
        self, retry_after_seconds: float | None, remaining_seconds: float, *, draw: float
    ) -> float:
        if self.denied:
            self._denied_tries += 1
            return schedule.denied_pause(self._denied_tries, draw=draw)
        pause = schedule.retry_pause(self._tries, remaining_seconds, draw=draw)
        # A wait of 0 s, asked for again and again, would make a hot loop. And all who are told
        # the same number at once would come back at once.
        return schedule.asked_pause(retry_after_seconds or 0.0) + pause
