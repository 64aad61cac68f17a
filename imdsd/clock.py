"""The only module that reads the time or sleeps."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class Clock(Protocol):
    """What everything that lives in time is handed, so that tests can turn the hands."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never step; they stand still while the machine is suspended."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of the monotonic clock."""
        ...

    async def nap(self, seconds: float, wake: asyncio.Event) -> bool:
        """Return after `seconds` or as soon as `wake` is set; say whether it was set."""
        ...


class SystemClock:
    """The machine's own clocks.

    Verbs that run no loop use it too, and need not pay the 17 ms that asyncio takes to import.
    """

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the loop's own clock, in seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        import asyncio  # noqa: PLC0415  # see the class

        await asyncio.sleep(seconds)

    async def nap(self, seconds: float, wake: asyncio.Event) -> bool:
        """Return after `seconds` or as soon as `wake` is set; say whether it was set."""
        import asyncio  # noqa: PLC0415  # see the class

        try:
            async with asyncio.timeout(seconds):
                await wake.wait()
        except TimeoutError:
            return False
        return True

    def pause(self, seconds: float) -> None:
        """Block this thread: for verbs that run no loop."""
        time.sleep(seconds)


def format_instant(instant: datetime) -> str:
    """Write an instant as AWS clients read it: whole seconds, `Z`; the fraction is cut off.

    `+00:00` breaks the JavaScript v3 and Rust SDKs, fractions break boto 2.
    """
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
