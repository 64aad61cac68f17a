"""The metadata tree: paths, listings, values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.metadata.tree import TOP, Leaf, Listing, MetadataTree, split_path

TREE = MetadataTree(
    {
        "meta-data/placement/region": b"eu-central-1",
        "meta-data/placement/availability-zone": b"eu-central-1a",
        "meta-data/instance-id": b"i-1",
        "dynamic/instance-identity/document": None,
    }
)


def test_a_version_lists_its_three_branches_without_slashes():
    assert TREE.find(()) == Listing(TOP)


def test_a_listing_is_alphabetical_and_marks_directories():
    assert TREE.find(("meta-data",)) == Listing(b"instance-id\nplacement/")
    assert TREE.find(("meta-data", "placement")) == Listing(b"availability-zone\nregion")


def test_a_leaf_has_its_value_and_what_is_not_known_yet_has_none():
    assert TREE.find(("meta-data", "instance-id")) == Leaf(b"i-1")
    assert TREE.find(("dynamic", "instance-identity", "document")) == Leaf(None)


@pytest.mark.parametrize(
    "path", ["user-data", "meta-data/nothing", "meta-data/instance-id/more", "placement", ".."]
)
def test_anything_else_is_nowhere(path):
    assert TREE.find(split_path(path)) is None


@given(st.lists(st.sampled_from(["", "meta-data", "placement", "region"])))
def test_doubled_and_trailing_slashes_say_nothing(segments):
    assert split_path("/".join(segments)) == tuple(filter(None, segments))
