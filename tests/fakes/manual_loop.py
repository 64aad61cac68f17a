"""A loop that does nothing but keep time, and its time only goes on when a test says so."""

import heapq
import itertools


class Timer:
    def __init__(self, when, callback):
        self._when = when
        self.callback = callback
        self.cancelled = False

    def when(self):
        return self._when

    def cancel(self):
        self.cancelled = True


class ManualLoop:
    """The time and the timers of a loop."""

    def __init__(self):
        self.now = 100.0
        self.woken = 0
        self._timers = []
        self._order = itertools.count()

    def time(self):
        return self.now

    def call_at(self, when, callback):
        timer = Timer(when, callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    @property
    def waiting(self):
        return [timer for _, _, timer in self._timers if not timer.cancelled]

    def stand_still(self, seconds):
        """Let time go by unnoticed, and only then have what was due happen, once."""
        self.now += seconds
        late = [each for each in self._timers if each[0] <= self.now]
        self._timers = [each for each in self._timers if each[0] > self.now]
        for _, _, timer in late:
            if not timer.cancelled:
                timer.callback()

    def advance(self, seconds):
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self.now = max(self.now, when)
                self.woken += 1
                timer.callback()
        self.now = end
