"""A daemon as a process, for minutes: short sessions, clients that churn, faults at random."""

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from imdsd.clock import SystemClock
from imdsd.sandbox.app import Sandbox, SandboxRole
from tests.soak.clients import Clients
from tests.soak.injuries import Command, Injuries
from tests.soak.judge import Judge
from tests.soak.observer import Course, Sample
from tests.system.daemon import Daemons
from tests.system.settings import role, settings

PROJECT = Path(__file__).parents[2]
SESSION_SECONDS = 180
QUIET_SECONDS = 10
"""Longer than any of these clients stays: what is open after that, nobody closes."""

BY_COMMAND = ("minted-1", "minted-2")
BY_URL = ("first", "second", "third", "fourth")
ROLES = (*BY_URL, *BY_COMMAND)
EXCHANGE = "AssumeRoleWithWebIdentity"


@dataclass(frozen=True, slots=True)
class Result:
    """What a soak saw; `broken` has a line for each promise that was not kept."""

    seconds: float
    judge: Judge
    injuries: Counter[str]
    course: Course
    before: Sample
    after: Sample
    refreshes: int
    log_lines: int
    broken: list[str]


async def soak(*, seconds: float, seed: int) -> Result:
    """Run for so long and return what was seen."""
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imdsd-soak-")))
        roles = [SandboxRole(_arn(name)) for name in (*ROLES, "another")]
        sandbox = await stack.enter_async_context(
            Sandbox(clock=SystemClock(), roles=roles, session_seconds=SESSION_SECONDS)
        )
        daemons = Daemons(place)
        stack.callback(daemons.close)
        return await _Run(seconds, random.Random(seed), sandbox, daemons).run()


class _Run:
    def __init__(self, seconds, rng, sandbox, daemons):
        self._seconds = seconds
        self._random = rng
        self._sandbox = sandbox
        self._daemons = daemons
        self._judge = Judge(SESSION_SECONDS)
        self._course = Course()
        self._texts = ()

    async def run(self) -> Result:
        command = Command(self._daemons.place(), self._sandbox.issuer)
        self._texts = (self._text(command), self._text(command, "another"))
        daemon = await self._start()
        self._clients = Clients(daemon, self._daemons, self._judge, self._random, ROLES)
        self._injuries = Injuries(
            daemon,
            self._daemons,
            self._sandbox,
            command=command,
            judge=self._judge,
            rng=self._random,
            seconds=self._seconds,
            texts=self._texts,
            roles=ROLES,
            by_command=BY_COMMAND,
        )
        began = time.monotonic()
        async with self._owned(self._follow_sts()):
            before, after = await self._live(daemon)
        if self._judge.broken and daemon.running:
            self._judge.breaks(f"for that matter: {await _closed(daemon)}")
        return self._result(daemon, time.monotonic() - began, before, after)

    async def _live(self, daemon):
        """Warm up and be quiet; then soak, mend everything, and be quiet again."""
        async with self._owned(*self._clients.all(), self._injuries.run()):
            await asyncio.sleep(max(4.0, self._seconds * 0.1))
            before = await self._quiet(daemon)
            async with self._owned(self._course.watch(daemon.pid)):
                await asyncio.sleep(self._seconds)
            after = await self._quiet(daemon)
        return before, after

    async def _quiet(self, daemon) -> Sample:
        """Let clients and faults pause, and return the least that is held then."""
        self._clients.busy.clear()
        self._injuries.allowed.clear()
        try:
            held = []
            for _ in range(QUIET_SECONDS):
                await asyncio.sleep(1)
                held.append(Sample.of(daemon.pid))
        finally:
            self._clients.busy.set()
            self._injuries.allowed.set()
        return min(held, key=lambda sample: (sample.held["children"], sample.held["descriptors"]))

    async def _start(self):
        config = self._daemons.configure(self._texts[0])
        argv = [sys.executable, "-m", "tests.soak.daemon", "--config", str(config)]
        daemon = self._daemons.start(argv, PYTHONPATH=str(PROJECT))
        await daemon.ready()
        for name in ROLES:
            path = f"/v1/credentials/{name}"
            await daemon.until(
                lambda path=path: daemon.access_key_id(path), what=f"{path} is served"
            )
        return daemon

    def _text(self, command, *more):
        common = {"duration_seconds": 900}
        by_command = {"command": [str(command.path)], "timeout_seconds": 2}
        roles = [
            role(self._sandbox, name=name, arn=_arn(name), default=name == ROLES[0], **common)
            for name in (*BY_URL, *more)
        ]
        roles += [
            role(self._sandbox, name=name, arn=_arn(name), token=by_command, **common)
            for name in BY_COMMAND
        ]
        return settings(self._sandbox, *roles)

    async def _follow_sts(self):
        """Tell the judge of every session that STS gave."""
        seen = 0
        names = {_arn(name): name for name in ROLES}
        while True:
            requests = self._sandbox.sts.requests
            # The sandbox forgets the oldest; nothing that came since the last look.
            for each in requests[-max(0, self._given() - seen) :] if self._given() > seen else ():
                # A fault may spoil an answer that the sandbox calls OK.
                if each.action == EXCHANGE and each.code == "OK" and not self._judge.faulty:
                    self._judge.gave(names.get(each.parameters["RoleArn"], ""))
            seen = self._given()
            await asyncio.sleep(0.05)

    def _given(self):
        return sum(self._sandbox.sts.answers.values())

    @asynccontextmanager
    async def _owned(self, *works):
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._injuries.mend()

    def _result(self, daemon, seconds, before, after) -> Result:
        broken = [*self._judge.broken, *self._course.grown(), *_left(before, after)]
        if not daemon.running:
            broken.append(f"the daemon ended with {daemon.process.returncode}")
        for defect in ("refresh_crashed", "loop_error"):
            broken += [f"log: {event}" for event in daemon.events(defect)]
        return Result(
            seconds=seconds,
            judge=self._judge,
            injuries=self._injuries.done,
            course=self._course,
            before=before,
            after=after,
            refreshes=self._sandbox.sts.answers[EXCHANGE, "OK"],
            log_lines=len(daemon.log.splitlines()),
            broken=broken,
        )


async def _closed(daemon):
    """Return how many connections the daemon ended, and why."""
    text = (await daemon.ask("GET", "/metrics")).body.decode()
    return [line for line in text.splitlines() if line.startswith("imdsd_connections_closed")]


def _left(before, after):
    """Say what is held in the quiet after that was not held in the quiet before."""
    if after.held["children"]:
        yield f"{after.held['children']:.0f} children are left"
    more = after.held["descriptors"] - before.held["descriptors"]
    if more > 2:
        yield f"{more:.0f} descriptors more than before"


def _arn(name):
    return f"arn:aws:iam::123456789012:role/{name}"
