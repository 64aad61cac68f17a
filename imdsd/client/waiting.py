"""The only module of the client that counts how long something may still take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from datetime import datetime

POLL_SECONDS = 0.1


class WaitingClock(Protocol):
    """What verbs that run no loop wait with."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never step."""
        ...

    def pause(self, seconds: float) -> None:
        """Block for `seconds`."""
        ...


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock by which something must have happened."""

    clock: WaitingClock
    at: float

    @classmethod
    def after(cls, seconds: float, *, clock: WaitingClock) -> Self:
        """Return the moment that is `seconds` away."""
        return cls(clock, clock.monotonic() + seconds)

    @property
    def remaining_seconds(self) -> float:
        """How long is left; 0 when the moment has passed."""
        return max(0.0, self.at - self.clock.monotonic())

    @property
    def passed(self) -> bool:
        """Whether nothing is left."""
        return self.remaining_seconds <= 0

    def poll(self, seconds: float = POLL_SECONDS) -> None:
        """Pause between two looks, not beyond the deadline."""
        self.clock.pause(min(seconds, self.remaining_seconds))
