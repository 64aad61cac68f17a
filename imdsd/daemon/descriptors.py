"""How many descriptors a daemon may have open: more than its clients can take from it."""

from __future__ import annotations

import resource

from imdsd.endpoints.door.limits import LIMITS
from imdsd.errors import ConfigurationError, Problem

SPARE = 64
"""For clients that are told to go, and the daemon's own: listeners, token commands, STS, files."""
LEAST = LIMITS.connections + SPARE

# Three times what is needed, and as far as select(2) can count: token commands inherit it.
_ENOUGH = 1024


def raise_limit() -> None:
    """Have enough descriptors for every connection that may be open, and for the daemon's own.

    Raises ConfigurationError where the hard limit is lower: clients could take the last one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = soft_limit(soft, hard)
    if wanted != soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def soft_limit(soft: int, hard: int) -> int:
    """Return what the soft limit should be; it is never lowered.

    Raises ConfigurationError where that would not do.
    """
    if resource.RLIM_INFINITY in (soft, hard):
        return soft if soft == resource.RLIM_INFINITY else max(soft, _ENOUGH)
    wanted = max(soft, min(hard, _ENOUGH))
    if wanted < LEAST:
        expected = f"{LEAST} or more: {LIMITS.connections} connections and {SPARE} for all else"
        hint = "raise LimitNOFILE= of the unit, or `ulimit -Hn` where the daemon is started"
        problem = Problem(
            "limits of this process", "open files (RLIMIT_NOFILE)", str(hard), expected, hint
        )
        raise ConfigurationError((problem,))
    return wanted
