"""What the promise allows: how long a role in trouble may be without credentials.

The credentials in service outlive a fault for as long as `refresh.md` says of their session; a
role without any has them back soon after the fault is over. Both soaks judge by this alone.
"""

from dataclasses import dataclass

from imdsd.credentials.schedule import SERVE_MARGIN_SECONDS, refresh_threshold

ATTEMPT_SECONDS = 20.0
"""A mint and an exchange have ten seconds each: an attempt may have been at it for so long."""

FORGOTTEN_SECONDS = 140.0
"""After a fault that nobody noticed, the next try comes within two minutes."""


def unnoticed_seconds(session_seconds: float) -> float:
    """Return how long everything may fail before anybody is refused credentials."""
    return refresh_threshold(session_seconds) - SERVE_MARGIN_SECONDS


@dataclass(slots=True)
class Trouble:
    """Faults one after the other, and when the first began: between them nobody recovered."""

    since: float
    until: float | None = None
    recovery_seconds: float = 35.0

    def excuses(self, now: float, *, session_seconds: float, slack_seconds: float) -> bool:
        """Say whether a request may be refused now."""
        if self.until is not None and now > self.until + self.recovery_seconds:
            return False
        return now - self.since >= unnoticed_seconds(session_seconds) - slack_seconds


class Troubles:
    """The trouble that there is or was last, on a clock that only goes forward."""

    def __init__(self) -> None:
        self.last: Trouble | None = None

    def begin(self, now: float, *, recovery_seconds: float = 35.0) -> Trouble:
        before = self.last
        since, recovery = now, recovery_seconds
        if before is not None:
            running = before.until is None
            forgotten = 0.0 if running else before.until + before.recovery_seconds
            if running or now <= forgotten + FORGOTTEN_SECONDS:
                since, recovery = before.since, max(recovery, before.recovery_seconds)
        self.last = Trouble(since, recovery_seconds=recovery)
        return self.last

    def end(self, now: float) -> None:
        assert self.last is not None
        self.last.until = now

    def excuse(self, now: float, *, session_seconds: float, slack_seconds: float) -> bool:
        return self.last is not None and self.last.excuses(
            now, session_seconds=session_seconds, slack_seconds=slack_seconds
        )
