"""`python -m tests.soak`: both soaks, and what they saw as the tables of docs/reliability.md."""

import argparse
import asyncio
import sys
from concurrent.futures import ProcessPoolExecutor

from benchmarks import report
from tests.soak import compressed, wall_time
from tests.soak.observer import MOST_GROWTH


def main() -> int:
    arguments = _arguments()
    print(report.machine(), flush=True)
    with ProcessPoolExecutor(1) as pool:
        # Beside the other, which mostly waits.
        days = pool.submit(compressed.soak, seed=arguments.seed, days=arguments.days)
        minutes = asyncio.run(wall_time.soak(seconds=arguments.seconds, seed=arguments.seed))
        found = days.result()
    tables = [_of_days(found), *_of_minutes(minutes)]
    for table in tables:
        print(f"\n{table.as_text()}")
    if arguments.write:
        report.write(tables)
    for line in (*found.broken, *minutes.broken):
        print(f"BROKEN: {line}", file=sys.stderr)
    return 1 if found.broken or minutes.broken else 0


def _of_days(found):
    faults = found.episodes.total() - found.episodes["reloaded"]
    return _table(
        "soak-days",
        ("on the test clock", ""),
        ("days, roles", f"{found.days}, {len(compressed.SESSIONS)}"),
        ("refreshes", found.refreshes),
        ("calls to STS, most in a day for a role", f"{found.calls}, {found.most_calls_a_day}"),
        ("faults, suspends and clock steps", faults),
        ("reloads", found.episodes["reloaded"]),
        ("requests", found.requests),
        ("refused within the promise", found.refused),
        ("promises broken", len(found.broken)),
        ("least time between two refreshes of a role", f"{found.closest_seconds:.0f} s"),
        ("log lines a day", round(found.log_lines / found.days)),
        ("blocks of memory, growth", f"{found.blocks[0]}, {found.growth:+.0f}"),
        ("tasks, least and most", f"{min(found.tasks)}, {max(found.tasks)}"),
    )


def _of_minutes(result):
    answered, course = result.judge.answered, result.course
    yield _table(
        "soak-minutes",
        ("in wall time", ""),
        ("minutes", f"{result.seconds / 60:.1f}"),
        ("requests", answered.total()),
        *((f"of them {kind}", count) for kind, count in sorted(answered.items())),
        ("refused within the promise", result.judge.refused),
        ("promises broken", len(result.broken)),
        ("refreshes", result.refreshes),
        ("faults, reloads and stops", result.injuries.total()),
        ("log lines a minute", f"{result.log_lines / result.seconds * 60:.0f}"),
    )
    yield _table(
        "soak-slopes",
        ("of the daemon", "median", "growth", "at most", "an hour"),
        *(
            (
                what,
                f"{course.median(what):.0f}",
                f"{course.growth(what):+.1f}",
                f"{most:g}",
                f"{course.hourly(what):+.1f}",
            )
            for what, most in MOST_GROWTH.items()
        ),
    )


def _table(name, columns, *rows):
    cells = [[str(cell) for cell in row] for row in rows]
    return report.Table(name, columns, cells, document=report.RELIABILITY)


def _arguments():
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0, help="of wall time")
    parser.add_argument("--days", type=int, default=90, help="on the test clock")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"into {report.RELIABILITY.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
