"""The fleets and the days that docs/fleet.md tells of, each simulated from a seed of its own."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from benchmarks.fleet.machines import (
    NOBODY,
    Clients,
    Cron,
    Daemon,
    Hurried,
    OnTheDot,
    SdkProvider,
    TenPercentAlone,
)
from benchmarks.fleet.simulation import Course, nearest_rank, run
from benchmarks.fleet.sts import Sts
from imdsd.credentials.pacing import Pacing
from imdsd.credentials.schedule import NAP_SECONDS, refresh_interval

if TYPE_CHECKING:
    from collections.abc import Callable

MACHINES = (1, 10, 100, 1_000, 10_000, 100_000)
PER_SECOND = (60, 600)
SESSIONS = (900, 1800, 3600, 7200, 43200)
HOUR = 3600.0
OUTAGE_SECONDS = 1200.0
ASLEEP_SECONDS = 8 * HOUR
LARGEST_WHOLE = 10_000
SCALE = 10
"""A larger fleet's storms are simulated with a tenth of the machines and of the calls a second.

What a machine meets depends on their ratio alone: chance is a hundredth of such numbers.
"""

WINDOW_SECONDS = 10
"""Over which a rate is taken where a mean is compared with a peak."""

_CALLS_A_WINDOW = 60

Row = dict[str, float | int | str | None]


def _scale(machines: int) -> int:
    return SCALE if machines > LARGEST_WHOLE else 1


def _draws(machines: int) -> list[Callable[[], float]]:
    return [random.Random(machines).random] * machines


def _waiting(course: Course, *, scale: int = 1, **named: float | str) -> Row:
    """Return what it took until all that waited were served."""
    shares = {"p50": 0.5, "p99": 0.99, "all": 1.0}
    times = {name: course.served_at_share(share) for name, share in shares.items()}
    return {
        **named,
        "calls": round(course.calls_per_machine, 2),
        "peak": course.busiest_second * scale,
        **{name: None if math.isinf(at) else round(at, 1) for name, at in times.items()},
    }


def booted(
    machines: int, *, spread: float, asked: bool = False, pacing: type[Pacing] = Pacing
) -> list[Daemon]:
    """Return machines that start at once; `asked` has somebody ask each of them every second."""
    fleet = []
    for draw in _draws(machines):
        starts_at = spread * draw()
        clients = Clients(since=draw(), every=1.0) if asked else NOBODY
        fleet.append(Daemon(draw, starts_at=starts_at, clients=clients, pacing=pacing()))
    return fleet


def boot(machines: int, per_second: float, *, spread: float) -> Row:
    """All start at once, with nothing held."""
    scale = _scale(machines)
    course = run(booted(machines // scale, spread=spread), Sts(per_second / scale))
    named = {"machines": machines, "per_second": per_second, "spread": spread}
    return _waiting(course, scale=scale, **named)


def steady(machines: int, session: float, *, asleep: float = 0.0) -> list[Daemon]:
    """Return machines that are in step with nobody, after they slept for so many seconds.

    Each wakes at the end of the nap it was in, or sooner when its refresh is due.
    """
    fleet = []
    for draw in _draws(machines):
        interval = refresh_interval(session, draw=draw())
        age = interval * draw()
        nap, due = NAP_SECONDS * draw(), interval - age
        starts_at = min(nap, due) if asleep else due
        machine = Daemon(draw, session_seconds=session, starts_at=starts_at)
        machine.hold(until=session - age - asleep)
        if asleep:
            machine.resume()
        fleet.append(machine)
    return fleet


def resume(machines: int, per_second: float, *, session: float) -> Row:
    """All sleep for eight hours and wake in the same second."""
    scale = _scale(machines)
    fleet = steady(machines // scale, session, asleep=ASLEEP_SECONDS)
    course = run(fleet, Sts(per_second / scale))
    named = {"machines": machines, "per_second": per_second, "session": session}
    return _waiting(course, scale=scale, **named)


def outage(machines: int, per_second: float, *, session: float) -> Row:
    """Nobody reaches STS for twenty minutes; told of those who called in vain."""
    scale = _scale(machines)
    course = outage_course(machines // scale, per_second / scale, session=session)
    without = [seconds for seconds in course.seconds_without if seconds]
    named = {"machines": machines, "per_second": per_second, "session": session}
    return {
        **_waiting(course, scale=scale, **named),
        "without_share": round(len(without) / len(course.seconds_without), 4),
        "without_p99": round(nearest_rank(without, 0.99), 1) if without else 0.0,
    }


def outage_course(
    machines: int, per_second: float, *, session: float, until: float | None = None
) -> Course:
    sts = Sts(per_second, outage=(0.0, OUTAGE_SECONDS))
    return run(steady(machines, session), sts, since=OUTAGE_SECONDS, until=until)


def cycles(machines: int, per_second: float, *, session: float) -> Row:
    """Six cycles after a boot together: the busiest window over the mean.

    A window of few calls would show chance instead of the schedule.
    """
    interval = refresh_interval(session, draw=0.0)
    fleet = [
        Daemon(draw, session_seconds=session, starts_at=30 * draw()) for draw in _draws(machines)
    ]
    course = run(fleet, Sts(per_second), until=6 * interval)
    window = max(WINDOW_SECONDS, math.ceil(_CALLS_A_WINDOW * interval / machines))
    second, later = (course.peak_over_mean(window, since=k * interval) for k in (1, 2))
    return {
        "machines": machines,
        "per_second": per_second,
        "session": session,
        "window": window,
        "second_cycle": round(second, 2),
        "later": round(later, 2),
    }


def load(machines: int, per_second: float, *, session: float) -> Row:
    """An hour of a fleet that is in step with nobody, at a load that may be too much.

    Where it is far too much, chance plays no part, and a hundredth of the fleet shows the same.
    """
    interval = refresh_interval(session, draw=0.5)
    scale = 100 if machines / interval > 2 * per_second else 1
    course = run(steady(machines // scale, session), Sts(per_second / scale), until=HOUR)
    return {
        "machines": machines,
        "per_second": per_second,
        "session": session,
        "load": round(machines / interval / per_second, 2),
        "throttled": round(course.throttled_share, 3),
        "without": round(course.share_without, 4),
    }


def alternatives(machines: int) -> dict[str, list[Daemon] | list[Cron] | list[SdkProvider]]:
    """Return, by name, what one could run on these machines."""
    return {
        "imdsd": booted(machines, spread=0),
        "imdsd, spread 30": booted(machines, spread=30),
        "10 % jitter alone": booted(machines, spread=0, pacing=TenPercentAlone),
        "SDK provider": [SdkProvider(draw) for draw in _draws(machines)],
        "cron": [Cron(draw) for draw in _draws(machines)],
    }


def compared_course(machines: int, per_second: float, name: str) -> Course:
    """Four hours of one alternative after a boot together."""
    return run(alternatives(machines)[name], Sts(per_second), until=4 * HOUR)


def compared(name: str, course: Course, *, per_second: float) -> Row:
    since = 2 * refresh_interval(HOUR, draw=0.0)
    return {
        "name": name,
        "per_second": per_second,
        **_waiting(course),
        "later": round(course.peak_over_mean(WINDOW_SECONDS, since=since), 1),
        "throttled": round(course.throttled_share, 3),
        "without": round(course.share_without, 4),
    }


def rule(name: str, machines: int, per_second: float) -> Row:
    """What one rule of the schedule is worth: a boot with it, or without it."""
    match name:
        case "asked for every second":
            fleet, sts = booted(machines, spread=0, asked=True), Sts(per_second)
        case "the same, if requests hurried throttled calls":
            fleet = booted(machines, spread=0, asked=True, pacing=Hurried)
            sts = Sts(per_second)
        case _:
            pacing = OnTheDot if "exactly" in name else Pacing
            fleet = booted(machines, spread=0, pacing=pacing)
            sts = Sts(per_second, retry_after_seconds=5.0)
    return _waiting(run(fleet, sts), name=name, machines=machines, per_second=per_second)


RULES = (
    "asked for every second",
    "the same, if requests hurried throttled calls",
    "STS says `Retry-After: 5`",
    "the same, if all came back after exactly that",
)
