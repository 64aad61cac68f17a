"""How soon credentials are served again: once STS is back, and after eight hours of sleep."""

from __future__ import annotations

import asyncio
import random
import signal
from datetime import datetime
from typing import TYPE_CHECKING

from benchmarks.report import RELIABILITY, Table, verdict
from benchmarks.samples import middle, spread
from benchmarks.scene import scenes, seconds_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.scene import Scene

RECOVERED_SECONDS, ASKED_SECONDS = 35.0, 5.0
SLEEP_HOURS = 8
_PATIENCE_SECONDS = 300.0
# Long enough for the pauses between tries to have grown to their caps.
_AWAY_SECONDS = 40.0
_CHECK_SESSION_SECONDS = 900
_STRIDE_SECONDS = 5.0


async def _ready(scene: Scene) -> bool:
    """Whether the role is served, found out without a request for credentials."""
    return (await scene.daemon.role())["state"] == "ok"


async def _asked(scene: Scene) -> bool:
    return await scene.daemon.access_key_id() is not None


def measure(*, repetitions: int) -> list[Table]:
    return [
        asyncio.run(_recoveries(repetitions)),
        asyncio.run(_resumes(repetitions)),
        asyncio.run(_check()),
    ]


async def _recoveries(repetitions: int) -> Table:
    ways: list[tuple[str, Callable[[Scene], Awaitable[float]], float | None]] = [
        ("nothing, no request", _nothing_held, RECOVERED_SECONDS),
        ("nothing, a client asks on", _nothing_held_and_asked, RECOVERED_SECONDS),
        ("less than 10 min", _little_left, RECOVERED_SECONDS),
        ("more than 10 min", _much_left, None),
    ]
    names = [f"{number}-{each}" for each in range(len(ways)) for number in range(repetitions)]
    async with scenes(names) as every:
        taken = await asyncio.gather(
            *(ways[int(scene.name.partition("-")[2])][1](scene) for scene in every)
        )
    rows = []
    for number, (what, _, most) in enumerate(ways):
        seconds = taken[number * repetitions : (number + 1) * repetitions]
        rows.append([what, *_summed(seconds, most)])
    columns = ["held when STS is back", "times", "median s", "range", "target"]
    return Table("recovery", columns, rows, RELIABILITY)


def _summed(seconds: list[float], most: float | None) -> list[str]:
    target = verdict(max(seconds), most=most) if most else ""
    return [str(len(seconds)), middle(seconds, digits=1), spread(seconds, digits=1), target]


async def _away(scene: Scene) -> None:
    """Wait as long as STS is away, and have it back at a moment that no pause knows of."""
    await asyncio.sleep(_AWAY_SECONDS + random.uniform(0, 20))
    await scene.relays["dev"].open()


async def _nothing_held(scene: Scene) -> float:
    await scene.relays["dev"].close()
    scene.serve(scene.settings(scene.role("dev")))
    await scene.daemon.until_within(_PATIENCE_SECONDS, lambda: scene.daemon.record, what="a start")
    await _away(scene)
    return await seconds_until(lambda: _ready(scene), most=_PATIENCE_SECONDS)


async def _nothing_held_and_asked(scene: Scene) -> float:
    await scene.relays["dev"].close()
    scene.serve(scene.settings(scene.role("dev")))
    await scene.daemon.until_within(_PATIENCE_SECONDS, lambda: scene.daemon.record, what="a start")
    asking = asyncio.create_task(_ask_on(scene))
    await _away(scene)
    taken = await seconds_until(lambda: _asked(scene), most=_PATIENCE_SECONDS)
    asking.cancel()
    return taken


async def _ask_on(scene: Scene) -> None:
    while True:
        await scene.daemon.credentials()
        await asyncio.sleep(1)


async def _little_left(scene: Scene) -> float:
    # Nine minutes pass on the wall clock alone.
    return await _held(scene, passed_seconds=3600 - 9 * 60)


async def _much_left(scene: Scene) -> float:
    return await _held(scene, passed_seconds=0)


async def _held(scene: Scene, *, passed_seconds: float) -> float:
    scene.serve(scene.settings(scene.role("dev")), under_the_sky=True)
    await scene.holds()
    await scene.relays["dev"].close()
    scene.sky.set(passed_seconds)
    await scene.daemon.refresh()
    await _away(scene)
    return await seconds_until(lambda: _ready(scene), most=_PATIENCE_SECONDS)


async def _resumes(repetitions: int) -> Table:
    rows = []
    async with scenes([str(number) for number in range(2 * repetitions)]) as every:
        for scene in every:
            scene.serve(scene.settings(scene.role("dev")), under_the_sky=True)
        await asyncio.gather(*(scene.holds() for scene in every))
        await asyncio.sleep(random.uniform(5, 35))  # anywhere in a nap
        asked = asyncio.gather(*(_resume(scene, _asked) for scene in every[:repetitions]))
        alone = asyncio.gather(*(_resume(scene, _anew) for scene in every[repetitions:]))
        rows.append(["a client asks at once", *_summed(await asked, ASKED_SECONDS)])
        rows.append(["nobody asks", *_summed(await alone, RECOVERED_SECONDS)])
    columns = [f"after {SLEEP_HOURS} h", "times", "median s", "range", "target"]
    return Table("resume", columns, rows, RELIABILITY)


async def _anew(scene: Scene) -> bool:
    role = await scene.daemon.role()
    return role["state"] == "ok" and role["refreshes"] > 1


async def _resume(scene: Scene, condition: Callable[[Scene], Awaitable[bool]]) -> float:
    scene.daemon.send(signal.SIGSTOP)
    scene.sky.set(SLEEP_HOURS * 3600)
    await asyncio.sleep(1)
    scene.daemon.send(signal.SIGCONT)
    return await seconds_until(lambda: condition(scene), most=_PATIENCE_SECONDS)


async def _check() -> Table:
    """Hold the model against a whole daemon whose clock is turned forward in strides."""
    async with scenes(["check"]) as (scene,):
        role = scene.role("dev", duration_seconds=_CHECK_SESSION_SECONDS)
        scene.serve(scene.settings(role), under_the_sky=True)
        await scene.holds()
        until_due = await _seconds_until_refresh(scene)
        scene.sky.set(until_due - 2)
        await scene.relays["dev"].close()
        away_at = scene.sky.clock.now()
        passed = until_due - 2
        while await _asked(scene):
            passed += _STRIDE_SECONDS
            scene.sky.set(passed)
            await asyncio.sleep(0.2)
        lasted = (scene.sky.clock.now() - away_at).total_seconds()
    columns = ["session S, a whole daemon", "an outage from just before a refresh is noticed after"]
    row = [str(_CHECK_SESSION_SECONDS), f"{lasted / 60:.1f} min"]
    return Table("outage-check", columns, [row], RELIABILITY)


async def _seconds_until_refresh(scene: Scene) -> float:
    due = datetime.fromisoformat((await scene.daemon.role())["refresh_at"])
    return (due - scene.sky.clock.now()).total_seconds()
