"""ARNs of roles: what is one, and what is said of what is often mistaken for one."""

import pytest
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

from imdsd.config.arn import default_region, partition_of, role_arn
from imdsd.config.tables import ExpectedError

ACCOUNT = "123456789012"
path_parts = st.lists(st.text("abcXYZ019_+=,.@-!:", min_size=1, max_size=8), max_size=3)


@given(
    st.sampled_from(["aws", "aws-cn", "aws-us-gov", "aws-iso-b"]),
    st.from_regex(r"\d{12}", fullmatch=True).filter(str.isascii),
    path_parts,
    st.text("abcXYZ019_+=,.@-", min_size=1, max_size=64),
)
def test_the_arn_of_any_role_is_taken_with_its_path(partition, account, path, name):
    text = f"arn:{partition}:iam::{account}:role/{'/'.join([*path, name])}"
    if account.isascii():
        found = role_arn(text)
        assert (found.text, found.partition, found.account) == (text, partition, account)


@pytest.mark.parametrize(
    ("found", "hint"),
    [
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/dev/me", f"arn:aws:iam::{ACCOUNT}:role/dev"),
        (f"arn:aws:iam::{ACCOUNT}:user/ada", "user cannot be assumed"),
        (f"arn:aws-cn:iam::{ACCOUNT}:instance-profile/web", f"arn:aws-cn:iam::{ACCOUNT}:role/web"),
        (f"arn:aws:iam::{ACCOUNT}:oidc-provider/app.gitpod.io", "identity provider"),
        (f"arn:aws:iam::{ACCOUNT}:policy/ReadOnly", "policy"),
        (f"arn:aws:iam::{ACCOUNT}:dev", f"arn:aws:iam::{ACCOUNT}:role/dev"),
        (f"arn:aws:iam:eu-west-1:{ACCOUNT}:role/dev", f"arn:aws:iam::{ACCOUNT}:role/dev"),
        ("arn:aws:iam::12345:role/dev", "12 digits"),
        ("arn:aws:iam::1234-5678-9012:role/dev", "12 digits"),
        ("dev", "whole ARN"),
        ("role/dev", "whole ARN"),
        (f" arn:aws:iam::{ACCOUNT}:role/dev", "spaces"),
        (f'"arn:aws:iam::{ACCOUNT}:role/dev"', "quotes"),
    ],
)
def test_what_is_often_mistaken_for_a_role_gets_a_hint(found, hint):
    with pytest.raises(ExpectedError) as caught:
        role_arn(found)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "found",
    [
        "",
        f"arn:aws:iam::{ACCOUNT}:role/",
        f"arn:aws:iam::{ACCOUNT}:role/{'a' * 65}",
        f"arn:aws:iam::{ACCOUNT}:role/{'a/' * 1100}dev",
        f"arn:aws:iam::{ACCOUNT}:role/dev\n",
        f"arn:azure:iam::{ACCOUNT}:role/dev",
        f"arn:aws:iam::{ACCOUNT}:role/dév",
        7,
        None,
    ],
)
def test_what_is_no_role_is_refused(found):
    with pytest.raises(ExpectedError):
        role_arn(found)


def test_partitions_and_their_regions_are_those_that_botocore_knows():
    # Its model is the only list of partitions that AWS publishes with every SDK.
    for partition in Loader().load_data("partitions")["partitions"]:
        default = default_region(partition["id"])
        assert default in partition["regions"]
        for region in partition["regions"].keys() - {f"{partition['id']}-global"}:
            assert partition_of(region) == partition["id"]
