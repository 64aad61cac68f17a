"""How long the daemon's loop does not turn, while it refreshes and reloads."""

from __future__ import annotations

import json
import signal
import time
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.inside import telling_stretches
from benchmarks.report import Table, verdict
from benchmarks.samples import middle, spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.stage import Sandbox, Stage

MOST_MILLISECONDS = 20
_REFRESHES, _RELOADS = 20, 5
_RELOAD_SECONDS = 0.5
_OURS, _ITSELF = "the exchange process", "the daemon itself"
_FIRST = "from the first turn to the first credentials"
_MORE = f"{_REFRESHES} more refreshes"
_RELOADING = f"{_RELOADS} reloads"

Stretches = list[tuple[float, float]]


def measure(stage: Stage, *, repetitions: int) -> list[Table]:
    taken: dict[tuple[str, str], list[float]] = {}
    with stage.sandbox() as sandbox:
        for _ in range(repetitions):
            for who in (_OURS, _ITSELF):
                for phase, longest in _life(stage, sandbox, itself=who == _ITSELF).items():
                    taken.setdefault((phase, who), []).append(longest * 1000)
    rows = [
        [
            phase,
            who,
            middle(values, digits=1),
            spread(values, digits=1),
            verdict(median(values), most=MOST_MILLISECONDS) if who == _OURS else "",
        ]
        for (phase, who), values in taken.items()
    ]
    columns = ["during", "STS is asked by", "longest stretch, ms", "range", "target"]
    return [Table("stall", columns, rows)]


def _life(stage: Stage, sandbox: Sandbox, *, itself: bool) -> dict[str, float]:
    """Return the longest stretch of each phase of one daemon, in seconds of processor time."""
    ends = {}
    options = telling_stretches(exchanging_itself=itself)
    with stage.daemon(sandbox, *options) as daemon:

        def refresh() -> None:
            daemon.ask("/refresh", method="POST")

        def reload() -> None:
            daemon.process.send_signal(signal.SIGHUP)
            time.sleep(_RELOAD_SECONDS)

        daemon.until_serving()
        ends[_FIRST] = time.monotonic()
        ends[_MORE] = _after(refresh, _REFRESHES)
        ends[_RELOADING] = _after(reload, _RELOADS)
    log = (daemon.directory / "log").read_text().splitlines()
    stretches: Stretches = [tuple(each) for each in json.loads(log[-1])]
    # The first began with the process, before there was a loop.
    return _longest(stretches[1:], ends)


def _after(act: Callable[[], None], times: int) -> float:
    for _ in range(times):
        act()
    return time.monotonic()


def _longest(stretches: Stretches, ends: dict[str, float]) -> dict[str, float]:
    found, began = {}, 0.0
    for phase, end in ends.items():
        found[phase] = max(seconds for at, seconds in stretches if began < at <= end)
        began = end
    return found
