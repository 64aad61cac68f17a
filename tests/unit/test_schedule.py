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


def test_pauses_grow_with_the_failures():
    pauses = [schedule.retry_pause(n, 0, draw=0.999) for n in range(1, 8)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 1 < pauses[1] < pauses[-1]


@given(st.integers(1, 10**6), draws)
def test_a_denied_role_is_asked_for_once_in_a_minute_to_five(tries, draw):
    assert 48 <= schedule.denied_pause(tries, draw=draw) <= 360


@given(st.floats(-10, 1e9))
def test_what_sts_asks_for_is_honoured_up_to_a_minute(seconds):
    assert schedule.asked_pause(seconds) == min(max(seconds, 0), 60)


@given(st.integers(900, 43200), st.booleans())
def test_a_refused_duration_shrinks_to_what_every_role_allows(duration, renewable):
    seen = [duration]
    while seen[-1] > 3600:
        seen.append(schedule.shorter_duration(seen[-1], renewable=renewable))
    assert seen[-1] == min(duration, 3600)
    assert len(seen) <= (2 if renewable else 5)
