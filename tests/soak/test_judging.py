"""That a soak can fail: what its judges make of leaks and of answers that break the promise."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from tests.soak.judge import Judge
from tests.soak.observer import MOST_GROWTH, Course, Sample
from tests.soak.trouble import Troubles, unnoticed_seconds

HOUR = 3600
FLAT = {"memory of its own kB": 60_000.0, "descriptors": 40.0, "threads": 7.0, "children": 0.0}


def course(**slopes):
    """An hour of samples with noise, and so much more per hour of what is named."""
    rng = random.Random(1)
    course = Course()
    for second in range(HOUR):
        held = {what: usual + rng.uniform(-1, 1) * usual * 0.02 for what, usual in FLAT.items()}
        for what, slope in slopes.items():
            held[what.replace("_", " ")] += slope * second / HOUR
        course.samples.append(Sample(float(second), held))
    return course


def test_noise_is_no_growth():
    assert course().grown() == []


@pytest.mark.parametrize("what", FLAT)
def test_what_grows_by_more_than_its_bound_is_told(what):
    slope = MOST_GROWTH[what] * 2 / (1 - 0.2)
    (told,) = course(**{what: slope}).grown()
    assert told.startswith(what)
    assert course(**{what: slope}).hourly(what) == pytest.approx(slope, rel=0.1)


def document(**changes):
    expires_at = datetime.now(UTC) + timedelta(seconds=600)
    usual = {
        "AccessKeyId": "ASIA1",
        "SecretAccessKey": "secret",
        "Token": "token",
        "Expiration": expires_at.isoformat(),
    }
    return {**usual, **changes}


def judged(**changes):
    judge = Judge(180)
    judge.served("container", "dev", document(**changes))
    return judge.broken


def test_whole_credentials_with_life_left_are_fine():
    assert judged() == []


@pytest.mark.parametrize("key", ["AccessKeyId", "SecretAccessKey", "Token"])
def test_a_blank_breaks_the_promise(key):
    assert judged(**{key: ""})


def test_expired_credentials_break_the_promise():
    assert judged(Expiration=(datetime.now(UTC) - timedelta(seconds=1)).isoformat())


def test_a_refusal_while_the_last_session_has_life_left_breaks_the_promise():
    judge = Judge(180)
    judge.gave("dev")
    judge.fault_begins(["dev"])
    judge.unserved("container", "dev", 503, b"")
    assert judge.broken


def over_for(seconds, judge):
    """Have the last session of dev be over since so long."""
    judge.gave("dev")
    judge.given["dev"] -= judge.session_seconds - 30 + seconds


def test_a_refusal_after_a_calm_in_which_the_role_should_have_recovered_breaks_it():
    judge = Judge(180)
    over_for(10, judge)
    judge.unserved("container", "dev", 503, b"")
    assert judge.broken


def test_a_refusal_is_excused_by_a_fault_that_outlasted_the_session():
    judge = Judge(180)
    over_for(10, judge)
    window = judge.fault_begins(["dev"])
    window.began -= 100
    judge.unserved("container", "dev", 503, b"")
    assert (judge.broken, judge.refused) == ([], 1)


def test_a_fault_of_other_roles_excuses_nothing():
    judge = Judge(180)
    over_for(10, judge)
    window = judge.fault_begins(["other"])
    window.began -= 100
    judge.unserved("container", "dev", 503, b"")
    assert judge.broken


@pytest.mark.parametrize("status", [0, 404, 500, 502])
def test_no_fault_excuses_another_status(status):
    judge = Judge(180)
    over_for(10, judge)
    judge.fault_begins(["dev"]).began -= 100
    judge.unserved("container", "dev", status, b"")
    assert judge.broken


def test_trouble_excuses_nothing_before_a_session_can_be_over():
    troubles = Troubles()
    troubles.begin(1000.0)
    long = unnoticed_seconds(HOUR)
    asked = [
        troubles.excuse(1000.0 + s, session_seconds=HOUR, slack_seconds=20)
        for s in (0, long - 21, long - 20)
    ]
    assert asked == [False, False, True]


def test_trouble_excuses_nothing_once_there_was_time_to_recover():
    troubles = Troubles()
    troubles.begin(1000.0)
    troubles.end(4000.0)
    asked = [troubles.excuse(s, session_seconds=HOUR, slack_seconds=20) for s in (4035.0, 4036.0)]
    assert asked == [True, False]


def test_faults_in_a_row_are_one_trouble_and_one_apart_is_another():
    troubles = Troubles()
    troubles.begin(1000.0)
    troubles.end(1010.0)
    assert troubles.begin(1100.0).since == 1000.0
    troubles.end(1110.0)
    assert troubles.begin(2000.0).since == 2000.0
