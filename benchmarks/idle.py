"""How often an idle daemon wakes a processor, and how long it keeps it."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Table, verdict

if TYPE_CHECKING:
    from benchmarks.stage import Stage

MOST_WAKEUPS = 6
_SETTLE_SECONDS, _QUIET_SECONDS = 60, 3


@dataclass(frozen=True, slots=True)
class Activity:
    """What the kernel counted for all threads of a process so far."""

    wakeups: int
    preempted: int
    cpu_seconds: float
    threads: int

    @classmethod
    def of(cls, pid: int) -> Activity:
        """Read the counters; a thread that ended takes its own along."""
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        status = "".join((each / "status").read_text() for each in threads)
        # proc_pid_stat(5): fields 14 and 15, after the name in brackets
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return cls(
            wakeups=_sum(r"^voluntary_ctxt_switches:\s+(\d+)", status),
            preempted=_sum(r"^nonvoluntary_ctxt_switches:\s+(\d+)", status),
            cpu_seconds=ticks / os.sysconf("SC_CLK_TCK"),
            threads=len(threads),
        )


def measure(stage: Stage, *, seconds: float) -> list[Table]:
    with stage.sandbox() as sandbox, stage.daemon(sandbox) as daemon:
        daemon.until_serving()
        pid = daemon.process.pid
        before = _settled(pid)
        time.sleep(seconds)
        after = Activity.of(pid)
        daemon.ask("/healthz")
    minutes = seconds / 60
    wakeups = (after.wakeups - before.wakeups) / minutes
    cpu = (after.cpu_seconds - before.cpu_seconds) * 1000 / minutes
    rows = [
        ["wake-ups", f"{wakeups:.1f}", verdict(wakeups, most=MOST_WAKEUPS)],
        ["pushed aside while at work", f"{(after.preempted - before.preempted) / minutes:.1f}"],
        ["processor time, ms", f"{cpu:.0f}"],
        ["threads", str(after.threads)],
    ]
    columns = [f"over {seconds:.0f} s", "per minute", "target"]
    return [Table("idle", columns, [[*row, ""][:3] for row in rows])]


def _settled(pid: int) -> Activity:
    """Return the counters once nothing has happened for a while."""
    deadline = time.perf_counter() + _SETTLE_SECONDS
    while time.perf_counter() < deadline:
        before = Activity.of(pid)
        time.sleep(_QUIET_SECONDS)
        if Activity.of(pid).wakeups == before.wakeups:
            return Activity.of(pid)
    raise SystemExit(f"the daemon was not quiet for {_QUIET_SECONDS} s within {_SETTLE_SECONDS} s")


def _sum(pattern: str, text: str) -> int:
    return sum(int(each) for each in re.findall(pattern, text, re.MULTILINE))
