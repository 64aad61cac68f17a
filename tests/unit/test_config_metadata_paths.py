"""Paths in [metadata]: which may be configured or passed through, and how others are refused."""

import pytest

from imdsd.config.metadata.paths import KNOWN, covered_path, leaf_path, similar_path
from imdsd.config.tables import ExpectedError
from imdsd.metadata.tree import VERSIONS


def refusal(check, path):
    with pytest.raises(ExpectedError) as caught:
        check(path)
    return caught.value


def filled(path):
    return path.replace("*", "x")


OWN = ("meta-data/iam/", "meta-data/identity-credentials/")
ELSEWHERE = ("meta-data/public-keys/", "meta-data/events/maintenance/", "user-data")


@pytest.mark.parametrize("path", [p for p in KNOWN if not p.startswith((*OWN, *ELSEWHERE))])
def test_every_leaf_of_ec2s_tree_may_be_given_but_the_daemons_own(path):
    assert leaf_path(filled(path)) == filled(path)
    assert similar_path(filled(path)) is None


@pytest.mark.parametrize("path", [p for p in KNOWN if p.startswith(OWN)])
def test_the_daemons_own_leaves_may_not(path):
    assert "reserved" in refusal(leaf_path, filled(path)).found


@pytest.mark.parametrize(
    "path",
    [
        "meta-data/iam",
        "meta-data/iam/",
        "meta-data//iam//info",
        "/meta-data/iam/security-credentials",
        "meta-data/IAM/info",
        "iam/info",
        "latest/meta-data/iam/info",
        "/latest/iam/x",
        "2021-07-15/meta-data/iam/x",
        "api/token",
        "/latest/api/token",
        "api",
        "meta-data/identity-credentials/ec2/security-credentials/ec2-instance",
        "identity-credentials/ec2/security-credentials",
        "meta-data/iam/security-credentials-extended/x",
        "dynamic/Security-Credentials/x",
        "dynamic/x/security-credentials-extended",
    ],
)
def test_a_path_of_credentials_or_tokens_is_refused_however_it_is_spelt(path):
    for check in (leaf_path, covered_path):
        found = refusal(check, path)
        assert "which is reserved" in found.found
        assert "write" not in found.hint


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("user-data", "user_data"),
        ("user-data/x", "user_data"),
        ("/latest/user-data", "user_data"),
        ("meta-data/public-keys", "public_keys"),
        ("meta-data/public-keys/0/openssh-key", "public_keys"),
        ("meta-data/events/maintenance/scheduled", "[[metadata.event]]"),
    ],
)
def test_what_has_a_key_of_its_own_is_pointed_to_it(path, key):
    assert key in refusal(leaf_path, path).expected


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/meta-data/profile", "meta-data/profile"),
        ("meta-data/profile/", "meta-data/profile"),
        ("meta-data//profile", "meta-data/profile"),
        ("latest/meta-data/profile", "meta-data/profile"),
        *((f"/{version}/dynamic/fws/x", "dynamic/fws/x") for version in VERSIONS),
        ("profile", "meta-data/profile"),
        ("/latest/placement/region", "meta-data/placement/region"),
        ("placement/region", "meta-data/placement/region"),
        ("Meta-Data/profile", "meta-data/profile"),
        ("metadata/profile", "meta-data/profile"),
        ("dinamic/fws/x", "dynamic/fws/x"),
    ],
)
def test_a_path_spelt_otherwise_is_refused_with_the_right_spelling(path, right):
    assert refusal(leaf_path, path).hint == f'write "{right}"'
    assert leaf_path(right) == right


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "nothing-like-it",
        "meta-data/a b",
        "meta-data/a?b",
        "meta-data/a#b",
        "meta-data/%61",
        "meta-data/a\\b",
        "meta-data/a\nb",
        "meta-data/ü",
        "meta-data/./a",
        "meta-data/../dynamic/a",
        "meta-data/" + "x" * 1015,
        "meta-data/" + "/".join("x" * 16),
        5,
    ],
)
def test_what_is_no_path_is_refused(path):
    for check in (leaf_path, covered_path):
        found = refusal(check, path)
        assert found.expected
        assert len(found.found or "") < 200


def test_the_longest_and_deepest_paths_are_taken():
    for path in ("meta-data/" + "x" * 1014, "meta-data/" + "/".join("x" * 15)):
        assert leaf_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "meta-data",
        "dynamic",
        "meta-data/placement",
        "meta-data/services",
        "meta-data/network/interfaces/macs",
        "meta-data/network/interfaces/macs/0a:1b:2c:3d:4e:5f",
        "meta-data/tags/instance",
        "meta-data/spot",
        "meta-data/instance-id/x",
        "meta-data/tags/instance/a/b",
        "dynamic/instance-identity/document/x",
    ],
)
def test_a_leaf_is_no_directory_of_ec2s_tree_and_stands_below_no_leaf(path):
    assert "a leaf" in refusal(leaf_path, path).expected.replace("either ", "")


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("meta-data/instance-typ", "meta-data/instance-type"),
        ("meta-data/instance_id", "meta-data/instance-id"),
        ("meta-data/placment/region", "meta-data/placement/region"),
        ("meta-data/placement/availability-zones", "meta-data/placement/availability-zone"),
        (
            "meta-data/network/interfaces/macs/0a:1b:2c:3d:4e:5f/local-ipv4",
            "meta-data/network/interfaces/macs/0a:1b:2c:3d:4e:5f/local-ipv4s",
        ),
        ("meta-data/network/interfaces/macs/0a:1b:2c:3d:4e:5f/foo", None),
        ("meta-data/placement/rack", None),
        ("meta-data/our-own", None),
        ("dynamic/fws/instance-monitoring", None),
    ],
)
def test_a_path_that_resembles_one_of_ec2s_names_it(path, near):
    assert similar_path(path) == near


@pytest.mark.parametrize(
    "path",
    [
        "meta-data/",
        "dynamic/",
        "user-data",
        "meta-data/tags/",
        "meta-data/own/",
        "meta-data/ami-id",
    ],
)
def test_directories_and_leaves_may_be_passed_through(path):
    assert covered_path(path) == path


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("meta-data", 'write "meta-data/" for all that is below it'),
        ("meta-data/tags", 'write "meta-data/tags/" for all that is below it'),
        ("user-data/", 'write "user-data"'),
        ("/meta-data/tags/", 'write "meta-data/tags/"'),
        ("latest/meta-data/tags//", 'write "meta-data/tags/"'),
        ("tags/instance/", 'write "meta-data/tags/instance/"'),
    ],
)
def test_a_path_to_pass_through_is_written_in_one_way(path, hint):
    assert refusal(covered_path, path).hint == hint
