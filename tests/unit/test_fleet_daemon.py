"""The simulated machine against the daemon itself: the same draws, the same calls to STS."""

import asyncio
import random

import pytest

from benchmarks.fleet.machines import NOBODY, Clients, Daemon
from benchmarks.fleet.simulation import run
from benchmarks.fleet.sts import ANSWER_SECONDS, MINT_SECONDS, UNREACHABLE, Sts
from imdsd.credentials.attempt import Workshop
from imdsd.credentials.roles import RoleDefinition, Roles
from imdsd.sts.library import CONNECT_SECONDS
from imdsd.telemetry.metrics import Metrics
from tests.fakes.clock import ManualClock
from tests.fakes.refresh import FakeExchange, FakePublisher, FakeSource, terms

BEGIN = 1000.0
"""Where the test clock's monotonic hand begins."""

CLOSE = 1e-3
PER_SECOND = 0.5


class Watched:
    """An STS that notes who called when, and what became of it."""

    def __init__(self, sts):
        self._sts = sts
        self.calls = []

    def ask(self, at, who):
        error = self._sts.ask(at)
        self.calls.append((at, who, error is None))
        return error


class SlowSource(FakeSource):
    async def mint(self):
        await self._clock.sleep(MINT_SECONDS)
        return await super().mint()


class SharedExchange(FakeExchange):
    def __init__(self, clock, sts, who):
        super().__init__(clock)
        self._sts, self._who = sts, who

    async def exchange(self, token, **parameters):
        self.always = self._sts.ask(self._clock.monotonic() - BEGIN, self._who)
        unreached = self.always is UNREACHABLE
        self.takes_seconds = CONNECT_SECONDS if unreached else ANSWER_SECONDS
        return await super().exchange(token, **parameters)


class Fleet:
    """Real daemons' roles, each with draws of its own, on one test clock."""

    def __init__(self, machines, sts, *, session, spread):
        self.clock = ManualClock()
        self.sts = Watched(sts)
        self.machines = [self._machine(who, session, spread) for who in range(machines)]

    def _machine(self, who, session, spread):
        workshop = Workshop(
            publisher=FakePublisher(),
            clock=self.clock,
            metrics=Metrics("0"),
            draw=random.Random(who).random,
            host="box",
        )
        exchange = SharedExchange(self.clock, self.sts, who)
        role = RoleDefinition(
            "dev", (), terms(duration_seconds=session), SlowSource(self.clock), exchange
        )
        return Roles([role], workshop, default="dev", spread_seconds=spread)

    async def _ask(self, roles, since, every):
        await self.clock.sleep(since)
        while True:
            await roles.default.current_within(0)
            await self.clock.sleep(every)

    async def live(self, seconds, clients):
        """Return the calls of so many seconds, in their order."""
        running = [asyncio.create_task(roles.run()) for roles in self.machines]
        running += [
            asyncio.create_task(self._ask(roles, *asks))
            for roles, asks in zip(self.machines, clients, strict=False)
        ]
        await self.clock.advance(seconds)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        return self.sts.calls


def simulated(machines, sts, *, session, spread, until, clients):
    """Return the calls that the simulator makes of the same draws."""
    told = []

    class Noted(Daemon):
        __slots__ = ("who",)

        def told(self, called_at, error):
            told.append((called_at, self.who, error is None))
            return super().told(called_at, error)

    fleet = []
    for who in range(machines):
        draw = random.Random(who).random
        asks = Clients(since=clients[who][0], every=clients[who][1]) if clients else NOBODY
        machine = Noted(draw, session_seconds=session, starts_at=spread * draw(), clients=asks)
        machine.who = who
        fleet.append(machine)
    run(fleet, sts, until=until)
    return told


@pytest.mark.parametrize(
    ("spread", "asking", "trouble"),
    [
        (0, False, {}),
        (30, False, {}),
        (30, True, {}),
        (0, True, {"outage": (100.0, 650.0)}),
        (0, False, {"outage": (100.0, 300.0)}),
        (0, True, {"retry_after_seconds": 7.0}),
    ],
    ids=["boot", "spread", "asked", "outage-asked", "outage", "retry-after"],
)
async def test_the_simulated_machines_call_when_the_daemon_does(spread, asking, trouble):
    # Debugging a loop of a hundred tasks takes minutes; other tests debug each of them.
    asyncio.get_running_loop().set_debug(False)
    machines, until = 8, 700
    clients = [(0.37 + who * 0.011, 3.0) for who in range(machines)] if asking else []
    fleet = Fleet(machines, Sts(PER_SECOND, **trouble), session=900, spread=spread)
    real = await fleet.live(until, clients)
    model = simulated(
        machines,
        Sts(PER_SECOND, **trouble),
        session=900,
        spread=spread,
        until=until,
        clients=clients,
    )
    assert len(real) == len(model) > 3 * machines
    for called, expected in zip(real, model, strict=True):
        assert called[0] == pytest.approx(expected[0], abs=CLOSE)
        assert called[1:] == expected[1:]
