"""Daemons side by side, each with an STS and a token command of its own that can be made to fail.

The stubs are those of tests/system: what is measured is what is tested.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.sandbox.app import Sandbox, SandboxRole
from tests.system.command import Command
from tests.system.daemon import Daemons
from tests.system.relay import Relay
from tests.system.settings import ARN, role, settings
from tests.system.sky import Sky

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.system.daemon import DaemonProcess

START_SECONDS = 600.0
"""Many daemons that start at once on a small machine take their time."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One daemon and what it depends on, by the name of the role that does."""

    name: str
    place: Path
    daemons: Daemons
    sandbox: Sandbox
    sky: Sky
    relays: dict[str, Relay]
    commands: dict[str, Command]
    started: list[DaemonProcess] = field(default_factory=list)

    @property
    def daemon(self) -> DaemonProcess:
        return self.started[-1]

    @property
    def config(self) -> Path:
        return self.place / "imdsd.toml"

    def serve(self, text: str, *, under_the_sky: bool = False, **options: object) -> None:
        variables = self.sky.variables if under_the_sky else {}
        self.started.append(self.daemons.serve(text, name=self.name, **variables, **options))

    async def holds(self, *names: str) -> None:
        """Return once these roles are served, or the only one."""
        daemon = self.daemon
        await daemon.until_within(
            START_SECONDS, lambda: daemon.record or not daemon.running, what="the daemon listens"
        )
        for path in [f"/v1/credentials/{name}" for name in names] or ["/v1/credentials"]:
            await daemon.until_within(
                START_SECONDS, lambda path=path: daemon.access_key_id(path), what=path
            )

    def commanded(self, name: str, **more: object) -> str:
        """Return a role whose token comes from a command."""
        token = {"command": [str(self.commands[name].path)], "timeout_seconds": 5}
        return self.role(name, token=token, **more)

    def role(self, name: str, **more: object) -> str:
        usual = {
            "name": name,
            "default": name == next(iter(self.relays)),
            "sts": self.relays[name].url,
        }
        return role(self.sandbox, **{**usual, **more})

    def settings(self, *roles: str, **top: object) -> str:
        return settings(self.sandbox, *roles, **top)


@asynccontextmanager
async def scenes(
    names: list[str], *, roles: tuple[str, ...] = ("dev",)
) -> AsyncIterator[list[Scene]]:
    """Set so many scenes side by side; nothing of them is left after."""
    with tempfile.TemporaryDirectory(prefix="imdsd-scenes-") as root:
        daemons = Daemons(Path(root))
        async with AsyncExitStack() as stack:
            stack.callback(daemons.close)
            yield [await _set(name, daemons, roles, stack) for name in names]


async def _set(
    name: str,
    daemons: Daemons,
    roles: tuple[str, ...],
    stack: AsyncExitStack,
) -> Scene:
    place = daemons.place(name)
    sky = Sky(place)
    sandbox = Sandbox(
        clock=sky.clock,
        roles=[SandboxRole(ARN, max_session_seconds=3600)],
    )
    await stack.enter_async_context(sandbox)
    relays, commands = {}, {}
    for each in roles:
        relays[each] = await stack.enter_async_context(Relay(sandbox.sts_url))
        (place / each).mkdir()
        commands[each] = Command(place / each, sandbox.issuer)
    return Scene(name, place, daemons, sandbox, sky, relays, commands)


def log_lines(log: str) -> list[dict[str, object]]:
    """Return every line of a log, what is not an event as one without a name."""
    return [
        json.loads(line) if line.startswith("{") else {"event": ""} for line in log.splitlines()
    ]


async def seconds_until(condition: Callable[[], object], *, most: float) -> float:
    """Return how long a condition of a daemon takes to come true."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < most:
        try:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return loop.time() - began
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass
        await asyncio.sleep(0.1)
    raise SystemExit(f"it took more than {most:g} s")
