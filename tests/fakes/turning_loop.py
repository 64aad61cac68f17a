"""A loop that turns the hands of the test clock whenever nobody in it has anything to do.

Where `ManualClock.advance` is a test's own hand, this is for days of many tasks: each of them
sleeps on the clock, and no turn of the loop is spent on waiting.
"""

import asyncio
import selectors

from tests.fakes.clock import ManualClock


class _Turning(selectors.DefaultSelector):
    def __init__(self, clock):
        super().__init__()
        self._clock = clock

    def select(self, timeout=None):
        # A loop that has something to run asks without waiting.
        if timeout == 0:
            return []
        if not self._clock.turn():
            raise RuntimeError("everybody waits, and nobody for the clock")
        return []


def run(main, clock: ManualClock):
    """Run `main` to its end; whatever sleeps in it sleeps on `clock`."""
    loop = lambda: asyncio.SelectorEventLoop(_Turning(clock))  # noqa: E731
    with asyncio.Runner(loop_factory=loop, debug=False) as runner:
        return runner.run(main)
