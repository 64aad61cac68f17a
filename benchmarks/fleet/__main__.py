"""`python -m benchmarks.fleet`: simulate, and write docs/fleet.json, its tables and its plots."""

from __future__ import annotations

import argparse
import os

from benchmarks.fleet import document, figures, plots


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--kept", action="store_true", help="simulate nothing: use docs/fleet.json")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if not arguments.kept:
        figures.keep(figures.simulate(processes=arguments.processes))
    data = figures.kept()
    document.write(data)
    plots.write(data)


if __name__ == "__main__":
    main()
