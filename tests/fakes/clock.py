"""A clock that stands still until a test turns its hands."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """Wall and monotonic time that `advance` moves together, and `step` and `suspend` part."""

    def __init__(self, start: datetime = START) -> None:
        self._wall = start
        self._monotonic = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self.naps = 0

    def now(self) -> datetime:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        await self._future(seconds)

    async def nap(self, seconds: float, wake: asyncio.Event) -> bool:
        self.naps += 1
        timer = self._future(seconds)
        waker = asyncio.create_task(wake.wait())
        waker.add_done_callback(lambda _: timer.cancel())
        try:
            await asyncio.wait((timer,))
        finally:
            timer.cancel()
            waker.cancel()
        return wake.is_set()

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking everyone who is due on the way, in order."""
        await settle()
        end = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._move(max(0.0, due - self._monotonic))
            if not future.done():
                future.set_result(None)
                await settle()
        self._move(end - self._monotonic)
        await settle()

    def turn(self) -> bool:
        """Move on to whoever is due next and wake them; say whether anybody slept."""
        while self._sleepers:
            due, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                self._move(max(0.0, due - self._monotonic))
                future.set_result(None)
                return True
        return False

    def step(self, seconds: float) -> None:
        """Set the wall clock, as NTP or an operator does."""
        self._wall += timedelta(seconds=seconds)

    suspend = step
    """A suspended machine: the wall moves on, the monotonic clock does not."""

    def _move(self, seconds: float) -> None:
        self._wall += timedelta(seconds=seconds)
        self._monotonic += seconds

    def _future(self, seconds: float) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), future))
        return future


async def settle() -> None:
    """Let everything that can run without time passing run."""
    for _ in range(40):
        await asyncio.sleep(0)  # noqa: TID251  # a turn of the loop, no time
