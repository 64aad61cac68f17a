"""How the figures look: the plots of docs/fleet.md, and nothing that is not in its data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.fleet import figures as kept
from benchmarks.fleet.scenarios import OUTAGE_SECONDS, WINDOW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from benchmarks.fleet.figures import Figures

FOLDER = Path(__file__).parents[2] / "docs" / "plots"

# Okabe and Ito's colours, which colour-blind readers tell apart: https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#8E5A91", "#666666"
_INK, _PAPER = "#222222", "#ffffff"

_STYLE = {
    "figure.facecolor": _PAPER,
    "axes.facecolor": _PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": _INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titlepad": 10,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "text.color": _INK,
    "font.size": 9.5,
    "font.family": "sans-serif",
    "lines.linewidth": 1.8,
    # Text stays text: small, and legible to a screen reader.
    "svg.fonttype": "none",
    "svg.hashsalt": "fleet",
    "path.simplify_threshold": 0.5,
}


def draw_all(data: Figures) -> dict[str, Figure]:
    """Return the plots by the name of their file."""
    with mpl.rc_context(_STYLE):
        return {
            "fleet-boot": _boot(data),
            "fleet-calls": _calls(data),
            "fleet-times": _times(data),
            "fleet-cycles": _cycles(data),
            "fleet-outage": _outage(data),
        }


def write(data: Figures) -> None:
    """Draw everything into docs/plots; each file says which figures it was drawn from."""
    FOLDER.mkdir(exist_ok=True)
    told = {"Date": None, "Creator": None, "Type": None, "Identifier": kept.digest()}
    for name, figure in draw_all(data).items():
        with mpl.rc_context(_STYLE):
            figure.savefig(FOLDER / f"{name}.svg", format="svg", metadata=told)


def _figure(rows: int = 1, columns: int = 1, **named: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=(7.6, named.pop("height", 3.6)), layout="constrained")
    return figure, figure.subplots(rows, columns, **named)


def _say(axes: Axes, x: float, y: float, text: str, color: str, **named: Any) -> None:
    """Put a name beside what it names."""
    axes.annotate(
        text, (x, y), color=color, xytext=named.pop("off", (5, 0)), textcoords="offset points",
        va=named.pop("va", "center"), **named,
    )  # fmt: skip


def _area(axes: Axes, x: Sequence[float], y: Sequence[float], color: str) -> None:
    """Fill what is under a curve; of values that stay the same the ends are enough."""
    last = len(y) - 1
    kinks = [k for k in range(len(y)) if k in (0, last) or not y[k - 1] == y[k] == y[k + 1]]
    outline = [(x[k], y[k]) for k in kinks]
    xs, ys = zip((x[0], 0.0), *outline, (x[last], 0.0), strict=True)
    axes.fill(xs, ys, color=color, linewidth=0.6)


def _boot(data: Figures) -> Figure:
    figure, axes = _figure()
    label_at = {0: 4, 30: 34, 166: 60}
    for course, color in zip(data["boot_course"], (ORANGE, BLUE, GREEN), strict=True):
        spread, rates = course["spread"], course["rates"]
        step = kept.BOOT_WINDOW_SECONDS
        seconds = [(index + 0.5) * step for index in range(len(rates))]
        axes.plot(seconds, rates, color=color, linewidth=1.4)
        index = label_at[spread] // step
        text = f"spread {spread} s: {course['calls']:.1f} calls a machine"
        _say(axes, seconds[index], rates[index], text, color, off=(8, 9))
    axes.axhline(60, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    _say(axes, 171, 60, "60, what STS grants", GREY, off=(0, 9))
    axes.set(
        title="10 000 machines start together",
        xlabel="seconds since the start",
        ylabel="calls a second, over two seconds",
        xlim=(0, 210),
        ylim=(20, 15000),
        yscale="log",
    )
    axes.yaxis.set_major_formatter(_plain)
    return figure


def _plain(value: float, _: int) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 1 else f"{value:g}"


def _calls(data: Figures) -> Figure:
    figure, axes = _figure()
    for spread, color, text in ((0, ORANGE, "no spread"), (30, BLUE, "spread 30 s")):
        rows = [row for row in data["sweep"] if row["spread"] == spread and row["per_second"] == 60]
        x, y = [row["machines"] for row in rows], [row["calls"] for row in rows]
        axes.plot(x, y, color=color, marker="o", markersize=4)
        _say(axes, x[-1], y[-1], text, color)
    axes.axhline(1.2, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    _say(axes, 5700, 1.2, "target 1.2", GREY, off=(0, -8))
    axes.axvline(1800, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    _say(axes, 1800, 7.4, "30 · R machines", GREY)
    axes.set(
        title="Calls per machine until it has credentials, STS grants R = 60 a second",
        xlabel="machines that start together",
        ylabel="calls per machine",
        xlim=(0, 6100),
        ylim=(0, 8),
    )
    return figure


def _times(data: Figures) -> Figure:
    figure, panels = _figure(1, 2, sharey=True, height=3.9)
    for axes, per_second in zip(panels, (60, 600), strict=True):
        rows = [
            row for row in data["boot"] if row["per_second"] == per_second and row["spread"] == 0
        ]
        rows.sort(key=lambda row: row["machines"])
        sizes = [row["machines"] for row in rows]
        for key, color in (("p50", BLUE), ("p99", ORANGE)):
            axes.plot(sizes, [row[key] for row in rows], color=color, marker="o", markersize=4)
            _say(axes, sizes[-1], rows[-1][key], key, color, annotation_clip=False)
        axes.plot(sizes, [size / per_second for size in sizes], color=GREY, linewidth=1,
                  linestyle=(0, (4, 3)))  # fmt: skip
        axes.set(
            title=f"{per_second} calls a second",
            xlabel="machines that start together",
            xscale="log",
            yscale="log",
            ylim=(0.1, 4000),
        )
        axes.xaxis.set_major_formatter(_plain)
        axes.yaxis.set_major_formatter(_plain)
        _say(axes, 1000 * per_second / 60, 1000 / 60, "the last one,\nhad nobody\nto wait", GREY,
             off=(6, -14), va="top", fontsize=8.5)  # fmt: skip
    panels[0].set_ylabel("seconds until credentials")
    return figure


def _cycles(data: Figures) -> Figure:
    figure, panels = _figure(4, 1, sharex=True, sharey=True, height=6.2)
    named = {row["name"]: row for row in data["compared"]}
    shown = (
        ("imdsd", "imdsd", BLUE),
        ("10 % jitter alone", "the same schedule with 10 % jitter alone", GREEN),
        ("SDK provider", "the SDK's web identity provider", PURPLE),
        ("cron", "cron every 30 minutes", ORANGE),
    )
    for axes, (name, text, color) in zip(panels, shown, strict=True):
        row = named[name]
        minutes = [index * WINDOW_SECONDS / 60 for index in range(len(row["rates"]))]
        _area(axes, minutes, row["rates"], color)
        axes.set_title(
            f"{text}: after the second cycle the peak is {row['later']:.1f} times the mean",
            color=color, fontsize=9.5, pad=4,
        )  # fmt: skip
        axes.set(yscale="symlog", ylim=(0, 5000), xlim=(0, 240), yticks=[0, 10, 100, 1000])
        axes.yaxis.set_major_formatter(_plain)
        axes.axhline(600, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    panels[-1].set_xlabel("minutes since 10 000 machines started together")
    figure.supylabel(
        "calls a second, over ten seconds (dashed: the 600 that STS grants)", fontsize=9.5
    )
    return figure


def _outage(data: Figures) -> Figure:
    figure, panels = _figure(3, 1, sharex=True, height=5.2)
    for axes, row, color in zip(panels, data["outage_course"], (ORANGE, BLUE, GREEN), strict=True):
        minutes = [
            (index * WINDOW_SECONDS - OUTAGE_SECONDS) / 60 for index in range(len(row["rates"]))
        ]
        _area(axes, minutes, row["rates"], color)
        axes.axvspan(-OUTAGE_SECONDS / 60, 0, color="#eeeeee", linewidth=0)
        axes.set_title(f"sessions of {row['session']} s", color=color, fontsize=9.5, pad=4)
        axes.set(xlim=(-20, 60), ylim=(0, None))
        axes.axhline(60, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    _say(panels[0], -10, max(data["outage_course"][0]["rates"]) / 2, "STS is away", GREY,
         off=(0, 0), ha="center")  # fmt: skip
    panels[-1].set_xlabel("minutes since STS is back")
    figure.supylabel(
        "calls a second of 10 000 machines (dashed: the 60 that STS grants)", fontsize=9.5
    )
    return figure
