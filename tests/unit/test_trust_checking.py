"""Claims held against a policy that IAM has: what is told, and what only AWS can know."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from imdsd.trust import Outcome, TrustPolicyError, check_trust, parse_held_policy

ISSUER = "https://app.gitpod.io"
ACCOUNT = "123456789012"
SUBJECT = "organization_id:o1:project_id:p1"
CLAIMS = {"aud": ["sts.amazonaws.com"], "sub": SUBJECT}
AUD, SUB = "app.gitpod.io:aud", "app.gitpod.io:sub"
FITS = {"StringEquals": {AUD: "sts.amazonaws.com", SUB: SUBJECT}}
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/dev"


def provider(account=ACCOUNT, partition="aws", name="app.gitpod.io"):
    return f"arn:{partition}:iam::{account}:oidc-provider/{name}"


def document(*statements):
    usual = {
        "Effect": "Allow",
        "Principal": {"Federated": provider()},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": FITS,
    }
    return {
        "Version": "2012-10-17",
        "Statement": [{**usual, **each} for each in statements or [{}]],
    }


def checked(*statements, claims=None, issuer=ISSUER, account=ACCOUNT):
    policy = parse_held_policy(json.dumps(document(*statements))).policy
    answers = check_trust(policy, issuer=issuer, claims=claims or CLAIMS, account=account)
    return {answer.action.removeprefix("sts:"): answer for answer in answers}


def outcome(*statements, **given):
    return checked(*statements, **given)["AssumeRoleWithWebIdentity"].outcome


def also(**condition):
    return {"Condition": {**FITS, **condition}}


# Files


@pytest.mark.parametrize(
    "wrapped",
    [
        {"Role": {"RoleName": "dev", "Arn": ROLE_ARN, "AssumeRolePolicyDocument": document()}},
        {"Arn": ROLE_ARN, "AssumeRolePolicyDocument": document()},
        {"Role": {"Arn": ROLE_ARN, "AssumeRolePolicyDocument": quote(json.dumps(document()))}},
    ],
    ids=["get-role", "get-role --query Role", "the API"],
)
def test_what_get_role_prints_is_read_with_the_role_it_is_of(wrapped):
    held = parse_held_policy(json.dumps(wrapped))
    assert held.policy == parse_held_policy(json.dumps(document())).policy
    assert held.role_arn == ROLE_ARN


def test_our_own_json_is_read_too():
    ours = {"provider": {}, "role": {}, "trust_policy": document()}
    held = parse_held_policy(json.dumps(ours))
    assert held == parse_held_policy(json.dumps(document()))
    assert held.role_arn == ""


@pytest.mark.parametrize("text", ["", "[]", "7", '{"Role": 7}', '{"Role": {"AssumeRolePolicyDocument": "x"}}'])  # fmt: skip
def test_another_file_is_refused(text):
    with pytest.raises(TrustPolicyError):
        parse_held_policy(text)


# Principals


def test_a_policy_that_fits_allows():
    assert outcome() is Outcome.ALLOWED


@pytest.mark.parametrize("account", [ACCOUNT, None])
@pytest.mark.parametrize("partition", ["aws", "aws-cn"])
def test_the_provider_may_be_of_any_partition(account, partition):
    fits = {"Principal": {"Federated": provider(partition=partition)}}
    assert outcome(fits, account=account) is Outcome.ALLOWED


@pytest.mark.parametrize(("account", "expected"), [(None, Outcome.ALLOWED), (ACCOUNT, Outcome.REFUSED)])  # fmt: skip
def test_the_account_counts_where_it_is_known(account, expected):
    other = {"Principal": {"Federated": provider("210987654321")}}
    assert outcome(other, account=account) is expected


@pytest.mark.parametrize(
    "name",
    [provider(name="app.gitpod.io/"), provider(name="app-gitpod.io"), provider("ACCOUNT_ID"), "app.gitpod.io"],
)  # fmt: skip
def test_another_name_is_another_provider(name):
    answer = checked({"Principal": {"Federated": name}}, account=None)
    mismatch, *_ = answer["AssumeRoleWithWebIdentity"].verdict.mismatches
    assert (mismatch.key, mismatch.expected) == ("Principal", (name,))


def test_an_issuer_that_is_built_into_iam_is_its_own_principal():
    google = {
        "Principal": {"Federated": "accounts.google.com"},
        "Condition": {"StringEquals": {"accounts.google.com:sub": SUBJECT}},
    }
    assert outcome(google, issuer="https://accounts.google.com") is Outcome.ALLOWED


# Conditions


@pytest.mark.parametrize(
    ("condition", "key"),
    [
        ({"StringEquals": {SUB: "other"}}, SUB),
        ({"StringEquals": {"https://app.gitpod.io:sub": SUBJECT}}, "https://app.gitpod.io:sub"),
        ({"StringEquals": {"app.gitpod.io/:aud": "x"}}, "app.gitpod.io/:aud"),
        ({"Null": {SUB: "true"}}, SUB),
        ({"Bool": {"aws:SecureTransport": "false"}}, "aws:SecureTransport"),
    ],
)
def test_the_condition_that_fails_is_named(condition, key):
    answer = checked({"Condition": condition})["AssumeRoleWithWebIdentity"]
    assert answer.outcome is Outcome.REFUSED
    assert [mismatch.key for mismatch in answer.verdict.mismatches] == [key]


def test_sts_is_asked_over_tls():
    assert outcome(also(Bool={"aws:SecureTransport": "true"})) is Outcome.ALLOWED


ELSEWHERE = {"StringLike": {"aws:SourceVpc": "vpc-1"}}
DENY = {"Effect": "Deny", "Condition": ELSEWHERE}


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([also(**ELSEWHERE)], Outcome.UNDECIDED),
        ([also(StringLikeIfExists=ELSEWHERE["StringLike"])], Outcome.UNDECIDED),
        ([also(Null={"sts:SourceIdentity": "true"})], Outcome.UNDECIDED),
        ([also(StringLike={"app.gitpod.io:project": "p1"})], Outcome.UNDECIDED),
        ([{"Condition": {"StringEquals": {SUB: "x"}, **ELSEWHERE}}], Outcome.REFUSED),
        ([also(**ELSEWHERE), {}], Outcome.ALLOWED),
        ([{}, DENY], Outcome.UNDECIDED),
        ([{}, {**DENY, "Condition": {"StringEquals": {SUB: "x"}, **ELSEWHERE}}], Outcome.ALLOWED),
        ([{"Condition": {"StringEquals": {SUB: "x"}}}, DENY], Outcome.REFUSED),
        ([{}, {"Effect": "Deny", "Condition": {}}, DENY], Outcome.REFUSED),
    ],
)
def test_what_only_aws_knows_is_guessed_neither_way(statements, expected):
    assert outcome(*statements) is expected


def test_the_keys_that_decide_are_named():
    answer = checked(also(**ELSEWHERE))["AssumeRoleWithWebIdentity"]
    assert answer.open_keys == ("aws:SourceVpc",)


@pytest.mark.parametrize(
    ("azp", "expected"),
    [("sts.amazonaws.com", Outcome.ALLOWED), ("somebody", Outcome.UNDECIDED)],
)
def test_an_audience_beside_another_authorized_party_is_not_judged(azp, expected):
    assert outcome(claims={**CLAIMS, "azp": azp}) is expected


# Tags


@pytest.mark.parametrize("claim", ["https://aws.amazon.com/tags", "https://aws.amazon.com/tags/principal_tags/A"])  # fmt: skip
def test_a_token_with_session_tags_needs_a_second_action(claim):
    claims = {**CLAIMS, claim: {}}
    both = ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]
    answers = checked(claims=claims)
    assert [answers[action[4:]].outcome for action in both] == [Outcome.ALLOWED, Outcome.REFUSED]
    allowed = checked({"Action": both}, claims=claims)
    assert {answer.outcome for answer in allowed.values()} == {Outcome.ALLOWED}
