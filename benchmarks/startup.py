"""How long after its start the daemon answers, and how long after it serves credentials."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.report import Table, verdict
from benchmarks.samples import added, interleave, middle, spread

if TYPE_CHECKING:
    from benchmarks.stage import Sandbox, Stage

_PYTHON, _ANSWER, _CREDENTIALS = "`python -c pass`", "first answer", "first credentials"
_OTHERS = "the token command and STS alone"
_OURS = "first credentials minus those"
MOST_MILLISECONDS = {_ANSWER: 250, _OURS: 700}


def measure(stage: Stage, *, repetitions: int) -> list[Table]:
    with stage.sandbox() as sandbox:
        ways = {
            _PYTHON: lambda: stage.time_of(stage.python, "-c", "pass"),
            _ANSWER: lambda: _first_answer(stage, sandbox),
            _CREDENTIALS: lambda: _first_credentials(stage, sandbox),
            _OTHERS: lambda: _others(stage, sandbox),
        }
        taken = interleave(ways, repetitions=repetitions)
    taken[_OURS] = added(taken[_CREDENTIALS], taken[_OTHERS])
    rows = [
        [name, middle(values), spread(values), _target(name, values)]
        for name, values in taken.items()
    ]
    return [Table("startup", ["from exec to", "median ms", "range", "target"], rows)]


def _target(name: str, values: list[float]) -> str:
    return (
        verdict(median(values), most=MOST_MILLISECONDS[name]) if name in MOST_MILLISECONDS else ""
    )


def _first_answer(stage: Stage, sandbox: Sandbox) -> float:
    with stage.daemon(sandbox) as daemon:
        daemon.until_answering()
        return daemon.milliseconds


def _first_credentials(stage: Stage, sandbox: Sandbox) -> float:
    with stage.daemon(sandbox) as daemon:
        daemon.until_serving()
        return daemon.milliseconds


def _others(stage: Stage, sandbox: Sandbox) -> float:
    """Return what a refresh would take without the daemon, in milliseconds."""
    started = perf_counter()
    token = stage.run("cat", stage.token_file)
    sandbox.exchange(token)
    return (perf_counter() - started) * 1000
