"""Which answers break the promise: what a client of the wall-time soak may see, and when."""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from imdsd.credentials.schedule import SERVE_MARGIN_SECONDS, refresh_threshold

RECOVERY_SECONDS = 50.0
"""A pause of 30 s, deadlines of 12 s for a try that a fault caught, and a daemon that is stopped."""


@dataclass(slots=True)
class Window:
    """A fault, from when to when, and whose refreshes it spoils."""

    roles: frozenset[str]
    began: float
    ended: float = float("inf")


@dataclass(slots=True)
class Judge:
    """Knows each fault and each session that STS gave, and holds the answers against them."""

    session_seconds: float
    windows: list[Window] = field(default_factory=list)
    given: dict[str, float] = field(default_factory=dict)
    answered: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    broken: list[str] = field(default_factory=list)

    # What happens

    def gave(self, role: str) -> None:
        """Take note that STS gave a session for this role."""
        self.given[role] = time.monotonic()

    def fault_begins(self, roles) -> Window:
        window = Window(frozenset(roles), time.monotonic())
        self.windows.append(window)
        return window

    def fault_ends(self, window: Window) -> None:
        window.ended = time.monotonic()
        horizon = window.ended - 2 * self.session_seconds
        self.windows = [each for each in self.windows if each.ended > horizon]

    @property
    def faulty(self) -> bool:
        """Whether anything is wrong, or was a moment ago."""
        return any(window.ended > time.monotonic() - 0.5 for window in self.windows)

    # What a client sees

    def served(self, kind: str, role: str, document) -> None:
        """Hold credentials that were served against what they must be."""
        self.answered[kind] += 1
        blank = [
            key for key in ("AccessKeyId", "SecretAccessKey", "Token") if not document.get(key)
        ]
        if blank:
            self.breaks(f"{kind} of {role}: without {', '.join(blank)}")
            return
        left = datetime.fromisoformat(document["Expiration"]) - datetime.now(UTC)
        # A client that waited for a daemon that was stopped reads its answer late.
        if left < timedelta(seconds=SERVE_MARGIN_SECONDS - 6):
            self.breaks(f"{kind} of {role}: {left} left")

    def unserved(self, kind: str, role: str, status: int, body: bytes) -> None:
        """Hold a refusal against what the promise allows."""
        self.answered[kind] += 1
        if status == 503 and self._excused(role):
            self.refused += 1
        else:
            self.breaks(f"{kind} of {role}: {status} {body[:200]!r}")

    def did(self, kind: str) -> None:
        """Count a request that is no question for credentials."""
        self.answered[kind] += 1

    def breaks(self, what: str) -> None:
        self.broken.append(f"{datetime.now(UTC):%T} {what}")

    def _excused(self, role: str) -> bool:
        """Whether the last session is over, and no calm was long enough to get another."""
        now, given = time.monotonic(), self.given.get(role)
        if given is None:
            return True
        if now < given + self.session_seconds - SERVE_MARGIN_SECONDS - 2:
            return False
        due = given + self.session_seconds - refresh_threshold(self.session_seconds)
        return self._longest_calm(role, due, now) < RECOVERY_SECONDS

    def _longest_calm(self, role, begin, end):
        calm, at = 0.0, begin
        for window in self.windows:
            if role in window.roles and window.ended > begin:
                calm = max(calm, window.began - at)
                at = max(at, window.ended)
        return max(calm, end - at)
