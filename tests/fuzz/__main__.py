"""`python -m tests.fuzz`: run many cases, and print the table of docs/reliability.md."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz.runner import run_all, shares, table
from tests.fuzz.target import SHARES

CASES = 500_000


def main() -> int:
    """Return 1 where anything broke, or fewer cases were run than asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(SHARES))
    parser.add_argument("--cases", type=int, default=CASES, help="in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of both engines (default: 1)")
    asked = parser.parse_args()
    outcomes = run_all(list(shares(asked.cases, asked.targets or SHARES)), seed=asked.seed)
    print(table(outcomes))
    for outcome in outcomes:
        if not outcome.passed:
            print(f"\n{outcome.target} by {outcome.engine}: {outcome.report}", file=sys.stderr)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
