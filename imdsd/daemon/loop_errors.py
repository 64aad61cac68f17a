"""What is said of an error that reached the loop, where nobody waits for it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    import asyncio

    from imdsd.clock import Clock

log = structlog.get_logger(__name__)

QUIET_SECONDS = 30.0
"""How long descriptors must have sufficed before a lack of them is news again."""

# What asyncio takes for a lack that passes, when it accepts: it tries again after a second.
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class LoopErrors:
    """Log them by kind and place: asyncio's own words repeat what an exception says.

    For connections that cannot be accepted asyncio calls once for each of its tries, a thousand in
    a second: they are told once, until the trouble has been over for a while.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._exhausted_at: float | None = None

    def __call__(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what asyncio says (loop.set_exception_handler)."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            self._exhausted(error)
        else:
            # What follows the name of a callback are its arguments.
            detail = str(context.get("message")).partition("(")[0]
            log.error("loop_error", detail=detail, exc_info=error)

    def _exhausted(self, error: OSError) -> None:
        before, self._exhausted_at = self._exhausted_at, self._clock.monotonic()
        if before is None or self._exhausted_at - before >= QUIET_SECONDS:
            log.warning("descriptors_exhausted", reason=error.strerror)
