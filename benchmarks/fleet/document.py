"""How the figures read in docs/fleet.md: which tables there are, and their rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.fleet.scenarios import PER_SECOND, SESSIONS
from benchmarks.report import Table, replace_marked, verdict
from imdsd.credentials.schedule import refresh_interval

if TYPE_CHECKING:
    from benchmarks.fleet.figures import Figures
    from benchmarks.fleet.scenarios import Row

DOCUMENT = Path(__file__).parents[2] / "docs" / "fleet.md"
MOST_CALLS = 1.2
MOST_PEAK = 3.0
_TWO_DIGITS = 2


def tables(figures: Figures) -> list[Table]:
    return [
        _capacity(),
        _targets(figures),
        _boot(figures["boot"]),
        _resume(figures["resume"]),
        _outage(figures["outage"]),
        _cycles(figures["cycles"]),
        _load(figures["load"]),
        _compared(figures["compared"]),
        _rules(figures["rules"]),
    ]


def rendered(text: str, figures: Figures) -> str:
    """Return the document with the tables of these figures."""
    for table in tables(figures):
        text = replace_marked(text, table.name, table.as_markdown())
    return text


def write(figures: Figures) -> None:
    text = rendered(DOCUMENT.read_text(encoding="utf-8"), figures)
    DOCUMENT.write_text(text, encoding="utf-8")


def within_the_spread(row: Row) -> bool:
    """Whether STS could grant a call to each within the 30 seconds that they are spread over."""
    return row["spread"] == 30 and _number(row, "machines") <= 30 * _number(row, "per_second")


def _number(row: Row, key: str) -> float:
    value = row[key]
    assert isinstance(value, (int, float))
    return value


def _whole(value: float) -> str:
    """Write a number with a space between the thousands, and no digit that it cannot vouch for."""
    return f"{value:,.0f}".replace(",", " ")


def _down(value: float) -> str:
    step = 10 ** max(0, len(str(int(value))) - _TWO_DIGITS)
    return _whole(value // step * step)


def _seconds(value: float | None) -> str:
    if value is None:
        return "not in 2 h"
    return f"{value:.1f} s" if value < 100 else f"{_whole(value)} s"


def _percent(value: float) -> str:
    return f"{value * 100:.1f} %" if 0 < value < 0.1 else f"{value * 100:.0f} %"


def _waits(row: Row) -> list[str]:
    times = [_seconds(row[key]) for key in ("p50", "p99", "all")]  # type: ignore[arg-type]
    return [f"{row['calls']:.2f}", _whole(_number(row, "peak")), *times]


_WAITS = ("calls per machine", "busiest second", "p50", "p99", "all")


def _by_size(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (_number(row, "per_second"), _number(row, "machines")))


def _size(row: Row) -> list[str]:
    return [_whole(_number(row, "machines")), _whole(_number(row, "per_second"))]


def _capacity() -> Table:
    rows = []
    for session in SESSIONS:
        every = refresh_interval(session, draw=0.5)
        fleets = [_down(rate * every) for rate in PER_SECOND]
        rows.append([f"{session} s", f"{_whole(every)} s", *fleets])
    columns = ["`duration_seconds`", "a refresh every"]
    columns += [f"machines at {rate} calls a second" for rate in PER_SECOND]
    return Table("capacity", columns, rows)


def _targets(figures: Figures) -> Table:
    spread = [row for row in figures["boot"] + figures["sweep"] if within_the_spread(row)]
    calls = max(_number(row, "calls") for row in spread)
    peak = max(_number(row, "later") for row in figures["cycles"])
    rows = [
        [
            "calls per machine, spread over 30 s, at most 30 · R machines",
            f"{calls:.2f}",
            verdict(calls, most=MOST_CALLS),
        ],
        [
            "busiest window over the mean, after the second cycle",
            f"{peak:.2f}",
            verdict(peak, most=MOST_PEAK),
        ],
    ]
    return Table("targets", ["what", "worst", "target"], rows)


def _boot(rows: list[Row]) -> Table:
    cells = [[*_size(row), f"{row['spread']} s", *_waits(row)] for row in _by_size(rows)]
    return Table("boot", ["machines", "R", "spread", *_WAITS], cells)


def _resume(rows: list[Row]) -> Table:
    cells = [[*_size(row), *_waits(row)] for row in _by_size(rows)]
    return Table("resume", ["machines", "R", *_WAITS], cells)


def _outage(rows: list[Row]) -> Table:
    large = [row for row in _by_size(rows) if _number(row, "machines") >= 100]
    cells = [
        [
            *_size(row),
            f"{row['session']} s",
            _percent(_number(row, "without_share")),
            _seconds(_number(row, "without_p99")) if row["without_share"] else "",
            *_waits(row),
        ]
        for row in large
    ]
    columns = ["machines", "R", "session", "ran out", "for, at p99", *_WAITS]
    return Table("outage", columns, cells)


def _cycles(rows: list[Row]) -> Table:
    cells = [
        [
            *_size(row),
            f"{row['session']} s",
            f"{row['window']} s",
            f"{row['second_cycle']:.2f}",
            f"{row['later']:.2f}",
        ]
        for row in rows
    ]
    columns = ["machines", "R", "session", "window", "from the second cycle on", "after it"]
    return Table("cycles", columns, cells)


def _load(rows: list[Row]) -> Table:
    cells = [
        [
            f"{row['session']} s",
            f"{_number(row, 'load') * 100:.0f} %",
            _percent(_number(row, "throttled")),
            _percent(_number(row, "without")),
        ]
        for row in rows
    ]
    columns = ["session", "refreshes due, of what is granted", "calls throttled", "time without"]
    return Table("load", columns, cells)


def _compared(rows: list[Row]) -> Table:
    cells = [
        [
            str(row["name"]),
            *_waits(row),
            f"{row['later']:.1f}",
            _percent(_number(row, "throttled")),
            _percent(_number(row, "without")),
        ]
        for row in rows
    ]
    columns = ["", *_WAITS, "peak over mean later", "calls throttled", "time without"]
    return Table("compared", columns, cells)


def _rules(rows: list[Row]) -> Table:
    cells = [[str(row["name"]), *_waits(row)] for row in rows]
    return Table("rules", ["", *_WAITS], cells)
