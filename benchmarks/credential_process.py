"""How long `imdsd credential-process` takes as a process: what an SDK or the AWS CLI waits for."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.report import Table, verdict
from benchmarks.samples import interleave, middle, ratios, spread

if TYPE_CHECKING:
    from benchmarks.stage import Stage

MOST_MILLISECONDS = 80
_PYTHON, _OURS, _CLI = "`python -c pass`", "`imdsd credential-process`", "`aws --version`"


def measure(stage: Stage, *, repetitions: int) -> list[Table]:
    with stage.sandbox() as sandbox, stage.daemon(sandbox) as daemon:
        daemon.until_serving()
        ours = {"IMDSD_RUNTIME_DIR": str(daemon.directory)}
        aws = Path(sys.executable).with_name("aws")
        taken = interleave(
            {
                _PYTHON: lambda: stage.time_of(stage.python, "-c", "pass"),
                _OURS: lambda: stage.time_of(stage.imdsd, "credential-process", **ours),
                _CLI: lambda: stage.time_of(aws, "--version"),
            },
            repetitions=repetitions,
        )
    rows = [
        [
            name,
            middle(values),
            spread(values),
            middle(ratios(values, taken[_PYTHON]), digits=1),
            verdict(median(values), most=MOST_MILLISECONDS) if name == _OURS else "",
        ]
        for name, values in taken.items()
    ]
    columns = ["whole process", "median ms", "range", "times Python", "target"]
    return [Table("credential-process", columns, rows)]
