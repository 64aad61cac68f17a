"""How instants are told to a person: relative to now, in the two largest units that matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def relative(instant: datetime | None, *, now: datetime) -> str:
    """Return `in 27 min`, `3 h 5 min ago`, `now`, or `—` for no instant."""
    if instant is None:
        return "—"
    seconds = round((instant - now).total_seconds())
    if seconds == 0:
        return "now"
    return f"in {duration(seconds)}" if seconds > 0 else f"{duration(-seconds)} ago"


def duration(seconds: int) -> str:
    """Return a length of time as people say it: `45 s`, `27 min`, `5 h 12 min`, `3 d 4 h`.

    Never rounded up: what is said to be left is left.
    """
    if seconds < 2 * _MINUTE:
        return f"{seconds} s"
    if seconds < 2 * _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"
    return f"{seconds // _DAY} d {seconds % _DAY // _HOUR} h"
