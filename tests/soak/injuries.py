"""What is done to a daemon at random: its STS, its token command, its file, its process."""

import asyncio
import signal
from collections import Counter

from imdsd.sandbox import faults
from tests.system.settings import AUDIENCE

SHORT = (0.5, 5.0)
LONG = (70.0, 110.0)
"""Seconds: what nobody may notice in a session of three minutes, and what somebody must."""

STS = {
    "STS resets": faults.reset,
    "STS hangs": faults.hang,
    "STS answers 500": lambda: faults.server_error(500),
    "STS answers 503": faults.server_error,
    "STS throttles": faults.throttling,
    "STS says Retry-After": lambda: faults.too_many_requests(retry_after_seconds=5),
    "STS breaks off its XML": faults.malformed_xml,
    "STS leaves the credentials out": faults.without_credentials,
    "STS gives expired ones": faults.expired,
}
COMMAND = {
    "command hangs, with a child": "setsid sleep 1000 & echo; sleep 1000",
    "command fails": "echo 'no login here' >&2; exit 7",
    "command is killed": "kill -9 $$",
    "command prints rubbish": "echo please log in",
    "command prints for ever": "yes eyJhbGciOi",
    "command leaves a child": 'sleep 1000 & cat "$0.good"',
}
# A token comes all the same.
HARMLESS = ("command leaves a child",)


class Command:
    """A token command whose behaviour changes while the daemon runs."""

    def __init__(self, place, issuer) -> None:
        self.path = place / "mint"
        self._issuer = issuer
        self.becomes('cat "$0.good"')

    def becomes(self, script: str) -> None:
        token = self._issuer.issue(AUDIENCE, lifetime_seconds=7200)
        self.path.with_name("mint.good").write_text(token.reveal())
        # By rename, since the old one may be running.
        draft = self.path.with_name("draft")
        draft.write_text(f"#!/bin/sh\n{script}\n")
        draft.chmod(0o755)
        draft.rename(self.path)


class Injuries:
    """Do one thing after the other, with a pause between, until cancelled."""

    def __init__(
        self, daemon, daemons, sandbox, *, command, judge, rng, seconds, texts, roles, by_command
    ):
        self._daemon = daemon
        self._daemons = daemons
        self._sandbox = sandbox
        self._command = command
        self._judge = judge
        self._random = rng
        # One that outlasts the soak would be all that happens in it.
        self._has_long_ones = seconds > LONG[1]
        self._texts = texts
        self._roles = roles
        self._by_command = by_command
        self.done = Counter()
        self.allowed = asyncio.Event()
        self.allowed.set()

    async def run(self) -> None:
        kinds = (self._sts, self._sts, self._token_command, self._reload, self._stop)
        while True:
            await self.allowed.wait()
            await self._random.choice(kinds)()
            await asyncio.sleep(self._random.uniform(0.2, 4))

    def mend(self) -> None:
        """Take back whatever is under way."""
        self._sandbox.sts.faults.clear()
        self._command.becomes('cat "$0.good"')
        self._daemons.configure(self._texts[0])
        self._daemon.send(signal.SIGCONT)

    async def _sts(self):
        name = self._random.choice(list(STS))
        # Rarely one that is long enough to be noticed.
        is_long = self._has_long_ones and self._random.random() < 0.05
        self.done["long outage" if is_long else name] += 1
        window = self._judge.fault_begins(self._roles)
        self._sandbox.sts.faults.always(STS[name]())
        await asyncio.sleep(self._random.uniform(*(LONG if is_long else SHORT)))
        self._sandbox.sts.faults.clear()
        self._judge.fault_ends(window)

    async def _token_command(self):
        name = self._random.choice(list(COMMAND))
        self.done[name] += 1
        window = self._judge.fault_begins(() if name in HARMLESS else self._by_command)
        self._command.becomes(COMMAND[name])
        await self._daemon.ask(
            "POST", f"/refresh/{self._by_command[0]}", Authorization=self._daemon.bearer
        )
        self._command.becomes('cat "$0.good"')
        self._judge.fault_ends(window)

    async def _reload(self):
        """Reload what there is, another configuration that asks the same, or a broken one."""
        name, text = self._random.choice(
            (
                ("reload", self._texts[0]),
                ("reload with another role", self._texts[1]),
                ("reload of a broken file", "listen = 1"),
            )
        )
        for _ in range(3):
            self.done[name] += 1
            self._daemons.configure(text)
            self._daemon.send(signal.SIGHUP)
            await asyncio.sleep(0.3)
        self._daemons.configure(self._texts[0])
        self._daemon.send(signal.SIGHUP)

    async def _stop(self):
        """Stop the process for a while, as a paused machine does, and let it go on."""
        self.done["process stopped"] += 1
        self._daemon.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(self._random.uniform(0.5, 4))
        finally:
            self._daemon.send(signal.SIGCONT)
