"""`python -m tests.fuzz`: run many cases, and print the table of docs/reliability.md."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz.runner import HEAD, last_row, row, run_all, shares
from tests.fuzz.target import SHARES

CASES = 500_000


def main() -> int:
    """Return 1 where anything broke, or fewer cases were run than asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(SHARES))
    parser.add_argument("--cases", type=int, default=CASES, help="in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of both engines (default: 1)")
    asked = parser.parse_args()
    plan = list(shares(asked.cases, asked.targets or SHARES))
    outcomes = []
    print(HEAD)
    for outcome in run_all(plan, seed=asked.seed):
        outcomes.append(outcome)
        print(row(outcome), flush=True)
    print(last_row(outcomes))
    failed = [outcome for outcome in outcomes if not outcome.passed]
    for outcome in failed:
        print(f"\n{outcome.target} by {outcome.engine}: {outcome.report}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
