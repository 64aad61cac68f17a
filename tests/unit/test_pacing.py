"""How long a role waits after each attempt."""

import pytest

from imdsd.credentials.pacing import Pacing
from imdsd.errors import ExchangeError, Retry

UNREACHABLE = ExchangeError("STS could not be reached")
ACCESS_DENIED = ExchangeError("no", retry=Retry.LIMITED)
MALFORMED = ExchangeError("the policy is malformed", retry=Retry.NEVER)
THROTTLED = ExchangeError("Rate exceeded", throttled=True)
ASKED_TO_WAIT = ExchangeError("slow down", retry_after_seconds=7)
DRAW = 0.999


def after(*errors, remaining=0.0):
    pacing = Pacing()
    pauses = [pacing.failed(error, remaining, draw=0.5) for error in errors]
    return pacing, pauses


def test_the_first_refresh_is_spread_and_those_after_it_are_not():
    pacing = Pacing()
    assert pacing.succeeded(3600, draw=0.5) == 1680 * 0.75
    assert pacing.succeeded(3600, draw=0.5) == 1680 * 0.95


@pytest.mark.parametrize(
    "error", [UNREACHABLE, ACCESS_DENIED, MALFORMED, THROTTLED, ASKED_TO_WAIT], ids=str
)
def test_whatever_failed_the_refresh_after_it_is_spread_again(error):
    pacing = Pacing()
    pacing.succeeded(3600, draw=0)
    pacing.failed(error, 1800, draw=DRAW)
    assert pacing.succeeded(3600, draw=0.5) == 1680 * 0.75


def test_a_machine_that_slept_is_spread_again():
    pacing = Pacing()
    pacing.succeeded(3600, draw=0)
    pacing.spread_next()
    assert pacing.succeeded(3600, draw=0.5) == 1680 * 0.75


def test_the_interval_is_never_shorter_than_what_was_given():
    assert Pacing(least_interval_seconds=1000).succeeded(900, draw=0) == 1000


def test_pauses_grow_until_a_success():
    pacing, pauses = after(*[UNREACHABLE] * 7)
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15]
    pacing.succeeded(3600, draw=0)
    assert pacing.failed(UNREACHABLE, 0, draw=0.5) == 0.5


def test_the_life_that_is_left_makes_pauses_longer():
    assert after(UNREACHABLE, remaining=1800)[1] == [2.5]


def test_the_fifth_refusal_in_a_row_is_denied():
    pacing, pauses = after(*[ACCESS_DENIED] * 5)
    assert pauses == [0.5, 1, 2, 4, 60]
    assert pacing.denied
    assert pacing.failed(ACCESS_DENIED, 0, draw=0.5) == 120


def test_refusals_with_another_failure_between_them_are_not_in_a_row():
    assert not after(*[ACCESS_DENIED] * 4, UNREACHABLE, *[ACCESS_DENIED] * 4)[0].denied


def test_what_no_time_heals_is_denied_at_once_and_until_a_success():
    pacing, pauses = after(MALFORMED, UNREACHABLE)
    assert pauses == [60, 120]
    assert pacing.denied
    pacing.succeeded(3600, draw=0)
    assert not pacing.denied
    assert pacing.failed(MALFORMED, 0, draw=0.5) == 60


def test_a_pause_that_sts_asked_for_is_kept_and_those_who_heard_it_together_part_after_it():
    assert Pacing().failed(ASKED_TO_WAIT, 0, draw=0) == 7
    assert after(*[ASKED_TO_WAIT] * 7)[1] == [7.5, 8, 9, 11, 15, 22, 22]


@pytest.mark.parametrize(
    ("errors", "hurriable"),
    [
        ([], True),
        ([UNREACHABLE], True),
        ([THROTTLED], False),
        ([ASKED_TO_WAIT], False),
        ([ASKED_TO_WAIT, UNREACHABLE], True),
        ([ACCESS_DENIED], False),
        ([MALFORMED], False),
        ([MALFORMED, UNREACHABLE], False),
    ],
    ids=str,
)
def test_asking_sooner_helps_unless_sts_refused_had_too_many_calls_or_said_when(errors, hurriable):
    assert after(*errors)[0].hurriable is hurriable


def test_a_success_ends_what_forbade_to_ask_sooner():
    pacing, _ = after(MALFORMED)
    pacing.succeeded(3600, draw=0)
    assert pacing.hurriable
