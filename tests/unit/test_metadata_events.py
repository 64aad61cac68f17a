"""Events: what is valid, how each reads, and which apply at an instant."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.metadata.event_board import EventBoard, TooManyEventsError
from imdsd.metadata.event_forms import (
    ALWAYS,
    HISTORY,
    INSTANCE_ACTION,
    LIFECYCLE_STATE,
    REBALANCE,
    SCHEDULED,
    TERMINATION_TIME,
    leaves_of,
    paths_of,
)
from imdsd.metadata.events import (
    DESCRIPTION_LIMIT,
    EVENTS_LIMIT,
    FIELDS,
    KINDS,
    LIFECYCLE_STATES,
    MAINTENANCE_CODES,
    MAINTENANCE_STATES,
    SECONDS_LIMIT,
    SPOT_ACTIONS,
    InvalidEventError,
    MaintenanceEvent,
    parse_event,
    parse_kind,
)
from tests.fakes.clock import START, ManualClock

NONE = {SCHEDULED: b"[]", HISTORY: b"[]"}
AN_ID = "instance-event-0d59937288b749b32"


def event(kind, **fields):
    return parse_event({"kind": kind, **fields})


def reboot(**fields):
    return event("maintenance", code="system-reboot", **fields)


def refusal(document):
    with pytest.raises(InvalidEventError) as caught:
        parse_event(document)
    return str(caught.value)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def board(clock):
    return EventBoard(clock)


# What is valid


def test_a_spot_event_needs_no_more_than_its_kind():
    assert asdict(event("spot")) == {"action": "terminate", "in_seconds": 120, "after_seconds": 0}


def test_a_maintenance_event_needs_a_code():
    found = refusal({"kind": "maintenance"})
    assert found.startswith("code: found nothing, expected one of instance-reboot,")


def test_maintenance_lasts_a_day_unless_told():
    assert reboot(in_seconds=60).until_seconds == 60 + 86400
    assert reboot(in_seconds=60, until_seconds=60).until_seconds == 60


def test_a_derived_id_is_the_events_own_whatever_its_state():
    first = reboot()
    assert first.event_id.startswith("instance-event-")
    assert len(first.event_id) == len(AN_ID)
    assert reboot(state="completed", after_seconds=5).event_id == first.event_id
    others = [reboot(in_seconds=1), reboot(description="x"), event("maintenance", code="instance-stop")]  # fmt: skip
    assert len({first.event_id, *(each.event_id for each in others)}) == 4


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "kind: found nothing, expected one of spot, rebalance, maintenance, autoscaling"),
        ({"kind": "spto"}, "kind: found 'spto', expected one of spot, rebalance, maintenance, autoscaling; did you mean spot?"),
        ({"kind": ["spot"]}, "kind: found a list of 1, expected one of spot, rebalance, maintenance, autoscaling"),
        ({"kind": "spot", "action": "stopp"}, "action: found 'stopp', expected one of hibernate, stop, terminate; did you mean stop?"),
        ({"kind": "spot", "action": "TERMINATE"}, "action: found 'TERMINATE', expected one of hibernate, stop, terminate; did you mean terminate?"),
        ({"kind": "spot", "actoin": "stop"}, "actoin: found an unknown key, expected a key of spot: action, in_seconds, after_seconds; did you mean action?"),
        ({"kind": "spot", "code": "system-reboot"}, "code: found an unknown key, expected a key of spot: action, in_seconds, after_seconds; code belongs to maintenance"),
        ({"kind": "rebalance", "state": "InService"}, "state: found an unknown key, expected a key of rebalance: after_seconds; state belongs to maintenance and autoscaling"),
        ({"kind": "spot", "in_seconds": True}, "in_seconds: found true, expected a whole number of seconds from 0 to 31622400"),
        ({"kind": "spot", "in_seconds": 1.5}, "in_seconds: found 1.5, expected a whole number of seconds from 0 to 31622400"),
        ({"kind": "spot", "in_seconds": -1}, "in_seconds: found -1, expected a whole number of seconds from 0 to 31622400"),
        ({"kind": "spot", "in_seconds": SECONDS_LIMIT + 1}, "in_seconds: found 31622401, expected a whole number of seconds from 0 to 31622400"),
        ({"kind": "rebalance", "after_seconds": None}, "after_seconds: found null, expected a whole number of seconds from 0 to 31622400"),
        ({"kind": "autoscaling", "state": "terminated"}, "state: found 'terminated', expected one of Detached, InService, Standby, Terminated, Warmed:Hibernated, Warmed:Running, Warmed:Stopped, Warmed:Terminated; did you mean Terminated?"),
        ({"kind": "maintenance", "code": "system-reboot", "in_seconds": 9, "until_seconds": 8}, "until_seconds: found 8, expected at least 9 seconds, when it begins (in_seconds)"),
        ({"kind": "maintenance", "code": "system-reboot", "event_id": "instance-event-1"}, "event_id: found 'instance-event-1', expected instance-event- and 17 digits of 0-9a-f"),
        ({"kind": "maintenance", "code": "system-reboot", "event_id": "instance-event-0D59937288B749B32"}, "event_id: found 'instance-event-0D59937288B749B32', expected instance-event- and 17 digits of 0-9a-f"),
        ({"kind": "maintenance", "code": "system-reboot", "event_id": "0d59937288b749b320123456789012345"[:32]}, "event_id: found '0d59937288b749b32012345678901234', expected instance-event- and 17 digits of 0-9a-f"),
        ({"kind": "maintenance", "code": "system-reboot", "description": "two\nlines"}, "description: found 'two\\nlines', expected a text of one line, of 1 to 255 ASCII characters"),
        ({"kind": "maintenance", "code": "system-reboot", "description": " "}, "description: found ' ', expected a text of one line, of 1 to 255 ASCII characters"),
        ({"kind": "maintenance", "code": "system-reboot", "description": "é"}, "description: found 'é', expected a text of one line, of 1 to 255 ASCII characters"),
        ({"kind": "maintenance", "code": "system-reboot", "description": 1}, "description: found 1, expected a text of one line, of 1 to 255 ASCII characters"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_was_found_and_expected(document, message):
    assert refusal(document) == message


def test_a_long_value_is_not_repeated_whole():
    code = "x" * 5000
    description = "d" * (DESCRIPTION_LIMIT + 1)
    assert len(refusal({"kind": code})) < 200
    assert len(refusal({"kind": "maintenance", "code": code})) < 300
    assert len(refusal({"kind": "maintenance", "code": "system-reboot", "description": description})) < 200  # fmt: skip
    assert len(refusal({"kind": "spot", code: 1})) < 200


def test_a_kind_alone_is_read_as_strictly():
    assert [parse_kind(kind) for kind in KINDS] == list(KINDS)
    with pytest.raises(InvalidEventError, match="did you mean maintenance"):
        parse_kind("maintainance")


seconds = st.integers(0, SECONDS_LIMIT)
after = st.fixed_dictionaries({}, optional={"after_seconds": seconds})
documents = st.one_of(
    st.builds(lambda rest, **own: {"kind": "spot", **own, **rest}, after, action=st.sampled_from(SPOT_ACTIONS), in_seconds=seconds),
    st.builds(lambda rest: {"kind": "rebalance", **rest}, after),
    st.builds(lambda rest, **own: {"kind": "autoscaling", **own, **rest}, after, state=st.sampled_from(LIFECYCLE_STATES)),
    st.builds(lambda rest, **own: {"kind": "maintenance", **own, **rest}, after, code=st.sampled_from(MAINTENANCE_CODES), state=st.sampled_from(MAINTENANCE_STATES), in_seconds=seconds),
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
keys = st.sampled_from(sorted({"kind", *(name for names in FIELDS.values() for name in names)}))
values = json_values | st.sampled_from((*KINDS, *SPOT_ACTIONS, *MAINTENANCE_CODES, *LIFECYCLE_STATES))  # fmt: skip


@given(documents)
def test_an_event_written_out_is_the_same_event(document):
    parsed = parse_event(document)
    assert parse_event({"kind": parsed.kind, **asdict(parsed)}) == parsed


@given(st.dictionaries(keys | st.text(), values, max_size=5))
def test_whatever_is_asked_for_is_an_event_or_refused(document):
    outcome = parsed_or_refused(document)
    if isinstance(outcome, str):
        assert len(outcome.splitlines()) == 1
    else:
        assert leaves_of([(outcome, START)]) != NONE


def parsed_or_refused(document):
    try:
        return parse_event(document)
    except InvalidEventError as error:
        return str(error)


# Forms


def served(*events, at=START):
    return leaves_of([(each, at) for each in events])


def test_a_termination_is_told_in_both_forms():
    at = datetime(2017, 9, 18, 8, 20, tzinfo=UTC)
    assert served(event("spot"), at=at) == NONE | {
        INSTANCE_ACTION: b'{"action": "terminate", "time": "2017-09-18T08:22:00Z"}',
        TERMINATION_TIME: b"2017-09-18T08:22:00Z",
    }


@pytest.mark.parametrize("action", ["stop", "hibernate"])
def test_another_interruption_has_no_termination_time(action):
    at = datetime(2017, 9, 18, 8, 22, tzinfo=UTC)
    action_leaf = f'{{"action": "{action}", "time": "2017-09-18T08:22:00Z"}}'.encode()
    found = served(event("spot", action=action, in_seconds=0), at=at)
    assert found == NONE | {INSTANCE_ACTION: action_leaf}


def test_a_recommendation_tells_when_it_was_made():
    at = datetime(2020, 11, 5, 8, 22, tzinfo=UTC)
    assert served(event("rebalance"), at=at) == NONE | {
        REBALANCE: b'{"noticeTime": "2020-11-05T08:22:00Z"}'
    }


@pytest.mark.parametrize("state", LIFECYCLE_STATES)
def test_a_lifecycle_state_is_the_bare_word(state):
    assert served(event("autoscaling", state=state)) == NONE | {LIFECYCLE_STATE: state.encode()}


def test_active_maintenance_is_scheduled():
    at = datetime(2019, 1, 21, 9, 0, 43, tzinfo=UTC)
    found = served(reboot(in_seconds=0, until_seconds=1000, event_id=AN_ID), at=at)
    assert found[HISTORY] == b"[]"
    assert found[SCHEDULED].decode() == (
        "[ {\n"
        '  "NotBefore" : "21 Jan 2019 09:00:43 GMT",\n'
        '  "Code" : "system-reboot",\n'
        '  "Description" : "scheduled reboot",\n'
        '  "EventId" : "instance-event-0d59937288b749b32",\n'
        '  "NotAfter" : "21 Jan 2019 09:17:23 GMT",\n'
        '  "State" : "active"\n'
        "} ]"
    )


def test_maintenance_that_ended_is_history_and_says_so_in_front():
    ended = [reboot(state="canceled"), reboot(in_seconds=0, state="completed", description="my own")]  # fmt: skip
    found = served(*ended)
    assert found[SCHEDULED] == b"[]"
    assert b"\n}, {\n" in found[HISTORY]
    told = [(each["State"], each["Description"]) for each in json.loads(found[HISTORY])]
    assert told == [("canceled", "[Canceled] scheduled reboot"), ("completed", "[Completed] my own")]  # fmt: skip


def test_what_says_it_ended_is_not_said_twice():
    ended = reboot(state="canceled", description="[Canceled] by me")
    assert json.loads(served(ended)[HISTORY])[0]["Description"] == "[Canceled] by me"


def test_quotes_in_a_description_stay_inside_their_string():
    found = served(reboot(description='"}, {"\\'))
    assert json.loads(found[SCHEDULED])[0]["Description"] == '"}, {"\\'


def test_the_names_of_months_are_english_and_days_are_not_padded():
    months = [datetime(2027, month, 3, 4, 5, 6, tzinfo=UTC) for month in range(1, 13)]
    dates = [json.loads(served(reboot(in_seconds=0), at=at)[SCHEDULED])[0]["NotBefore"] for at in months]  # fmt: skip
    told = " ".join(date.split()[1] for date in dates)
    assert told == "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
    assert dates[0] == "3 Jan 2027 04:05:06 GMT"


def test_dates_are_in_utc():
    at = datetime(2027, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert b'"31 Dec 2026 23:00:00 GMT"' in served(reboot(in_seconds=0), at=at)[SCHEDULED]


@given(documents)
def test_an_event_is_seen_at_its_own_paths_alone_and_no_value_ends_a_line(document):
    parsed = parse_event(document)
    leaves = served(parsed)
    assert {path for path in leaves if leaves[path] != NONE.get(path)} == set(paths_of(parsed))
    assert all(value and not value.endswith(b"\n") for value in leaves.values())


# What applies at an instant


def test_without_events_only_the_lists_of_maintenance_are_there(board):
    assert board.leaves() == NONE
    assert set(ALWAYS) == set(NONE)
    assert board.entries() == ()


def test_an_event_is_seen_at_once(board):
    entry = board.add(event("spot"))
    assert entry.in_force
    assert board.entries() == (entry,)
    assert set(board.leaves()) == {*NONE, INSTANCE_ACTION, TERMINATION_TIME}


def test_the_fraction_of_a_second_is_cut_off(clock, board):
    clock.step(0.9)
    assert board.add(event("spot")).in_force
    assert board.leaves()[TERMINATION_TIME] == b"2026-01-01T00:02:00Z"


def test_a_delayed_notice_appears_in_the_second_it_names(clock, board):
    clock.step(0.9)
    board.add(event("rebalance", after_seconds=1))
    clock.step(0.1)
    assert board.leaves()[REBALANCE] == b'{"noticeTime": "2026-01-01T00:00:01Z"}'


def test_a_notice_appears_after_its_time_and_counts_from_then(clock, board):
    entry = board.add(event("spot", after_seconds=30, in_seconds=60))
    assert not entry.in_force
    clock.step(29)
    assert board.leaves() == NONE
    clock.step(1)
    assert board.leaves()[TERMINATION_TIME] == b"2026-01-01T00:01:30Z"
    assert [each.in_force for each in board.entries()] == [True]


def test_a_notice_stays_when_its_time_has_passed(clock, board):
    board.add(event("spot"))
    clock.step(9999)
    assert board.leaves()[TERMINATION_TIME] == b"2026-01-01T00:02:00Z"


def test_a_clock_that_is_set_back_takes_nothing_away_and_hinders_nothing(clock, board):
    board.add(event("spot"))
    clock.step(-3600)
    assert INSTANCE_ACTION in board.leaves()
    board.add(event("spot", action="stop"))
    assert b"stop" in board.leaves()[INSTANCE_ACTION]


def test_a_later_event_of_a_kind_takes_the_place_of_the_one_before(clock, board):
    board.add(event("autoscaling", state="InService"))
    board.add(event("autoscaling", state="Terminated", after_seconds=10))
    assert board.leaves()[LIFECYCLE_STATE] == b"InService"
    clock.step(10)
    assert board.leaves()[LIFECYCLE_STATE] == b"Terminated"
    assert len(board.entries()) == 1


def test_maintenance_is_replaced_by_its_id(clock, board):
    board.add(reboot(event_id=AN_ID))
    board.add(event("maintenance", code="instance-stop"))
    board.add(reboot(event_id=AN_ID, state="completed", after_seconds=10))
    assert len(json.loads(board.leaves()[SCHEDULED])) == 2
    clock.step(10)
    assert [each["Code"] for each in json.loads(board.leaves()[SCHEDULED])] == ["instance-stop"]
    assert [each["EventId"] for each in json.loads(board.leaves()[HISTORY])] == [AN_ID]


def test_clearing_takes_what_is_pending_too(clock, board):
    board.add(event("rebalance"))
    board.add(event("spot", after_seconds=5))
    assert board.clear("autoscaling") == 0
    assert board.clear("spot") == 1
    clock.step(5)
    assert set(board.leaves()) == {*NONE, REBALANCE}
    assert board.clear() == 1
    assert board.leaves() == NONE


def test_a_full_board_takes_no_more_until_it_is_cleared(board):
    for number in range(EVENTS_LIMIT):
        board.add(event("rebalance", after_seconds=number + 1))
    with pytest.raises(TooManyEventsError, match="imdsd event clear"):
        board.add(event("rebalance"))
    assert len(board.entries()) == EVENTS_LIMIT
    board.clear()
    assert board.add(event("rebalance")).in_force


def test_a_reload_drops_and_sets_what_changed_and_keeps_the_rest(clock, board):
    kept, dropped, new = event("rebalance", after_seconds=60), reboot(), event("autoscaling", state="Standby", after_seconds=60)  # fmt: skip
    board.replace_configured([kept, dropped])
    board.add(event("spot"))
    clock.step(40)
    board.replace_configured([kept, new])
    assert set(board.leaves()) == {*NONE, INSTANCE_ACTION, TERMINATION_TIME}
    assert board.leaves()[SCHEDULED] == b"[]"
    clock.step(20)
    assert REBALANCE in board.leaves()
    assert LIFECYCLE_STATE not in board.leaves()
    clock.step(40)
    assert LIFECYCLE_STATE in board.leaves()
    assert [each.configured for each in board.entries()] == [False, True, True]


def test_what_was_cleared_does_not_come_back_with_a_reload(board):
    board.replace_configured([event("rebalance")])
    board.clear()
    board.replace_configured([event("rebalance")])
    assert board.leaves() == NONE
    board.replace_configured([])
    board.replace_configured([event("rebalance")])
    assert REBALANCE in board.leaves()


def test_the_generation_stays_while_nothing_changes(clock, board):
    generation = board.generation()
    board.add(event("spot", after_seconds=5))
    board.clear("maintenance")
    clock.step(4)
    assert board.generation() == generation
    clock.step(1)
    assert board.generation() != generation


offsets = st.integers(0, 6)
soon = st.one_of(
    st.builds(event, st.just("spot"), after_seconds=offsets, action=st.sampled_from(SPOT_ACTIONS)),
    st.builds(event, st.just("rebalance"), after_seconds=offsets),
    st.builds(event, st.just("autoscaling"), after_seconds=offsets, state=st.sampled_from(LIFECYCLE_STATES)),
    st.builds(reboot, after_seconds=offsets, state=st.sampled_from(MAINTENANCE_STATES), in_seconds=st.integers(0, 1)),
)  # fmt: skip
steps = st.lists(
    st.tuples(st.just("set"), soon)
    | st.tuples(st.just("wait"), st.integers(0, 4))
    | st.tuples(st.just("clear"), st.sampled_from((None, *KINDS))),
    max_size=25,
)


def place(each):
    return each.event_id if isinstance(each, MaintenanceEvent) else each.kind


@given(steps)
def test_an_event_applies_when_it_was_set_is_due_was_not_cleared_and_is_the_last_of_its_place(steps):  # fmt: skip
    clock = ManualClock()
    board = EventBoard(clock)
    model = []
    before = (board.generation(), board.leaves())
    for what, value in steps:
        match what:
            case "set":
                board.add(value)
                model.append((value, clock.now() + timedelta(seconds=value.after_seconds)))
            case "wait":
                clock.step(value)
            case "clear":
                board.clear(value)
                model = [pair for pair in model if value not in (None, pair[0].kind)]
        due = sorted((pair for pair in model if pair[1] <= clock.now()), key=lambda pair: pair[1])
        last = {place(each): number for number, (each, _) in enumerate(due)}
        in_force = [pair for number, pair in enumerate(due) if last[place(pair[0])] == number]
        now = (board.generation(), board.leaves())
        assert now[1] == leaves_of(in_force)
        assert (now[0] != before[0]) == (now[1] != before[1])
        pending = [pair for pair in model if pair[1] > clock.now()]
        assert len(board.entries()) == len(in_force) + len(pending)
        before = now
