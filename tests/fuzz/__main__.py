"""`python -m tests.fuzz`: run many cases, and print the table of docs/reliability.md."""

from __future__ import annotations

import argparse
import sys

from benchmarks import report
from tests.fuzz.runner import COLUMNS, Outcome, cells, run_all, shares, sums
from tests.fuzz.target import SHARES

CASES = 500_000


def main() -> int:
    """Return 1 where anything broke, or fewer cases were run than asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(SHARES))
    parser.add_argument("--cases", type=int, default=CASES, help="in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of both engines (default: 1)")
    parser.add_argument("--write", action="store_true", help=f"into {report.RELIABILITY.name}")
    asked = parser.parse_args()
    outcomes: list[Outcome] = []
    print(*COLUMNS, sep="\t")
    plan = list(shares(asked.cases, asked.targets or SHARES))
    for outcome in run_all(plan, seed=asked.seed):
        outcomes.append(outcome)
        print(*cells(outcome), sep="\t", flush=True)
    rows = [*map(cells, outcomes), sums(outcomes)]
    print(*rows[-1], sep="\t")
    if asked.write:
        report.write([report.Table("fuzzing", COLUMNS, rows, document=report.RELIABILITY)])
    failed = [outcome for outcome in outcomes if not outcome.passed]
    for outcome in failed:
        print(f"\n{outcome.target} by {outcome.engine}: {outcome.report}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
