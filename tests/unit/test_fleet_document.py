"""docs/fleet.md: its figures are the schedule's, its targets are met."""

import re

import pytest

from benchmarks.fleet import figures
from benchmarks.fleet.document import (
    DOCUMENT,
    MOST_CALLS,
    MOST_PEAK,
    rendered,
    tables,
    within_the_spread,
)
from benchmarks.fleet.scenarios import MACHINES, PER_SECOND, boot, cycles

REMEDY = "the schedule or the simulator changed: run `make fleet`"
SMALL = 100
PLOTS = DOCUMENT.parent / "plots"


@pytest.fixture(scope="module")
def kept():
    return figures.kept()


def test_what_small_fleets_do_now_is_what_the_figures_say(kept):
    for name, rows in figures.simulate(most_machines=SMALL).items():
        small = [row for row in kept[name] if row["machines"] <= SMALL]
        assert rows == small, REMEDY


def test_a_fleet_of_a_thousand_starts_as_the_figures_say(kept):
    assert boot(1000, 60, spread=0) in kept["boot"], REMEDY


def test_the_tables_hold_the_figures(kept):
    text = DOCUMENT.read_text()
    assert rendered(text, kept) == text, REMEDY


def test_the_plots_were_drawn_from_the_figures():
    shown = set(re.findall(r"plots/([a-z-]+\.svg)", DOCUMENT.read_text()))
    drawn = {path.name for path in PLOTS.glob("fleet-*.svg")}
    assert shown == drawn
    for name in drawn:
        assert figures.digest() in (PLOTS / name).read_text(), REMEDY


def test_the_figures_tell_of_every_fleet_of_the_plan(kept):
    for name in ("boot", "resume", "outage"):
        sizes = {(row["machines"], row["per_second"]) for row in kept[name]}
        assert sizes == {(machines, rate) for machines in MACHINES for rate in PER_SECOND}


def test_a_spread_fleet_that_sts_can_serve_calls_hardly_more_than_once(kept):
    told = [row for row in kept["boot"] + kept["sweep"] if within_the_spread(row)]
    assert {(row["machines"], row["per_second"]) for row in told} >= {(1800, 60), (18_000, 600)}
    assert max(row["calls"] for row in told) <= MOST_CALLS
    assert boot(30 * 20, 20, spread=30)["calls"] <= MOST_CALLS


def test_the_peaks_after_the_second_cycle_stay_near_the_mean(kept):
    assert {row["machines"] for row in kept["cycles"]} == {1000, 10_000, 100_000}
    assert max(row["later"] for row in kept["cycles"]) <= MOST_PEAK
    again = cycles(1000, 600, session=3600)
    assert again in kept["cycles"], REMEDY


def test_a_missed_target_would_be_told(kept):
    missed = {**kept, "cycles": [{**kept["cycles"][0], "later": MOST_PEAK + 0.1}]}
    (told,) = [table for table in tables(missed) if table.name == "targets"]
    assert "MISSED" in told.rows[1][2]
    assert "MISSED" not in told.rows[0][2]
