"""`python -m tests.soak`: both soaks, and what they saw as a table of docs/reliability.md."""

import argparse
import asyncio
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.soak import compressed, wall_time
from tests.soak.observer import MOST_GROWTH


def main() -> int:
    arguments = _arguments()
    with ProcessPoolExecutor(1) as pool:
        # Beside the other, which mostly waits.
        days = pool.submit(compressed.soak, seed=arguments.seed, days=arguments.days)
        minutes = asyncio.run(wall_time.soak(seconds=arguments.seconds, seed=arguments.seed))
        found = days.result()
    print(as_table(_of_days(found)))
    print()
    print(as_table(_of_minutes(minutes)))
    for line in (*found.broken, *minutes.broken):
        print(f"BROKEN: {line}", file=sys.stderr)
    return 1 if found.broken or minutes.broken else 0


def as_table(rows) -> str:
    lines = [rows[0], ("---",) * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _of_days(found):
    faults = found.episodes.total() - found.episodes["reloaded"]
    return (
        ("on the test clock", ""),
        ("days, roles", f"{found.days}, {len(compressed.SESSIONS)}"),
        ("refreshes", found.refreshes),
        ("calls to STS, most in a day for a role", f"{found.calls}, {found.most_calls_a_day}"),
        ("faults, suspends and clock steps", faults),
        ("reloads", found.episodes["reloaded"]),
        ("requests", found.requests),
        ("refused within the promise", found.refused),
        ("promises broken", len(found.broken)),
        ("closest two refreshes of a role", f"{found.closest_seconds:.0f} s"),
        ("log lines a day", round(found.log_lines / found.days)),
        ("growth of memory, blocks", f"{found.growth:.0f} of {found.blocks[0]}"),
        ("tasks, least and most", f"{min(found.tasks)} to {max(found.tasks)}"),
    )


def _of_minutes(result):
    answered = result.judge.answered
    rows = [
        ("in wall time", ""),
        ("minutes", f"{result.seconds / 60:.1f}"),
        ("requests", answered.total()),
        *((f"of them {kind}", count) for kind, count in sorted(answered.items())),
        ("refused within the promise", result.judge.refused),
        ("promises broken", len(result.broken)),
        ("refreshes", result.refreshes),
        ("faults and reloads", result.injuries.total()),
        ("log lines a minute", f"{result.log_lines / result.seconds * 60:.0f}"),
    ]
    course = result.course
    for what, most in MOST_GROWTH.items():
        rows.append(
            (
                f"{what}: median, growth (at most {most:g})",
                f"{course.median(what):.0f}, {course.growth(what):+.1f}",
            )
        )
    return rows


def _arguments():
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0, help="of wall time")
    parser.add_argument("--days", type=int, default=90, help="on the test clock")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
