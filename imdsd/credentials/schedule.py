"""When to refresh and how long to pause: arithmetic on durations, without a clock.

Every random quantity comes in as `draw`, a number in [0, 1).
"""

from __future__ import annotations

NAP_SECONDS = 30.0
"""The longest sleep: a suspended machine stops the loop's clock, so the wall is looked at often."""

SERVE_MARGIN_SECONDS = 30.0
"""Credentials with less life than this are not served any more."""

LEAST_INTERVAL_SECONDS = 60.0
"""Two refreshes of a role are never closer, whatever a source or STS returns."""

LIMITED_TRIES = 5
"""Tries before a refusal that may pass by itself counts as `denied`."""

JITTER = 0.1
EARLY_SPREAD = 0.5
_LONG_ENOUGH_SECONDS = 600.0
_LONGEST_RETRY_AFTER_SECONDS = 60.0


def refresh_threshold(session_seconds: float) -> float:
    """Return the remaining life, in seconds, at which a session of this length is refreshed.

    botocore takes less than 1500 s left over IMDS for an outage, the Java and .NET SDKs fetch on
    every call under 900 s, botocore blocks under 600 s: so half of a long session, and as much as
    a short one can give while 240 s lie between two refreshes.
    """
    half = session_seconds / 2
    return max(half, min(session_seconds - 240, max(1800, half + 120)))


def refresh_interval(
    session_seconds: float,
    *,
    draw: float,
    spread: bool = False,
    least_seconds: float = LEAST_INTERVAL_SECONDS,
) -> float:
    """Return the seconds from issue to refresh, jittered towards earlier only.

    `spread` draws from the last half of the interval instead of its last tenth, so that machines
    that started or recovered together do not stay in step.
    """
    interval = session_seconds - refresh_threshold(session_seconds)
    early = interval * (EARLY_SPREAD if spread else JITTER) * draw
    return max(least_seconds, interval - early)


def retry_pause(failures: int, remaining_seconds: float, *, draw: float) -> float:
    """Return the pause after the `failures`-th failure in a row: full jitter, growing, capped.

    `remaining_seconds` is the life of what is held, 0 or less when nothing can be served.
    """
    if remaining_seconds <= 0:
        return _full_jitter(failures, base=1.0, cap=30.0, draw=draw)
    cap = 120.0 if remaining_seconds >= _LONG_ENOUGH_SECONDS else 30.0
    return max(1.0, _full_jitter(failures, base=5.0, cap=cap, draw=draw))


def denied_pause(tries: int, *, draw: float) -> float:
    """Return the pause before asking again where a person is needed: 60 s to 5 min, ± 20 %."""
    return _grown(tries, base=60.0, cap=300.0) * (0.8 + 0.4 * draw)


def asked_pause(retry_after_seconds: float) -> float:
    """Return the pause STS asked for by `Retry-After`, kept within a minute."""
    return min(max(retry_after_seconds, 0.0), _LONGEST_RETRY_AFTER_SECONDS)


def shorter_duration(duration_seconds: int, *, renewable: bool) -> int:
    """Return the session length to ask for after STS refused `duration_seconds` as too long.

    3600 s is within every role's MaxSessionDuration. A token that cannot be minted again is worth
    a few halvings first, since its session is the only one.
    """
    return 3600 if renewable else max(3600, duration_seconds // 2)


def _full_jitter(tries: int, *, base: float, cap: float, draw: float) -> float:
    return _grown(tries, base=base, cap=cap) * draw


def _grown(tries: int, *, base: float, cap: float) -> float:
    # Beyond 2**16 the cap holds for every base in use; a float must not overflow after days.
    return min(cap, base * 2.0 ** min(tries - 1, 16))
