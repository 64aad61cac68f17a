"""Which paths are passed through, and that no trick makes credentials one of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.endpoints.upstream.paths import Coverage, may_pass

EVERYTHING = ("meta-data/", "dynamic/", "user-data", "meta-data/iam/", "api/", "latest/", "/", "")

CREDENTIALS = [
    "meta-data/iam",
    "meta-data/iam/info",
    "meta-data/iam/security-credentials",
    "meta-data/iam/security-credentials/role",
    "meta-data/iam/security-credentials-extended/role",
    "meta-data/IAM/info",
    "Meta-Data/iam/security-credentials/role",
    "meta-data/iam/Security-Credentials/role",
    "meta-data//iam/info",
    "meta-data/./iam/info",
    "meta-data/../meta-data/iam/info",
    "meta-data/placement/../iam/info",
    "meta-data/%69am/info",
    "meta-data/iam%2Finfo",
    "meta-data/iam%2finfo",
    "meta-data/iam;/info",
    "meta-data/iam\\info",
    "meta-data/iam\t/info",
    "meta-data/\u0131am/info",
    "/meta-data/iam/info",
    "meta-data/iam/",
    "meta-data/identity-credentials/ec2/security-credentials",
    "meta-data/identity-credentials/ec2/security-credentials/ec2-instance",
    "meta-data/identity-credentials/ec2/SECURITY-CREDENTIALS/ec2-instance",
    "meta-data/identity-credentials//ec2/security-credentials/ec2-instance",
    "meta-data/identity-credentials/ec2/security%2dcredentials/ec2-instance",
    "meta-data/anything/security-credentials-of-tomorrow",
    "dynamic/security-credentials/x",
    "api/token",
    "API/token",
    "meta-data/../api/token",
    "latest/meta-data/iam/info",
]


@pytest.mark.parametrize("path", CREDENTIALS)
def test_credentials_are_never_covered(path):
    assert not Coverage(EVERYTHING).covers(path)
    assert not Coverage((path,)).covers(path)
    assert not Coverage((f"{path}/",)).covers(path)
    assert not Coverage((f"{path}/",)).covers(f"{path}/below")
    assert Coverage((path, f"{path}/")).roots() == ()


@given(st.lists(st.sampled_from(["meta-data", "iam", "IAM", "Iam", "info", "", ".", "security-credentials", "SECURITY-credentials-x", "x"]), max_size=5))  # fmt: skip
def test_whatever_passes_leads_to_no_credentials(segments):
    path = "/".join(segments)
    if Coverage(EVERYTHING).covers(path):
        read_loosely = [each.lower() for each in segments if each not in ("", ".")]
        assert read_loosely[:2] != ["meta-data", "iam"]
        assert not any(each.startswith("security-credentials") for each in read_loosely)


def test_a_prefix_with_a_slash_means_itself_and_everything_below():
    coverage = Coverage(("meta-data/placement/",))
    assert coverage.covers("meta-data/placement")
    assert coverage.covers("meta-data/placement/region")
    assert coverage.covers("meta-data/placement/a/b/c")
    assert not coverage.covers("meta-data/placement-2")
    assert not coverage.covers("meta-data")
    assert not coverage.covers("")


def test_a_prefix_without_a_slash_means_that_leaf_alone():
    coverage = Coverage(("meta-data/ami-id", "user-data"))
    assert coverage.covers("meta-data/ami-id")
    assert coverage.covers("user-data")
    assert not coverage.covers("meta-data/ami-id/below")
    assert not coverage.covers("meta-data/ami-id-2")
    assert not coverage.covers("meta-data")


def test_nothing_is_covered_without_a_prefix():
    assert not Coverage(()).covers("meta-data/ami-id")
    assert Coverage(()).roots() == ()


@pytest.mark.parametrize("prefix", ["", "/", "//", "meta-data//", "/meta-data/", "latest/", "meta"])
def test_a_prefix_that_names_no_path_covers_nothing(prefix):
    coverage = Coverage((prefix,))
    assert not coverage.covers("meta-data/ami-id")
    assert coverage.roots() == ()


def test_a_crawl_begins_at_each_prefix_once():
    prefixes = ("user-data", "meta-data/tags/", "meta-data/tags/instance/", "meta-data/tags/x")
    assert Coverage(prefixes).roots() == ("meta-data/tags/", "user-data")


@pytest.mark.parametrize("name", ["a b", "a?b", "a#b", "a%62", "..", ".", "...", "", "ä", "a;b", "a\n"])  # fmt: skip
def test_a_name_that_could_be_read_in_two_ways_does_not_pass(name):
    assert not may_pass(f"meta-data/{name}")
    assert may_pass("meta-data/a")


@pytest.mark.parametrize(
    "name", ["02:29:96:8f:6a:2d", "10.0.0.1", "Name=x+y,z@w_v-u", "a..b", ".b"]
)
def test_names_of_real_services_pass(name):
    assert may_pass(f"meta-data/{name}")


def test_a_path_is_sixteen_segments_deep_at_most():
    assert may_pass("/".join(["meta-data"] * 16))
    assert not may_pass("/".join(["meta-data"] * 17))
