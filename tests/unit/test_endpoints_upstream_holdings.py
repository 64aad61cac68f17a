"""What is held of upstream, for how long, and how much."""

import pytest

from imdsd.endpoints.upstream.holdings import (
    MOST_BYTES,
    MOST_DIRECTORIES,
    MOST_LEAVES,
    STALE_SECONDS,
    Holdings,
)
from imdsd.endpoints.upstream.listing import parse_listing
from tests.fakes.clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def holdings(clock):
    return Holdings(clock=clock)


def put_listing(holdings, directory, body):
    return holdings.put_listing(directory, parse_listing(directory, body))


def test_the_generation_changes_with_what_is_served_and_only_then(holdings):
    generations = [holdings.generation()]

    def changes():
        generations.append(holdings.generation())
        return generations[-1] != generations[-2]

    holdings.put("meta-data/a/b", b"1")
    assert changes()
    holdings.put("meta-data/a/b", b"1")
    assert not changes()
    holdings.put("meta-data/a/b", b"2")
    assert changes()
    put_listing(holdings, "meta-data/a", b"b")
    assert not changes()
    holdings.drop("meta-data/c")
    assert not changes()
    holdings.drop("meta-data/a")
    assert changes()
    assert holdings.leaves() == {}


async def test_a_value_is_served_for_an_hour_after_its_last_answer(holdings, clock):
    holdings.put("user-data", b"old")
    await clock.advance(STALE_SECONDS / 2)
    holdings.put("meta-data/mac", b"new")
    await clock.advance(STALE_SECONDS / 2 - 1)
    before = holdings.generation()
    assert holdings.leaves() == {"user-data": b"old", "meta-data/mac": b"new"}
    assert holdings.remaining_seconds() == 1
    await clock.advance(1)
    assert holdings.generation() != before
    assert holdings.leaves() == {"meta-data/mac": b"new"}
    await clock.advance(STALE_SECONDS / 2)
    assert holdings.leaves() == {}
    assert holdings.remaining_seconds() == 0


async def test_an_answer_prolongs_a_value_that_did_not_change(holdings, clock):
    holdings.put("user-data", b"same")
    await clock.advance(STALE_SECONDS - 1)
    holdings.put("user-data", b"same")
    await clock.advance(STALE_SECONDS - 1)
    assert holdings.leaves() == {"user-data": b"same"}


def test_a_step_of_the_wall_clock_ends_nothing(holdings, clock):
    holdings.put("user-data", b"x")
    clock.step(STALE_SECONDS * 100)
    assert holdings.leaves() == {"user-data": b"x"}


def test_what_a_listing_no_longer_names_is_dropped_with_all_below(holdings):
    holdings.put("meta-data/mac", b"m")
    holdings.put("meta-data/spot/instance-action", b"s")
    put_listing(holdings, "meta-data/spot", b"instance-action")
    holdings.put("meta-data/tags/instance/a", b"t")
    put_listing(holdings, "meta-data", b"mac\ntags/")
    assert holdings.leaves() == {"meta-data/mac": b"m", "meta-data/tags/instance/a": b"t"}
    assert not holdings.is_directory("meta-data/spot")


def test_a_listing_keeps_the_directories_it_names(holdings):
    put_listing(holdings, "meta-data/spot", b"x")
    put_listing(holdings, "meta-data", b"spot/")
    assert holdings.is_directory("meta-data/spot")


def test_a_value_that_became_a_directory_is_dropped_and_the_other_way_round(holdings):
    holdings.put("meta-data/a", b"1")
    holdings.put("meta-data/b/c", b"2")
    put_listing(holdings, "meta-data", b"a/\nb")
    assert holdings.leaves() == {}


def test_labels_stand_for_the_keys_that_are_held(holdings):
    put_listing(holdings, "meta-data/public-keys", b"0=first\n1=second key")
    assert holdings.labels() == {}
    holdings.put("meta-data/public-keys/1/openssh-key", b"ssh-ed25519 A")
    assert holdings.labels() == {"meta-data/public-keys": b"1=second key"}
    holdings.put("meta-data/public-keys/0/openssh-key", b"ssh-ed25519 B")
    assert holdings.labels() == {"meta-data/public-keys": b"0=first\n1=second key"}


def test_a_label_that_changes_is_a_new_generation(holdings):
    holdings.put("meta-data/public-keys/0/openssh-key", b"ssh-ed25519 A")
    put_listing(holdings, "meta-data/public-keys", b"0=first")
    before = holdings.generation()
    put_listing(holdings, "meta-data/public-keys", b"0=renamed")
    assert holdings.generation() != before
    assert holdings.labels() == {"meta-data/public-keys": b"0=renamed"}


async def test_only_what_is_known_is_due_again_after_five_seconds(holdings, clock):
    holdings.put("user-data", b"x")
    assert not holdings.is_due("user-data")
    await clock.advance(5)
    assert holdings.is_due("user-data")
    holdings.tried("user-data")
    assert not holdings.is_due("user-data")
    holdings.tried("meta-data/unknown")
    assert holdings.is_due("meta-data/unknown")
    assert not holdings.is_known("meta-data/unknown")


def test_values_are_so_many_at_most(holdings):
    assert all(holdings.put(f"meta-data/{number}", b"") for number in range(MOST_LEAVES))
    assert not holdings.put("meta-data/one-more", b"")
    assert holdings.put("meta-data/0", b"another")
    holdings.drop("meta-data/1")
    assert holdings.put("meta-data/one-more", b"")
    assert len(holdings.leaves()) == MOST_LEAVES


def test_directories_are_so_many_at_most(holdings):
    assert all(put_listing(holdings, f"meta-data/{n}", b"x") for n in range(MOST_DIRECTORIES))
    assert not put_listing(holdings, "meta-data/one-more", b"x")
    assert put_listing(holdings, "meta-data/0", b"y")


def test_all_values_together_are_so_many_bytes_at_most(holdings):
    half = bytes(MOST_BYTES // 2)
    assert holdings.put("meta-data/a", half)
    assert holdings.put("meta-data/b", half)
    assert not holdings.put("meta-data/c", b"1")
    assert holdings.put("meta-data/a", b"")
    assert holdings.put("meta-data/c", b"1")
    holdings.drop("meta-data/b")
    assert holdings.put("meta-data/d", half)
