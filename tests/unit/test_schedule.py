"""When to refresh and how long to pause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.credentials import schedule

sessions = st.floats(900, 43200)
ROUNDING = 1e-6
draws = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("session", "threshold", "interval"),
    [
        (900, 660, 240),
        (1800, 1560, 240),
        (2040, 1800, 240),
        (3000, 1800, 1200),
        (3360, 1800, 1560),
        (3600, 1920, 1680),
        (7200, 3720, 3480),
        (43200, 21720, 21480),
    ],
)
def test_the_published_table_of_thresholds_holds(session, threshold, interval):
    assert schedule.refresh_threshold(session) == threshold
    assert schedule.refresh_interval(session, draw=0.0) == interval


@given(sessions)
def test_at_least_half_of_a_session_is_left_when_it_is_refreshed(session):
    assert session / 2 <= schedule.refresh_threshold(session) < session


@given(sessions, draws)
def test_jitter_moves_a_refresh_earlier_only_and_by_a_tenth_at_most(session, draw):
    full = session - schedule.refresh_threshold(session)
    interval = schedule.refresh_interval(session, draw=draw)
    assert 0.9 * full - ROUNDING <= interval <= full


@given(sessions, draws)
def test_the_first_refresh_comes_from_the_last_half_of_its_interval(session, draw):
    full = session - schedule.refresh_threshold(session)
    interval = schedule.refresh_interval(session, draw=draw, spread=True)
    assert 0.5 * full - ROUNDING <= interval <= full


@pytest.mark.parametrize(
    ("draw", "spread", "plain"), [(0, 1680, 1680), (0.5, 1260, 1596), (1, 840, 1512)]
)
def test_the_earlier_the_draw_says_the_earlier_within_the_part_that_is_spread(draw, spread, plain):
    assert schedule.refresh_interval(3600, draw=draw, spread=True) == spread
    assert schedule.refresh_interval(3600, draw=draw) == plain


def test_the_shortest_interval_is_a_minute_unless_another_is_given():
    assert schedule.refresh_interval(100, draw=0) == 60
    assert schedule.refresh_interval(100, draw=0, least_seconds=2) == 50


@given(st.floats(0, 1e6), draws, st.booleans())
def test_two_refreshes_are_never_closer_than_a_minute(session, draw, spread):
    assert schedule.refresh_interval(session, draw=draw, spread=spread) >= 60


@given(st.integers(1, 10**6), draws)
def test_with_nothing_held_pauses_stay_within_thirty_seconds(failures, draw):
    pause = schedule.retry_pause(failures, 0, draw=draw)
    assert 0 <= pause <= min(30, 2.0 ** min(failures - 1, 10))


@given(st.integers(1, 10**6), draws, st.floats(600, 43200))
def test_while_much_life_is_left_pauses_lie_between_one_second_and_two_minutes(
    failures, draw, remaining
):
    pause = schedule.retry_pause(failures, remaining, draw=draw)
    assert 1 <= pause <= min(120, 5 * 2.0 ** min(failures - 1, 10))


@given(st.integers(1, 10**6), draws, st.floats(0.1, 599))
def test_with_under_ten_minutes_left_no_pause_is_longer_than_thirty_seconds(
    failures, draw, remaining
):
    assert 1 <= schedule.retry_pause(failures, remaining, draw=draw) <= 30


NOTHING_HELD, LITTLE, MUCH = 0, 599.9, 600


@pytest.mark.parametrize(
    ("remaining", "longest"),
    [
        (-5, [1, 2, 4, 8, 16, 30, 30]),
        (NOTHING_HELD, [1, 2, 4, 8, 16, 30, 30]),
        (0.1, [5, 10, 20, 30, 30, 30, 30]),
        (LITTLE, [5, 10, 20, 30, 30, 30, 30]),
        (MUCH, [5, 10, 20, 40, 80, 120, 120]),
    ],
)
def test_the_longest_pause_doubles_with_each_failure_up_to_a_cap(remaining, longest):
    found = [schedule.retry_pause(n, remaining, draw=1) for n in range(1, 8)]
    assert found == longest
    assert schedule.retry_pause(10**6, remaining, draw=1) == longest[-1]


@pytest.mark.parametrize(("remaining", "shortest"), [(NOTHING_HELD, 0), (LITTLE, 1), (MUCH, 1)])
def test_where_something_is_held_there_is_a_shortest_pause(remaining, shortest):
    assert schedule.retry_pause(3, remaining, draw=0) == shortest


@pytest.mark.parametrize(
    ("draw", "pauses"),
    [
        (0, [48, 96, 192, 240, 240]),
        (0.5, [60, 120, 240, 300, 300]),
        (1, [72, 144, 288, 360, 360]),
    ],
)
def test_a_denied_role_is_asked_for_ever_more_rarely(draw, pauses):
    found = [schedule.denied_pause(tries, draw=draw) for tries in range(1, 6)]
    assert found == pytest.approx(pauses)


@given(st.integers(1, 10**6), draws)
def test_a_denied_role_is_asked_for_once_in_a_minute_to_five(tries, draw):
    assert 48 <= schedule.denied_pause(tries, draw=draw) <= 360


@given(st.floats(-10, 1e9))
def test_what_sts_asks_for_is_honoured_up_to_a_minute(seconds):
    assert schedule.asked_pause(seconds) == min(max(seconds, 0), 60)


@given(st.integers(900, 43200), st.booleans())
def test_a_refused_duration_shrinks_to_what_every_role_allows(duration, renewable):
    tries = 1 if renewable else 4
    for _ in range(tries):
        duration = schedule.shorter_duration(duration, renewable=renewable)
    assert duration == 3600


def test_a_token_that_can_be_minted_again_is_not_worth_another_try():
    assert schedule.shorter_duration(43200, renewable=True) == 3600


@pytest.mark.parametrize(("refused", "next_asked"), [(43200, 21600), (10801, 5400), (5400, 3600)])
def test_the_only_token_is_worth_halvings_in_whole_seconds(refused, next_asked):
    shorter = schedule.shorter_duration(refused, renewable=False)
    assert (shorter, type(shorter)) == (next_asked, int)


def test_the_wall_clock_is_looked_at_twice_a_minute():
    assert schedule.NAP_SECONDS == 30
