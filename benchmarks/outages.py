"""How long STS may be away before a client is let down, on the test clock, over many draws.

The schedule, the refresher and the roles are the daemon's own; so is botocore's provider beside
them. Only their clock is turned by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from datetime import timedelta
from statistics import median

import structlog
from botocore.credentials import RefreshableCredentials

from benchmarks.report import RELIABILITY, Table
from imdsd.credentials.roles import Roles
from imdsd.credentials.schedule import refresh_interval
from imdsd.errors import ExchangeError
from tests.fakes.clock import START
from tests.fakes.refresh import Bench, FakeExchange

SESSIONS = (900, 1800, 3600, 7200, 43200)
DRAWS_A_REPETITION = 3
_AWAY = ExchangeError("STS could not be reached", code="Unreachable")
_ANSWER_SECONDS = 0.3
_TIMEOUT_SECONDS = 10.0
_HOLD_SECONDS = 0.8
# How long before the end of the credentials an outage is taken to end, tried in this order.
_MARGINS = (1, 2, 5, 11, 15, 20, 30, 45, 60)
_WATCHED_SECONDS = 90
# botocore refreshes with so much left, and lets nobody down before 10 min are left; with a session
# no longer than this it does so at every call.
_ADVISORY_SECONDS = 15 * 60


class _Sts(FakeExchange):
    """Away or there, decided when it is asked; what is away fails after a while."""

    away = False
    fails_after_seconds = 0.0

    async def exchange(self, token, **parameters):
        away = self.away
        await self._clock.sleep(self.fails_after_seconds if away else _ANSWER_SECONDS)
        if away:
            raise _AWAY
        return await super().exchange(token, **parameters)


def measure(*, draws: int) -> list[Table]:
    for library in ("botocore.credentials", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    columns = [
        "session S",
        "worst, STS refuses",
        "worst, STS is silent",
        "median",
        "botocore alone, worst",
        "its median",
    ]
    rows = []
    for session in SESSIONS:
        refused = [_longest(session, seed, worst=True) for seed in range(draws)]
        silent = [_longest(session, seed, worst=True, silent=True) for seed in range(draws)]
        usual = [_longest(session, seed, worst=False) for seed in range(draws)]
        its_own = [_of_botocore(session, seed / draws) for seed in range(draws)]
        seconds = [min(refused), min(silent), median(usual), min(its_own), median(its_own)]
        rows.append([str(session), *map(_minutes, seconds)])
    return [Table("outages", columns, rows, RELIABILITY)]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def _longest(session: int, seed: int, *, worst: bool, silent: bool = False) -> float:
    """Return the longest outage of one draw after which every request was answered with 200."""
    for margin in _MARGINS:
        lasted, fine = asyncio.run(_outage(session, seed, margin, worst=worst, silent=silent))
        if fine:
            return lasted
    raise SystemExit(f"with a session of {session} s no outage was survived: seed {seed}")


async def _outage(
    session: int, seed: int, margin: float, *, worst: bool, silent: bool
) -> tuple[float, bool]:
    """Have STS away until `margin` before the end of the credentials; say how long, and if fine.

    The worst moment to go away is just before a refresh.
    """
    generator = random.Random(seed)
    bench = Bench(draw=generator.random)
    bench.exchange = sts = _Sts(bench.clock)
    sts.fails_after_seconds = _TIMEOUT_SECONDS if silent else 0.0
    roles = Roles([bench.definition(duration_seconds=session)], bench.workshop, default="dev")
    keeping = asyncio.create_task(roles.run())
    role = roles.default
    await bench.clock.advance(5)
    await bench.clock.advance(role.seconds_until_due() + 5)  # the first interval is a short one
    usual = refresh_interval(session, draw=0)
    phase = 1.0 if worst else generator.random() * usual
    await bench.clock.advance(max(0.0, role.seconds_until_due() - phase))
    sts.away = True
    end = role.remaining_seconds - 30
    lasted = end - margin
    await bench.clock.advance(lasted)
    sts.away = False
    fine = True
    for _ in range(_WATCHED_SECONDS):
        asking = asyncio.create_task(role.current_within(_HOLD_SECONDS))
        await bench.clock.advance(1)
        fine = fine and (await asking) is not None
        if role.failure is None:
            break
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
    return lasted, fine and role.failure is None


def _of_botocore(session: int, phase: float) -> float:
    """Return how long botocore's own provider hides an outage from a program that asks on.

    `phase` says where in its interval STS goes away, 0 being just before a refresh.
    """
    now, away = START, False

    def metadata() -> dict[str, str]:
        if away:
            raise ConnectionError("STS is away")
        ends = now + timedelta(seconds=session)
        return {"access_key": "A", "secret_key": "S", "token": "T", "expiry_time": ends.isoformat()}

    credentials = RefreshableCredentials(
        "A", "S", "T", now + timedelta(seconds=session), metadata, "web-identity", lambda: now
    )
    now += timedelta(seconds=(session - _ADVISORY_SECONDS) * (1 - phase))
    credentials.get_frozen_credentials()
    away, began = True, now
    with contextlib.suppress(ConnectionError):
        while (now - began).total_seconds() < session:
            credentials.get_frozen_credentials()
            now += timedelta(seconds=1)
    return (now - began).total_seconds()
