"""Fuzzing itself: as many cases as are promised break nothing, and a bug that is there is found."""

import importlib.util

import pytest

from tests.fuzz.runner import ENGINES, cells, run, run_all, shares, sums
from tests.fuzz.target import SHARES
from tests.support import lack

CASES = 20_000
PLANTED = "tests.fuzz.planted"


@pytest.fixture(autouse=True)
def _both_engines():
    if importlib.util.find_spec("atheris") is None:
        lack("atheris, which has no wheel for this Python or processor")


def test_twenty_thousand_cases_break_nothing(capsys):
    outcomes = list(run_all(list(shares(CASES)), seed=1))
    with capsys.disabled():
        print("", *map("\t".join, (*map(cells, outcomes), sums(outcomes))), sep="\n")
    assert [each.report for each in outcomes if not each.passed] == []
    assert sum(each.cases for each in outcomes) >= CASES
    assert {each.target for each in outcomes if each.cases} == SHARES.keys()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_planted_bug_is_found_and_its_case_kept(engine, tmp_path):
    found = run(PLANTED, engine, 5000, seed=1, crashes=tmp_path)
    (case,) = found.crashes
    assert case.parent == tmp_path / PLANTED
    assert len(case.read_bytes()) > 2
    assert case.read_bytes().endswith(b"!")
    assert not found.passed
    assert "the planted bug" in found.report
    assert repr(case.read_bytes()) in found.report


@pytest.mark.parametrize("engine", ENGINES)
def test_every_case_is_counted(engine, tmp_path):
    done = run("upstream_listings", engine, 150, seed=1, crashes=tmp_path)
    assert done.passed, done.report
    assert done.cases >= 150
    assert list(tmp_path.iterdir()) == []


def test_fewer_cases_than_asked_for_are_no_success(tmp_path):
    # There are two, and hypothesis repeats none.
    done = run("tests.fuzz.few", "hypothesis", 50, seed=1, crashes=tmp_path)
    assert done.cases < 50
    assert not done.passed


def test_the_shares_give_each_target_both_engines_and_add_up():
    plan = list(shares(CASES))
    assert sum(cases for _, _, cases in plan) >= CASES
    assert {(target, engine) for target, engine, cases in plan if cases} == {
        (target, engine) for target in SHARES for engine in ENGINES
    }
    assert sum(SHARES.values()) == 100
