"""A clock for verbs: pausing turns its hands, and what is due on the way happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class FakeWaitingClock:
    """Pauses at once; `after(seconds, action)` runs an action when that much time has gone."""

    def __init__(self):
        self.passed_seconds = 0.0
        self._due = []

    def now(self):
        return NOW + timedelta(seconds=self.passed_seconds)

    def monotonic(self):
        return self.passed_seconds

    def pause(self, seconds):
        assert seconds > 0, "a pause of nothing is a hot loop"
        self.passed_seconds += seconds
        while self._due and self._due[0][0] <= self.passed_seconds:
            self._due.pop(0)[1]()

    def after(self, seconds, action):
        self._due = sorted([*self._due, (seconds, action)], key=lambda each: each[0])
