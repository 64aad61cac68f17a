"""Days of refreshes on the test clock: the real roles and documents, faults, and who looks on."""

import asyncio
import gc
import json
import random
import statistics
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from multidict import CIMultiDict, CIMultiDictProxy

from imdsd.credentials.attempt import Workshop
from imdsd.credentials.roles import RoleDefinition, Roles
from imdsd.credentials.schedule import LEAST_INTERVAL_SECONDS, refresh_threshold
from imdsd.endpoints.container import PATH, ContainerEndpoint
from imdsd.endpoints.documents import DocumentRenderer
from imdsd.endpoints.message import Request
from imdsd.secret import Secret
from imdsd.telemetry.metrics import Metrics
from tests.fakes import turning_loop
from tests.fakes.clock import ManualClock
from tests.fakes.refresh import terms
from tests.soak.fake_sts import FAULTS, SLOW, Exchange, Fault, Source, TrueTime, World
from tests.soak.trouble import ATTEMPT_SECONDS, Troubles

DAY = 86400
SESSIONS = {"quarter": 900, "hour": 3600, "half-day": 43200}
RESUMED_SECONDS = 35.0
ASKED_SECONDS = 5.0
_BEARER = Secret("the bearer of the soak")
_HEADERS = CIMultiDictProxy(CIMultiDict({"Authorization": _BEARER.reveal()}))


@dataclass(slots=True)
class Findings:
    """What was seen; `broken` holds a line for every promise that was not kept."""

    days: int = 0
    requests: int = 0
    refused: int = 0
    refreshes: int = 0
    calls: int = 0
    most_calls_a_day: int = 0
    closest_seconds: float = float("inf")
    episodes: Counter[str] = field(default_factory=Counter)
    log_lines: int = 0
    blocks: list[int] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """How many blocks of memory the last third holds over the first, both by their median."""
        third = max(1, len(self.blocks) // 3)
        return statistics.median(self.blocks[-third:]) - statistics.median(self.blocks[:third])


class Soak:
    """One machine with a role for each length of session, for so many days from one seed."""

    def __init__(self, seed: int, days: int) -> None:
        self._random = random.Random(seed)
        self._days = days
        self.clock = ManualClock()
        self._time = TrueTime(self.clock)
        self._world = World(self._time)
        self._slept = 0.0
        self._troubles = Troubles()
        self._findings = Findings(days=days)
        self._workshop = Workshop(
            publisher=DocumentRenderer(),
            clock=self.clock,
            metrics=Metrics("0"),
            draw=self._random.random,
            host="box",
        )
        self._today = Counter()

    async def run(self) -> Findings:
        self._roles = Roles(self._definitions(), self._workshop, default="hour")
        self._container = ContainerEndpoint(self._roles, _BEARER)
        parts = [self._roles.run(), self._make_trouble(), self._reload()]
        parts += [self._ask(name) for name in SESSIONS]
        with counted_log(self._findings):
            tasks = [asyncio.ensure_future(part) for part in parts]
            for _ in range(self._days):
                await self._live_a_day()
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        self._findings.broken += [repr(e) for e in ended if isinstance(e, Exception)]
        return self._summed_up()

    def _age(self):
        """Seconds that went by awake and asleep, and those that a clock ahead takes of a life."""
        return self.clock.monotonic() + self._slept + max(0.0, self._time.ahead_seconds)

    def _definitions(self, *more: str):
        def defined(name, seconds):
            arn = f"arn:aws:iam::123456789012:role/{name}"
            what = terms(role_arn=arn, duration_seconds=seconds)
            return RoleDefinition(name, (), what, Source(self._world), Exchange(self._world, name))

        sessions = {**SESSIONS, **dict.fromkeys(more, 3600)}
        return [defined(name, seconds) for name, seconds in sessions.items()]

    # What clients see

    async def _ask(self, name):
        while True:
            await self.clock.sleep(self._random.expovariate(1 / 240))
            await self._ask_once(name)

    async def _ask_once(self, name) -> bool:
        request = Request("GET", f"{PATH}/{name}", _HEADERS, None)
        answer = await self._container.answer(request)
        self._findings.requests += 1
        if answer.status == 200:
            self._check(name, json.loads(answer.body))
            self._check_imds(name)
            return True
        self._findings.refused += 1
        self._judge(name, answer)
        return False

    def _check(self, name, document, role_key="RoleArn"):
        filled = all(document[key] for key in ("AccessKeyId", "SecretAccessKey", "Token"))
        expires_at = datetime.fromisoformat(document["Expiration"])
        # The fraction of a second is cut off in what is served.
        if expires_at - self._time.now() < timedelta(seconds=29):
            self._broken(name, f"served until {expires_at}")
        if not filled or name.upper() not in document["AccessKeyId"]:
            self._broken(name, f"served {document['AccessKeyId']!r}")

    def _check_imds(self, name):
        snapshot = self._roles.find(name).current()
        if snapshot is not None:
            document = json.loads(snapshot.documents.imds_role)
            self._check(name, document)
            if document["Code"] != "Success":
                self._broken(name, f"an IMDS document of Code {document['Code']}")

    def _judge(self, name, answer):
        if answer.status != 503 or not json.loads(answer.body)["Message"]:
            self._broken(name, f"answered {answer.status}: {answer.body!r}")
        account = self._world.accounts[name]
        if not account.with_wrong_clock and account.expires_at is not None:
            left = account.expires_at - self._time.now()
            if left.total_seconds() - max(0.0, self._time.ahead_seconds) > 31:
                self._broken(name, f"refused with {left} left of what STS gave last")
        session = SESSIONS[name]
        if not self._troubles.excuse(
            self._age(), session_seconds=session, slack_seconds=ATTEMPT_SECONDS
        ):
            self._broken(name, f"refused, and no trouble is to blame: {answer.body!r}")

    def _broken(self, name, what):
        if len(self._findings.broken) < 20:
            day = self.clock.monotonic() / DAY
            self._findings.broken.append(f"day {day:.3f}, {name}: {what}; {self._troubles.last}")

    # What happens to it

    async def _make_trouble(self):
        kinds = (self._fail, self._fail, self._fail, self._suspend, self._set_clock, self._be_slow)
        await self.clock.sleep(600)
        while True:
            await self._random.choice(kinds)()
            # Some come in a row.
            await self.clock.sleep(self._random.choice((10, 120, 3600, 3 * 3600, 6 * 3600)))

    async def _fail(self, fault: Fault | None = None, seconds: float | None = None):
        fault = fault or self._random.choice(FAULTS)
        lengths = (60, 60, 300, 300, 580, 580, 1500, 1800, 1800, 3600, 3600, 8 * 3600)
        self._begin(fault.name, recovery_seconds=fault.recovery_seconds)
        self._world.fault = fault
        length = self._random.choice(lengths) * self._random.random()
        await self.clock.sleep(length if seconds is None else seconds)
        self._world.fault = None
        self._troubles.end(self._age())

    async def _suspend(self):
        """Sleep, find the network away for a moment, and be served again as soon as promised."""
        self._begin("suspended")
        seconds = self._random.choice((300, 1200, 3600, 8 * 3600)) * self._random.random()
        self._time.suspend(seconds)
        self._slept += seconds
        self._world.fault = FAULTS[0]
        await self.clock.sleep(self._random.choice((0, 0, 3, 20)))
        self._world.fault = None
        self._troubles.end(self._age())
        if self._troubles.last.recovery_seconds > RESUMED_SECONDS:
            return  # a role may be denied, or be told when to ask again
        if self._random.random() < 0.5:
            await self._expect_served_when_asked()
        else:
            await self.clock.sleep(RESUMED_SECONDS)
            for name in SESSIONS:
                if self._roles.find(name).current() is None:
                    self._broken(name, f"not served {RESUMED_SECONDS} s after a resume")

    async def _expect_served_when_asked(self):
        name = self._random.choice(list(SESSIONS))
        deadline = self.clock.monotonic() + ASKED_SECONDS
        while not await self._ask_once(name):
            if self.clock.monotonic() > deadline:
                self._broken(name, f"not served {ASKED_SECONDS} s after the first request")
                return
            await self.clock.sleep(0.5)

    async def _set_clock(self):
        """Put the clock wrong for a while; one that is behind must not lengthen any life."""
        ahead = self._random.uniform(-3600, 3600)
        self._begin("clock ahead" if ahead > 0 else "clock behind")
        self._time.set_ahead(ahead)
        await self.clock.sleep(self._random.choice((60, 600, 600, 3600)))
        self._time.set_ahead(0.0)
        # What was obtained meanwhile has the life that a wrong clock gave it.
        await self._refresh_all()
        self._troubles.end(self._age())

    async def _refresh_all(self):
        self._world.forced += 1
        await asyncio.gather(*(self._roles.find(name).refresh() for name in SESSIONS))
        self._world.forced += 1

    async def _be_slow(self):
        """Take nine seconds for an answer, which is no fault that anybody may notice."""
        self._findings.episodes["slow"] += 1
        self._world.fault = SLOW
        await self.clock.sleep(self._random.choice((600, 7200)))
        self._world.fault = None

    def _begin(self, name, *, recovery_seconds=35.0):
        self._findings.episodes[name] += 1
        self._today["episodes"] += 1
        self._troubles.begin(self._age(), recovery_seconds=recovery_seconds)

    async def _reload(self):
        """Read the same configuration again, with a visitor's role that comes and goes."""
        while True:
            await self.clock.sleep(self._random.uniform(1800, 7200))
            self._findings.episodes["reloaded"] += 1
            more = self._random.choice(((), ("visitor",)))
            await self._roles.replace(self._definitions(*more), "hour")

    # What it costs

    async def _live_a_day(self):
        self._today.clear()
        for account in self._world.accounts.values():
            account.calls_today = 0
        await self.clock.sleep(DAY)
        for name, seconds in SESSIONS.items():
            self._bound_calls(name, seconds)
        gc.collect()
        self._findings.blocks.append(sys.getallocatedblocks())
        self._findings.tasks.append(len(asyncio.all_tasks()))

    def _bound_calls(self, name, seconds):
        calls = self._world.accounts[name].calls_today
        self._findings.most_calls_a_day = max(self._findings.most_calls_a_day, calls)
        usual = 2 * DAY / (seconds - refresh_threshold(seconds))
        # With nothing to serve, a try every 15 s on average; in each fault a few come at once.
        if calls > usual + DAY / 15 * 1.2 + 12 * self._today["episodes"]:
            self._broken(name, f"{calls} calls to STS in a day")

    def _summed_up(self):
        found = self._findings
        for name in SESSIONS:
            account = self._world.accounts[name]
            found.refreshes += account.sessions
            found.calls += account.calls
            found.closest_seconds = min(found.closest_seconds, account.closest_seconds)
        if found.closest_seconds < LEAST_INTERVAL_SECONDS:
            found.broken.append(f"two refreshes were {found.closest_seconds:.1f} s apart")
        return found


@contextmanager
def counted_log(findings):
    """Count what would be logged without `--log-level debug`, and write nothing."""

    def count(_logger, level, _event):
        findings.log_lines += level != "debug"
        raise structlog.DropEvent

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[count])
    try:
        yield
    finally:
        structlog.configure(processors=before)


def soak(*, seed: int, days: int) -> Findings:
    """Live through so many days from one seed, and return what was seen."""
    what = Soak(seed, days)
    return turning_loop.run(what.run(), what.clock)
