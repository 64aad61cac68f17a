"""Days of refreshes on the test clock, from several seeds; `make soak` lives through ninety."""

import pytest

from tests.soak import compressed

DAYS = 4
MOST_GROWTH = 2000
"""Blocks of memory; a snapshot that is kept at each refresh makes ten times as many."""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_promise_is_broken_in_days_of_faults(seed):
    found = compressed.soak(seed=seed, days=DAYS)
    assert found.broken == []
    # It was no quiet time.
    assert found.refreshes > DAYS * 300
    assert found.requests > DAYS * 700
    assert found.episodes.total() - found.episodes["reloaded"] > DAYS * 3


def test_memory_and_tasks_stay_flat():
    found = compressed.soak(seed=4, days=2 * DAYS)
    assert found.growth < MOST_GROWTH
    assert set(found.tasks) == {found.tasks[0]}
