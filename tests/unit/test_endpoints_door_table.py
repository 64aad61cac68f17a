"""Who has a place, until when, and who has to go; on a loop whose time a test turns."""

import asyncio

import pytest

from imdsd.endpoints.door.limits import Limits
from imdsd.endpoints.door.table import ConnectionTable
from tests.fakes.manual_loop import ManualLoop

LIMITS = Limits(connections=4, spare_connections=2)


class Member:
    """A connection that only takes down what happens to it."""

    def __init__(self, name="", *, uid=1000, unread=False):
        self.name = name
        self.uid = uid
        self.phase = None
        self.ended = None
        self._unread = unread

    def unread(self):
        return self._unread

    def overdue(self, phase):
        self.ended = phase

    def displaced(self):
        self.ended = "displaced"

    def close(self):
        self.ended = "closed"


@pytest.fixture
def loop():
    return ManualLoop()


@pytest.fixture
def table(loop):
    return ConnectionTable(loop, LIMITS)


def admitted(table, *members):
    for member in members:
        assert table.admit(member)
    return members


def full(table, phase):
    """Fill the table; return its members, the longest in `phase` first."""
    members = admitted(table, *(Member(str(number)) for number in range(LIMITS.connections)))
    for member in members:
        table.enter(member, phase)
    return members


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("head", LIMITS.head_seconds),
        ("write", LIMITS.write_seconds),
        ("idle", LIMITS.idle_seconds),
        ("farewell", LIMITS.farewell_seconds),
    ],
)
def test_a_phase_ends_at_its_deadline_and_not_before(loop, table, name, seconds):
    (member,) = admitted(table, Member())
    phase = getattr(table, name)
    table.enter(member, phase)
    loop.advance(seconds - 0.01)
    assert (member.ended, member.phase) == (None, phase)
    loop.advance(0.02)
    assert (member.ended, member.phase) == (phase, None)
    assert len(table) == 0


@pytest.mark.parametrize("name", ["body", "work"])
def test_what_the_daemon_does_itself_has_no_deadline_here(loop, table, name):
    (member,) = admitted(table, Member())
    table.enter(member, getattr(table, name))
    loop.advance(3600)
    assert member.ended is None


def test_a_shorter_deadline_is_not_kept_waiting_by_a_longer_one(loop, table):
    kept, newcomer = Member(), Member()
    admitted(table, kept)
    table.enter(kept, table.idle)
    loop.advance(1)
    admitted(table, newcomer)
    loop.advance(LIMITS.head_seconds)
    assert (newcomer.ended, kept.ended) == (table.head, None)


def test_nobody_is_woken_before_a_deadline(loop, table):
    admitted(table, Member())
    loop.advance(LIMITS.head_seconds - 0.01)
    assert loop.woken == 0


def test_deadlines_close_to_each_other_share_a_waking_of_the_loop(loop):
    table = ConnectionTable(loop, Limits(connections=1000))
    for _ in range(500):
        admitted(table, Member())
        loop.now += 0.001
    loop.advance(10)
    assert len(table) == 0
    assert loop.woken <= 8


def test_who_asked_while_the_loop_stood_still_is_heard_before_deadlines_are(loop, table):
    asking, silent = admitted(table, Member("asking"), Member("silent"))
    loop.stand_still(60)
    assert (asking.ended, silent.ended) == (None, None)
    table.enter(asking, table.work)  # what came meanwhile is read in this turn
    loop.advance(0.05)
    assert silent.ended is None
    loop.advance(0.1)
    assert (asking.ended, silent.ended) == (None, table.head)


@pytest.mark.parametrize(("late_seconds", "is_excused"), [(0.5, False), (0.75, True)])
def test_half_a_second_late_is_no_standstill(loop, table, late_seconds, is_excused):
    (member,) = admitted(table, Member())
    loop.stand_still(LIMITS.head_seconds + late_seconds)
    assert (member.ended is None) is is_excused


def test_a_loop_that_is_late_again_and_again_excuses_nobody_for_good(loop, table):
    (member,) = admitted(table, Member())
    loop.stand_still(60)
    loop.stand_still(60)
    assert member.ended is table.head


def test_a_table_without_connections_wakes_nobody(loop, table):
    (member,) = admitted(table, Member())
    table.leave(member)
    loop.advance(LIMITS.head_seconds)
    assert loop.waiting == []


def test_the_longest_idle_connection_makes_place_first(loop, table):
    silent, newer, older, busy = admitted(table, Member(), Member(), Member(), Member())
    table.enter(busy, table.work)
    table.enter(older, table.idle)
    loop.advance(0.1)
    table.enter(newer, table.idle)
    for victim in (older, newer, silent):
        admitted(table, newcomer := Member())
        table.enter(newcomer, table.work)
        assert victim.ended == "displaced"
        assert len(table) == LIMITS.connections
    assert busy.ended is None


@pytest.mark.parametrize("name", ["idle", "head", "body", "write"])
def test_the_oldest_of_a_phase_makes_place(table, name):
    oldest, *others = full(table, getattr(table, name))
    admitted(table, Member())
    assert oldest.ended == "displaced"
    assert [each.ended for each in others] == [None] * 3


def test_phases_make_place_in_their_order(table):
    members = admitted(table, Member(), Member(), Member(), Member())
    phases = [table.write, table.body, table.head, table.idle]
    for member, phase in zip(members, phases, strict=True):
        table.enter(member, phase)
    for victim in reversed(members):
        admitted(table, newcomer := Member())
        table.enter(newcomer, table.work)
        assert victim.ended == "displaced"


@pytest.mark.parametrize("name", ["idle", "head", "body"])
def test_whose_bytes_are_here_already_is_not_sent_away(table, name):
    members = admitted(table, Member(unread=True), Member(), Member(unread=True), Member())
    for member in members:
        table.enter(member, getattr(table, name))
    admitted(table, Member())
    assert [each.ended for each in members] == [None, "displaced", None, None]


def test_where_the_daemon_works_for_all_a_newcomer_has_no_place(table):
    members = full(table, table.work)
    newcomer = Member()
    assert not table.admit(newcomer)
    assert newcomer.phase is None
    assert [each.ended for each in members] == [None] * 4
    table.leave(members[0])
    assert table.admit(newcomer)


@pytest.mark.parametrize(("places", "plenty"), [(4, 2), (5, 2), (12, 6)])
def test_there_is_plenty_until_half_of_the_places_are_taken(loop, places, plenty):
    table = ConnectionTable(loop, Limits(connections=places))
    for taken in range(places):
        assert table.has_plenty() is (taken < plenty)
        admitted(table, Member())


def test_a_few_more_than_the_places_may_be_told_why(table):
    full(table, table.work)
    for _ in range(LIMITS.spare_connections):
        assert table.has_spare()
        table.enter(Member(), table.farewell)
    assert not table.has_spare()
    assert len(table) == LIMITS.connections


class TestPerUser:
    @pytest.fixture
    def table(self, loop):
        return ConnectionTable(loop, LIMITS, per_user=True)

    def test_who_has_half_makes_place_by_their_own(self, table):
        other, first, second = admitted(table, Member(uid=1), Member(uid=2), Member(uid=2))
        table.enter(other, table.idle)
        admitted(table, Member(uid=2))
        assert (other.ended, first.ended, second.ended) == (None, "displaced", None)
        assert len(table) == 3

    def test_who_has_half_and_lets_nobody_wait_gets_no_more(self, table):
        for member in admitted(table, Member(uid=2), Member(uid=2)):
            table.enter(member, table.work)
        assert not table.admit(Member(uid=2))
        admitted(table, Member(uid=1), Member(uid=1))

    def test_half_of_an_odd_number_is_the_smaller_one(self, loop):
        table = ConnectionTable(loop, Limits(connections=5), per_user=True)
        first, _ = admitted(table, Member(uid=1), Member(uid=1))
        admitted(table, Member(uid=1))
        assert first.ended == "displaced"

    def test_another_user_displaces_whoever_is_first_in_line(self, table):
        first, *_ = admitted(table, Member(uid=1), Member(uid=1), Member(uid=2), Member(uid=2))
        admitted(table, Member(uid=3))
        assert first.ended == "displaced"

    def test_whom_the_kernel_cannot_name_share_a_half(self, table):
        first, _ = admitted(table, Member(uid=None), Member(uid=None))
        admitted(table, Member(uid=None))
        assert first.ended == "displaced"

    def test_under_half_nobody_is_asked_who_they_are(self, table):
        class Unasked(Member):
            @property
            def uid(self):
                pytest.fail("the kernel was asked")

            @uid.setter
            def uid(self, value):
                pass

        admitted(table, Unasked(), Unasked())


def test_without_a_cap_for_users_one_may_have_all(table):
    assert [each.ended for each in full(table, table.head)] == [None] * 4


def test_leaving_twice_takes_no_other_place(table):
    first, _ = admitted(table, Member(), Member())
    table.leave(first)
    table.leave(first)
    assert len(table) == 1


def test_an_emptied_table_closes_everyone_it_knew(table):
    working, leaving = admitted(table, Member(), Member())
    table.enter(working, table.work)
    table.enter(leaving, table.farewell)
    table.empty()
    assert (working.ended, leaving.ended, len(table)) == ("closed", "closed", 0)


def test_a_request_began_when_its_head_was_first_awaited(loop, table):
    (member,) = admitted(table, Member())
    loop.advance(1)
    assert table.since(member) == 100.0
    table.enter(member, table.idle)
    assert table.since(member) == loop.now


def test_who_rests_again_is_the_last_to_make_place_and_waits_from_then_on(loop, table):
    members = admitted(table, Member(), Member())
    first, second = members
    for member in members:
        table.enter(member, table.idle)
    loop.advance(1.0)
    table.rest(first)
    assert list(table.idle.members) == [second, first]
    loop.advance(table.idle.limit_seconds - 0.5)
    assert (first.ended, second.ended) == (None, table.idle)


def test_who_rests_for_the_first_time_is_idle_from_then_on(loop, table):
    (member,) = admitted(table, Member())
    table.rest(member)
    assert (list(table.idle.members), len(table.head.members)) == ([member], 0)
    loop.advance(table.idle.limit_seconds + 0.01)
    assert member.ended is table.idle


async def turns():
    """Let everybody who can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)  # noqa: TID251  # a turn of the loop


async def test_nobody_waits_for_heads_where_none_is_awaited(table):
    (member,) = admitted(table, Member())
    table.enter(member, table.work)
    await table.until_all_asked(seconds=3600)


async def test_who_waits_for_heads_goes_on_with_the_last_of_them(table):
    first, second = admitted(table, Member(), Member())
    waiting = asyncio.create_task(table.until_all_asked(seconds=3600))
    await turns()
    table.enter(first, table.work)
    await turns()
    assert not waiting.done()
    table.leave(second)
    async with asyncio.timeout(30):
        await waiting


async def test_who_waits_for_heads_waits_no_longer_than_was_said(table):
    admitted(table, Member())
    async with asyncio.timeout(30):
        await table.until_all_asked(seconds=0.01)
