"""What is read out of upstream's listings."""

import pytest

from imdsd.endpoints.upstream.listing import parse_listing


def names(body, *, directory="meta-data"):
    return parse_listing(directory, body).names


def test_names_are_one_a_line_and_those_of_directories_end_in_a_slash():
    assert names(b"ami-id\nplacement/\nmac") == {"ami-id", "placement/", "mac"}


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_end_of_a_listing_says_nothing(end):
    assert names(b"ami-id" + end) == {"ami-id"}


@pytest.mark.parametrize(
    "line",
    ["..", "../", "a b", "a?b", "a#b", "a%2fb", "", "/", "a//", "iam/", "IAM/", "<html>",
     "security-credentials/", "security-credentials-x", "\u00e4", "\x1b[31m"],
)  # fmt: skip
def test_what_may_not_be_asked_for_is_passed_over(line):
    assert names(f"mac\n{line}\nami-id".encode()) == {"mac", "ami-id"}


def test_a_name_does_not_reach_below_another_into_credentials():
    assert names(b"iam/info\niam/security-credentials/\nok") == {"ok"}


def test_a_listing_of_deeper_than_allowed_is_empty():
    assert names(b"a\nb/", directory="/".join(["meta-data"] * 16)) == set()


def test_public_keys_are_directories_with_a_label():
    listing = parse_listing("meta-data/public-keys", b"0=my key\n1=b\n2/\nnonsense here")
    assert listing.names == {"0/", "1/", "2/"}
    assert listing.labels == {"0": b"0=my key", "1": b"1=b"}


def test_a_number_and_a_name_are_a_plain_name_elsewhere():
    listing = parse_listing("meta-data/tags/instance", b"0=x")
    assert listing.names == {"0=x"}
    assert listing.labels == {}
