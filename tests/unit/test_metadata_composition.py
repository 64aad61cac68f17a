"""Values, events and an upstream as one tree: who wins at a path, and when it is built anew."""

import pytest

from imdsd.metadata.composition import Metadata
from imdsd.metadata.machine import Machine
from imdsd.metadata.settings import MetadataSettings
from imdsd.metadata.tree import Leaf, Listing
from imdsd.metadata.values import RoleFacts

FACTS = RoleFacts("arn:aws:iam::123456789012:role/dev", "eu-central-1")
NAME = "meta-data/tags/instance/Name"
STATE = "meta-data/autoscaling/target-lifecycle-state"


class FakeOverlay:
    """Leaves that a test changes."""

    def __init__(self, **leaves):
        self._leaves = leaves
        self._generation = 0

    def generation(self):
        return self._generation

    def leaves(self):
        return self._leaves

    def become(self, leaves):
        self._leaves = leaves
        self._generation += 1


class FakeUpstream(FakeOverlay):
    """Covers what begins with `prefix`, holds `leaves`, and gives `there` when it is asked."""

    def __init__(self, prefix="meta-data/tags"):
        super().__init__()
        self.prefix = prefix
        self.there = {}
        self.touched = []
        self.fetched = []

    def covers(self, path):
        return path.startswith(self.prefix)

    def labels(self):
        return {"meta-data/public-keys": b"0=theirs"}

    def touch(self, path):
        assert self.covers(path)
        self.touched.append(path)

    async def fetch(self, path):
        assert self.covers(path)
        self.fetched.append(path)
        return self.there.get(path)


class Machines:
    """Counts how often the machine is read."""

    def __init__(self):
        self.read = 0

    def __call__(self):
        self.read += 1
        return Machine(f"box-{self.read}", "x86_64", None)


@pytest.fixture
def machines():
    return Machines()


@pytest.fixture
def events():
    return FakeOverlay()


@pytest.fixture
def upstream():
    return FakeUpstream()


@pytest.fixture
def make(machines, events):
    def make_metadata(leaves=(), upstream=None, labels=()):
        settings = MetadataSettings(dict(leaves), dict(labels))
        return Metadata(settings, read_machine=machines, events=events, upstream=upstream)

    return make_metadata


async def find(metadata, path, facts=FACTS):
    return await metadata.find(facts, tuple(path.split("/")))


async def test_an_event_comes_before_the_configuration_and_goes_again(make, events):
    metadata = make({STATE: b"InService"})
    events.become({STATE: b"Terminated"})
    assert await find(metadata, STATE) == Leaf(b"Terminated")
    events.become({})
    assert await find(metadata, STATE) == Leaf(b"InService")


async def test_a_category_is_listed_only_while_an_event_is_in_force(make, events):
    metadata = make()
    assert b"spot/" not in (await find(metadata, "meta-data")).value
    events.become({"meta-data/spot/termination-time": b"2026-01-01T00:00:00Z"})
    assert b"spot/" in (await find(metadata, "meta-data")).value


async def test_the_tree_is_built_once_for_the_same_state_of_things(make, machines):
    metadata = make()
    first = metadata.tree(FACTS)
    assert metadata.tree(FACTS) is first
    assert metadata.tree(RoleFacts(FACTS.role_arn, FACTS.region)) is first
    assert machines.read == 1


async def test_new_facts_have_the_machine_read_anew(make):
    metadata = make()
    assert await find(metadata, "meta-data/hostname") == Leaf(b"box-1")
    other = RoleFacts(FACTS.role_arn, "eu-west-1")
    assert await find(metadata, "meta-data/hostname", other) == Leaf(b"box-2")


async def test_settings_may_be_replaced_at_any_time(make):
    metadata = make({NAME: b"old"})
    assert await find(metadata, NAME) == Leaf(b"old")
    metadata.settings = MetadataSettings({NAME: b"new"})
    assert await find(metadata, NAME) == Leaf(b"new")


async def test_what_upstream_holds_is_served_and_listed(make, upstream):
    metadata = make(upstream=upstream)
    upstream.become({NAME: b"theirs"})
    assert await find(metadata, NAME) == Leaf(b"theirs")
    assert await find(metadata, "meta-data/tags") == Listing(b"instance/")
    assert upstream.touched == [NAME, "meta-data/tags"]
    assert upstream.fetched == []


async def test_the_configuration_comes_before_upstream(make, upstream):
    metadata = make({NAME: b"ours"}, upstream=upstream)
    upstream.become({NAME: b"theirs", f"{NAME}2": b"theirs too"})
    assert await find(metadata, NAME) == Leaf(b"ours")
    assert await find(metadata, "meta-data/tags/instance") == Listing(b"Name\nName2")


async def test_upstream_comes_before_what_the_daemon_knows_by_itself(make):
    upstream = FakeUpstream("meta-data/placement")
    metadata = make(upstream=upstream)
    assert await find(metadata, "meta-data/placement/region") is None
    upstream.become({"meta-data/placement/region": b"us-east-1"})
    assert await find(metadata, "meta-data/placement/region") == Leaf(b"us-east-1")


async def test_a_miss_is_fetched_and_what_upstream_has_not_is_absent(make, upstream):
    metadata = make(upstream=upstream)
    upstream.there[NAME] = b"theirs"
    assert await find(metadata, NAME) == Leaf(b"theirs")
    assert await find(metadata, f"{NAME}2") is None
    assert upstream.fetched == [NAME, f"{NAME}2"]


async def test_a_path_that_upstream_does_not_cover_never_reaches_it(make, upstream):
    metadata = make(upstream=upstream)
    assert await find(metadata, "meta-data/ami-id") is None
    assert (upstream.touched, upstream.fetched) == ([], [])


async def test_labels_of_the_configuration_come_before_those_of_upstream(make, upstream):
    key = {"meta-data/public-keys/0/openssh-key": b"ssh-ed25519 AAAA"}
    ours = {"meta-data/public-keys": b"0=ours"}
    assert await find(make(key, upstream), "meta-data/public-keys") == Listing(b"0=theirs")
    assert await find(make(key, upstream, ours), "meta-data/public-keys") == Listing(b"0=ours")
