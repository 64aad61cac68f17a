"""How much memory the daemon of a plain install holds, whether it grows, and what it is for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.inside import exchanging_itself, telling_modules
from benchmarks.report import Table, verdict
from benchmarks.samples import middle, spread

if TYPE_CHECKING:
    from benchmarks.stage import Sandbox, Stage

Memory = dict[str, float]

MOST_MEGABYTES = 45
MOST_KILOBYTES_A_ROLE = 50
_REQUESTS, _REFRESHES, _ROLES = 1000, 50, 51
_HEAVY = ("aiobotocore", "aiohttp", "rich", "pygments", "boto3", "cryptography", "uvloop")

_FIRST = "after the first refresh"
_MOMENTS = (_FIRST, f"after {_REQUESTS} answers", f"after {_REFRESHES} more refreshes")
_MANY = f"{_ROLES} roles, after the first refresh of each"
_EXCHANGING = "the exchange process, while there is one"
_ITSELF = "a daemon that exchanges itself, after the first refresh"

# Each step imports what the daemon does, in its order.
_STEPS = {
    "Python itself": "pass",
    "asyncio and ssl": "import asyncio, ssl",
    "structlog": "import imdsd.telemetry.log",
    "msgspec and the configuration": "import imdsd.config",
    "PyJWT": "import jwt",
    "prometheus_client": "import prometheus_client",
    "aiohttp": "import aiohttp.web",
    "the rest of imdsd": "import imdsd.daemon.service",
    "exchange process: aiobotocore and botocore": "import aiobotocore.session",
    "exchange process: its data": "aiobotocore.session.AioSession().warm_up_loader_caches('sts')",
}

_STEP_BY_STEP = """
import json, re, sys
taken = {}
for name, step in json.loads(sys.argv[1]).items():
    exec(step)
    status = open("/proc/self/status").read()
    taken[name] = int(re.search(r"VmRSS:\\s+(\\d+)", status)[1]) / 1024
print(json.dumps(taken))
"""


def measure(stage: Stage, *, repetitions: int) -> list[Table]:
    with stage.sandbox() as sandbox:
        seen = [_life(stage, sandbox) for _ in range(repetitions)]
        loaded = _modules(stage, sandbox)
    return [_held(seen), _spent(stage), _loaded(loaded)]


def _held(seen: list[dict[str, Memory]]) -> Table:
    rows = []
    for moment in (*_MOMENTS, _MANY, _EXCHANGING, _ITSELF):
        resident = [life[moment]["VmRSS"] for life in seen]
        private = [life[moment]["RssAnon"] for life in seen]
        numbers = [middle(resident, digits=1), spread(resident, digits=1)]
        target = verdict(median(resident), most=MOST_MEGABYTES) if moment == _FIRST else ""
        rows.append([moment, *numbers, middle(private, digits=1), target])
    further = [
        (life[_MANY]["VmRSS"] - life[_FIRST]["VmRSS"]) / (_ROLES - 1) * 1024 for life in seen
    ]
    target = verdict(median(further), most=MOST_KILOBYTES_A_ROLE)
    rows.append(["each further role, in kB", middle(further), spread(further), "", target])
    return Table("memory", ["", "resident MB", "range", "of it private", "target"], rows)


def _spent(stage: Stage) -> Table:
    taken = json.loads(stage.run(stage.python, "-c", _STEP_BY_STEP, json.dumps(_STEPS)))
    rows, before = [], 0.0
    for name, total in taken.items():
        rows.append([name, f"{total - before:.1f}", f"{total:.1f}"])
        before = total
    return Table("memory-by-import", ["import of", "adds MB", "sum"], rows)


def _loaded(modules: list[str]) -> Table:
    counts = {name: sum(f"{each}.".startswith(f"{name}.") for each in modules) for name in _HEAVY}
    rows = [["all", str(len(modules))]]
    rows += [[f"`{name}`", str(count) if count else "not loaded"] for name, count in counts.items()]
    return Table("modules", ["package", "modules loaded"], rows)


def _life(stage: Stage, sandbox: Sandbox) -> dict[str, Memory]:
    """Return the memory of one daemon at each of the moments, and of one with many roles."""
    first, second, third = _MOMENTS
    seen = {}
    with stage.daemon(sandbox) as daemon:
        daemon.until_serving()
        # It stays for a second after an exchange.
        seen[_EXCHANGING] = _memory_of(_child_of(daemon.process.pid))
        seen[first] = _memory_of(daemon.process.pid)
        for _ in range(_REQUESTS):
            daemon.ask("/v1/credentials")
        seen[second] = _memory_of(daemon.process.pid)
        for _ in range(_REFRESHES):
            daemon.ask("/refresh", method="POST")
        seen[third] = _memory_of(daemon.process.pid)
    with stage.daemon(sandbox, roles=_ROLES) as daemon:
        for number in range(_ROLES):
            daemon.until_serving(f"role-{1 + number}")
        seen[_MANY] = _memory_of(daemon.process.pid)
    with stage.daemon(sandbox, *exchanging_itself()) as daemon:
        daemon.until_serving()
        seen[_ITSELF] = _memory_of(daemon.process.pid)
    return seen


def _child_of(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return int(child)


def _memory_of(pid: int) -> Memory:
    """Return the kernel's figures for a process, in MB (proc_pid_status(5))."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return {
        name: int(kilobytes) / 1024
        for name, kilobytes in re.findall(r"^(VmRSS|RssAnon):\s+(\d+) kB$", status, re.MULTILINE)
    }


def _modules(stage: Stage, sandbox: Sandbox) -> list[str]:
    """Return the names of all modules that a daemon has loaded after its first refresh."""
    with stage.daemon(sandbox, *telling_modules()) as daemon:
        daemon.until_serving()
    names: list[str] = json.loads((daemon.directory / "log").read_text().splitlines()[-1])
    return names
