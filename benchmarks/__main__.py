"""`python -m benchmarks [NAME…]`: measure, print tables, and write them down where asked."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import (
    credential_process,
    idle,
    leaf,
    load,
    memory,
    report,
    requests,
    sdk_cost,
    stall,
    startup,
)
from benchmarks.stage import Stage, install_plainly

_REPEATED = {
    "requests": requests,
    "startup": startup,
    "memory": memory,
    "stall": stall,
    "sdk-cost": sdk_cost,
    "credential-process": credential_process,
    "leaf": leaf,
    "load": load,
}
NAMES = ("idle", *_REPEATED)
# These run the checkout's own daemons beside the stubs of the tests.
FROM_THE_CHECKOUT = ("faults", "outages", "recovery")
_ALL = ", ".join((*NAMES, *FROM_THE_CHECKOUT))


def main() -> None:
    arguments = _parser().parse_args()
    print(report.machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="imdsd-benchmarks-") as directory:
        names = arguments.names or NAMES
        plain = not set(names) <= set(FROM_THE_CHECKOUT)
        python = install_plainly(Path(directory)) if plain else Path(sys.executable)
        stage = Stage(Path(directory), python)
        tables = []
        for name in names:
            for table in _measure(name, stage, arguments):
                print(f"\n{table.as_text()}", flush=True)
                tables.append(table)
    if arguments.write:
        report.write(tables)


def _measure(name: str, stage: Stage, arguments: argparse.Namespace) -> list[report.Table]:
    if name in FROM_THE_CHECKOUT:
        return _measure_from_the_checkout(name, repetitions=arguments.repetitions)
    if name == "idle":
        return idle.measure(stage, seconds=arguments.idle_seconds)
    most = {"memory": 3, "load": 3}.get(name, arguments.repetitions)
    return _REPEATED[name].measure(stage, repetitions=min(most, arguments.repetitions))


def _measure_from_the_checkout(name: str, *, repetitions: int) -> list[report.Table]:
    # They bring the tests along, which a plain measurement needs not.
    from benchmarks import faults, outages, recovery  # noqa: PLC0415

    match name:
        case "faults":
            return faults.measure()
        case "outages":
            return outages.measure(draws=outages.DRAWS_A_REPETITION * repetitions)
        case _:
            return recovery.measure(repetitions=repetitions)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{_ALL}; or the first {len(NAMES)}"
    )
    parser.add_argument("--repetitions", type=int, default=7, help="of each (default: 7)")
    parser.add_argument("--idle-seconds", type=float, default=120.0, help="(default: 120)")
    parser.add_argument("--write", action="store_true", help="into their documents")
    return parser


if __name__ == "__main__":
    main()
