"""`python -m tests.mutation [MODULE…]`: break the modules, print who survived, and the table."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from typing import TYPE_CHECKING

from benchmarks import report
from benchmarks.report import RELIABILITY
from tests.mutation import survivors
from tests.mutation.constants import mutate_constants
from tests.mutation.copying import ROOT
from tests.mutation.functions import mutate_functions
from tests.mutation.modules import MODULES
from tests.mutation.mutant import SURVIVED
from tests.mutation.report import LEAST_SCORE, score, table

if TYPE_CHECKING:
    from tests.mutation.mutant import Mutant

PLACE = ROOT / "build" / "mutation"


def main() -> int:
    arguments = _parser().parse_args()
    modules = arguments.modules or list(MODULES)
    mutants: list[Mutant] = []
    for module in modules:
        mutants += _mutate(module, arguments.workers)
    found = table(mutants)
    good = _judge(modules, mutants)
    print(f"\n{found.as_markdown()}")
    if arguments.write:
        report.write([found])
    return 0 if good else 1


def _mutate(module: str, workers: int) -> list[Mutant]:
    place = PLACE / module.removesuffix(".py").replace("/", ".")
    shutil.rmtree(place, ignore_errors=True)
    tests = MODULES[module]
    found = [
        *mutate_functions(module, tests, place=place / "functions", workers=workers),
        *mutate_constants(module, tests, place=place / "constants", workers=workers),
    ]
    print(f"{module}: {len(found)} mutants", flush=True)
    return found


def _judge(modules: list[str], mutants: list[Mutant]) -> bool:
    """Return whether enough was noticed, and all that was not is listed."""
    survived = [mutant for mutant in mutants if mutant.outcome == SURVIVED]
    known = survivors.listed(modules)
    newcomers = survivors.unlisted(survived, known)
    absent = survivors.gone(survived, known)
    for mutant in newcomers:
        print(f"\n# not in {survivors.LIST.name}\n{survivors.as_toml(mutant)}", end="")
    for survivor in absent:
        print(f"\n{survivor.module}, {survivor.where}: listed, but does not survive any more")
        print(survivor.change)
    return not newcomers and not absent and score(mutants) >= LEAST_SCORE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="all, if none is named")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help=f"into {RELIABILITY.name}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
