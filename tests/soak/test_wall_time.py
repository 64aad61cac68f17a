"""The soak itself, in short; `.ci/run` has three minutes of it beside the tests."""

import os

from tests.soak import wall_time
from tests.support import lack

SECONDS = 20.0


async def test_no_promise_is_broken_while_clients_churn_and_faults_come_at_random():
    if os.geteuid() != 0:
        lack("root, to look into the daemon's process")
    result = await wall_time.soak(seconds=SECONDS, seed=7)
    assert result.broken == []
    # Every kind of client was there, and something went wrong.
    assert len(result.judge.answered) == 8
    assert min(result.judge.answered.values()) > 0
    assert result.injuries.total() > 3
