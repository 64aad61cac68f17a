"""How many lines the daemon logs in a minute of each fault: with credentials held, and without."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from benchmarks.causes import CASES, COLD, HELD, SILENT_RESOLVER, Case, closed
from benchmarks.report import RELIABILITY, Table, verdict
from benchmarks.scene import log_lines, scenes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.scene import Scene

MOST_LINES = 10
MINUTE_SECONDS = 60.0
_ASK_SECONDS = 1.0
_AT_ONCE = 18


def measure() -> list[Table]:
    rows = asyncio.run(_measured())
    columns = ["fault", "cause", "held", "nothing held", "of the daemon", "lines a minute"]
    return [Table("fault-log-lines", columns, rows, RELIABILITY)]


async def _measured() -> list[list[str]]:
    rows = []
    with _silent_resolver():
        for first in range(0, len(CASES), _AT_ONCE):
            some = CASES[first : first + _AT_ONCE]
            names = [f"case-{first + number}" for number in range(len(some))]
            async with scenes(names, roles=(HELD, COLD)) as set_up:
                both = zip(some, set_up, strict=True)
                rows += await _side_by_side([(case, scene) for case, scene in both])
    return rows


async def _side_by_side(pairs: list[tuple[Case, Scene]]) -> list[list[str]]:
    for case, scene in pairs:
        await scene.relays[COLD].close()  # not yet: this role shall have nothing when it begins
        case.serve(scene)
    await asyncio.gather(*(scene.holds(HELD) for _, scene in pairs))
    return await asyncio.gather(*(_minute(case, scene) for case, scene in pairs))


async def _minute(case: Case, scene: Scene) -> list[str]:
    before = len(scene.daemon.log.splitlines())
    if case.begin is not closed:
        await scene.relays[COLD].open()
    tasks = [asyncio.create_task(_begin(case, scene)), asyncio.create_task(_ask(scene))]
    await asyncio.sleep(MINUTE_SECONDS)
    lines = log_lines(scene.daemon.log)[before:]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    count = Counter(str(line.get("role", "")) for line in lines)
    told = f"{len(lines)}, {verdict(len(lines), most=MOST_LINES)}"
    return [case.row, case.cause, *(str(count[name]) for name in (HELD, COLD, "")), told]


async def _begin(case: Case, scene: Scene) -> None:
    """Begin, and have the role that holds something fail too, long before its next refresh."""
    began = case.begin(scene)
    if began is not None:
        await began
    if scene.daemon.running:
        with suppress(OSError, TypeError, asyncio.IncompleteReadError):
            bearer = scene.daemon.bearer
            await scene.daemon.ask("POST", f"/refresh/{HELD}", Authorization=bearer)


async def _ask(scene: Scene) -> None:
    """Ask for both roles again and again, as clients do who are told to come back in a second."""
    while True:
        for name in (HELD, COLD):
            with suppress(OSError, TypeError, asyncio.IncompleteReadError):
                await scene.daemon.credentials(f"/v1/credentials/{name}")
        await asyncio.sleep(_ASK_SECONDS)


@contextmanager
def _silent_resolver() -> Iterator[None]:
    """Take questions at the address that the cause names, and answer none."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        listener.bind((SILENT_RESOLVER, 53))
        listener.settimeout(1)
        over = threading.Event()
        swallowing = threading.Thread(target=_swallow, args=(listener, over))
        swallowing.start()
        stack.callback(swallowing.join)
        stack.callback(over.set)
        yield


def _swallow(listener: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        with suppress(TimeoutError):
            listener.recv(65536)
