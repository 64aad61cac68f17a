"""Trust policies: what they let in, what they keep out and why, and what is no policy at all."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.trust import (
    PrincipalKind,
    TrustPolicyError,
    TrustRequest,
    is_like,
    judge,
    parse_trust_policy,
    provider_arn,
    provider_name,
    web_identity_request,
    write_trust_policy,
)

ISSUER = "https://app.gitpod.io"
ACCOUNT = "123456789012"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/app.gitpod.io"
CLAIMS = {"aud": ["sts.amazonaws.com"], "sub": "organization_id:o1:project_id:p1"}
AUD, SUB = "app.gitpod.io:aud", "app.gitpod.io:sub"


def statement(condition=None, **fields):
    return {
        "Effect": "Allow",
        "Principal": {"Federated": PROVIDER},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": condition or {},
        **fields,
    }


def policy(*statements):
    return parse_trust_policy(json.dumps({"Version": "2012-10-17", "Statement": statements}))


def judged(*statements, claims=None):
    request = web_identity_request(ISSUER, claims or CLAIMS, account=ACCOUNT)
    return judge(policy(*statements), request)


def test_a_written_policy_lets_its_own_claims_in():
    text = write_trust_policy(
        account=ACCOUNT,
        issuer=ISSUER,
        audience="sts.amazonaws.com",
        subject="organization_id:o1:*",
    )
    request = web_identity_request(ISSUER, CLAIMS, account=ACCOUNT)
    assert judge(parse_trust_policy(text), request).allowed


@pytest.mark.parametrize(
    ("subject", "operator"), [("org:o1/*", "StringLike"), ("org:o1/prj:p1", "StringEquals")]
)
def test_a_written_policy_compares_exactly_unless_the_subject_has_wildcards(subject, operator):
    text = write_trust_policy(account=ACCOUNT, issuer=ISSUER, audience="a", subject=subject)
    condition = json.loads(text)["Statement"][0]["Condition"]
    assert condition[operator][SUB] == subject
    assert condition["StringEquals"][AUD] == "a"


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_a_written_policy_names_the_provider_in_its_partition(partition):
    text = write_trust_policy(
        account=ACCOUNT, issuer=ISSUER, audience="a", subject="s", partition=partition
    )
    principal = json.loads(text)["Statement"][0]["Principal"]
    assert principal == {"Federated": f"arn:{partition}:iam::{ACCOUNT}:oidc-provider/app.gitpod.io"}


@pytest.mark.parametrize(
    ("issuer", "name"),
    [
        ("https://app.gitpod.io", "app.gitpod.io"),
        ("https://tenant.example/", "tenant.example/"),
        (
            "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC",
            "oidc.eks.eu-west-1.amazonaws.com/id/ABC",
        ),
        ("http://127.0.0.1:4711", "127.0.0.1:4711"),
        ("app.gitpod.io", "app.gitpod.io"),
    ],
)
def test_a_provider_is_named_by_host_and_path(issuer, name):
    assert provider_name(issuer) == name
    assert provider_arn(issuer, account=ACCOUNT).endswith(f":oidc-provider/{name}")


texts = st.text(st.characters(codec="utf-8", exclude_characters="*?"), min_size=1, max_size=20)


@given(audience=texts, subject=texts, other=texts)
def test_a_written_policy_lets_in_one_audience_and_subject_and_no_other(audience, subject, other):
    parsed = parse_trust_policy(
        write_trust_policy(account=ACCOUNT, issuer=ISSUER, audience=audience, subject=subject)
    )

    def allowed(**claims):
        return judge(parsed, web_identity_request(ISSUER, claims, account=ACCOUNT)).allowed

    assert allowed(aud=audience, sub=subject)
    assert allowed(aud=audience, sub=other) == (other == subject)
    assert allowed(aud=other, sub=subject) == (other == audience)


@pytest.mark.parametrize(
    ("operator", "key", "values", "allowed"),
    [
        ("StringEquals", AUD, "sts.amazonaws.com", True),
        ("StringEquals", AUD, ["other", "sts.amazonaws.com"], True),
        ("StringEquals", AUD, "STS.amazonaws.com", False),
        ("StringEquals", SUB, "organization_id:o1:*", False),
        ("StringEquals", "APP.GITPOD.IO:AUD", "sts.amazonaws.com", True),
        ("StringEqualsIgnoreCase", AUD, "STS.Amazonaws.com", True),
        ("StringNotEqualsIgnoreCase", AUD, "STS.Amazonaws.com", False),
        ("StringNotEquals", SUB, "somebody", True),
        ("StringNotEquals", SUB, ["somebody", "organization_id:o1:project_id:p1"], False),
        ("StringLike", SUB, "organization_id:o?:project_id:*", True),
        ("StringLike", SUB, "organization_id:[o]1:*", False),
        ("StringNotLike", SUB, "organization_id:o2:*", True),
        ("StringNotLike", SUB, "organization_id:*", False),
        ("StringEquals", "app.gitpod.io:amr", "x", False),
        ("StringEqualsIfExists", "app.gitpod.io:amr", "x", True),
        ("StringEqualsIfExists", AUD, "x", False),
        ("StringNotEquals", "app.gitpod.io:amr", "x", True),
        ("ForAnyValue:StringEquals", AUD, "sts.amazonaws.com", True),
        ("ForAnyValue:StringEqualsIfExists", "app.gitpod.io:amr", "x", False),
        ("ForAllValues:StringEquals", "app.gitpod.io:amr", "x", True),
        ("Null", AUD, "false", True),
        ("Null", AUD, "true", False),
        ("Null", "app.gitpod.io:amr", "true", True),
        ("Null", "app.gitpod.io:amr", ["False"], False),
        ("Null", AUD, False, True),
        ("Bool", AUD, "true", False),
        ("Bool", "app.gitpod.io:amr", "true", False),
        ("BoolIfExists", "app.gitpod.io:amr", True, True),
        ("StringEquals", AUD, "sts${?}amazonaws.com", False),
        ("StringLike", SUB, "organization_id${*}", False),
    ],
)
def test_an_operator_judges_as_iam_does(operator, key, values, allowed):
    assert judged(statement({operator: {key: values}})).allowed is allowed


@pytest.mark.parametrize(
    ("operator", "allowed"),
    [
        ("StringEquals", True),
        ("StringNotEquals", False),
        ("ForAnyValue:StringEquals", True),
        ("ForAllValues:StringEquals", False),
        ("ForAnyValue:StringNotEquals", True),
        ("ForAllValues:StringNotEquals", False),
    ],
)
def test_an_operator_judges_several_audiences_as_iam_does(operator, allowed):
    claims = {**CLAIMS, "aud": ["one", "two"]}
    assert judged(statement({operator: {AUD: "one"}}), claims=claims).allowed is allowed


@pytest.mark.parametrize(("found", "allowed"), [("true", True), ("false", False)])
def test_a_truth_is_compared_without_its_case(found, allowed):
    request = web_identity_request(ISSUER, CLAIMS, account=ACCOUNT)
    request = replace(request, context={"aws:SecureTransport": (found,)})
    parsed = policy(statement({"Bool": {"aws:SecureTransport": "True"}}))
    assert judge(parsed, request).allowed is allowed


@pytest.mark.parametrize("operator", ["StringEquals", "StringLike"])
@pytest.mark.parametrize(
    ("written", "subject"), [("a${*}b", "a*b"), ("a${?}b", "a?b"), ("${$}{x}", "${x}")]
)
def test_a_marked_character_stands_for_itself(operator, written, subject):
    condition = statement({operator: {SUB: written}})
    assert judged(condition, claims={"aud": "a", "sub": subject}).allowed
    assert not judged(condition, claims={"aud": "a", "sub": "axb"}).allowed


def test_a_policy_variable_is_refused_by_name():
    with pytest.raises(TrustPolicyError, match=re.escape("'${aws:username}'")):
        policy(statement({"StringEquals": {SUB: "${aws:username}"}}))


@pytest.mark.parametrize("value", ["yes", 1, [], [True, "x"], None, ["true", 0]])
@pytest.mark.parametrize("operator", ["Null", "Bool"])
def test_what_is_neither_true_nor_false_is_refused(operator, value):
    with pytest.raises(TrustPolicyError, match="expected true or false"):
        policy(statement({operator: {AUD: value}}))


@pytest.mark.parametrize(
    "action", ["sts:*", "*", "STS:assumerolewithwebidentity", ["sts:TagSession", "sts:Assume*"]]
)
def test_an_action_may_be_a_pattern(action):
    assert judged(statement(Action=action)).allowed


def test_a_refusal_names_key_found_and_expected():
    verdict = judged(statement({"StringEquals": {AUD: "other", SUB: ["a", "b"]}}))
    assert [mismatch.key for mismatch in verdict.mismatches] == [AUD, SUB]
    assert str(verdict) == (
        f"{AUD} is 'sts.amazonaws.com', expected (StringEquals) 'other'; "
        f"{SUB} is 'organization_id:o1:project_id:p1', expected (StringEquals) 'a' or 'b'"
    )


def test_a_refusal_says_that_a_key_is_absent():
    verdict = judged(statement({"StringEquals": {"app.gitpod.io:amr": "x"}}))
    assert str(verdict) == "app.gitpod.io:amr is absent, expected (StringEquals) 'x'"


def test_another_action_and_another_principal_are_named():
    verdict = judged(statement(Action="sts:AssumeRole", Principal={"Federated": "arn:other"}))
    assert {mismatch.key for mismatch in verdict.mismatches} == {"Action", "Principal"}


def test_a_refusal_speaks_of_the_statement_that_came_nearest():
    near = statement({"StringEquals": {AUD: "other"}})
    far = statement({"StringEquals": {AUD: "other", SUB: "other"}})
    foreign = statement(Principal={"Federated": "arn:other"})
    verdict = judged(foreign, far, near)
    assert [mismatch.key for mismatch in verdict.mismatches] == [AUD]
    assert verdict.statement == "Statement[2]"


def test_one_statement_that_allows_is_enough():
    assert judged(statement({"StringEquals": {AUD: "other"}}), statement()).allowed


def test_a_deny_that_applies_wins_and_is_named():
    deny = statement({"StringLike": {SUB: "*:p1"}}, Effect="Deny", Sid="NotThisProject")
    verdict = judged(statement(), deny)
    assert not verdict.allowed
    assert str(verdict) == "Effect is 'Deny in NotThisProject', expected 'Allow'"


def test_a_deny_that_does_not_apply_changes_nothing():
    assert judged(statement({"StringLike": {SUB: "*:p2"}}, Effect="Deny"), statement()).allowed


def test_a_policy_without_allow_lets_nobody_in():
    verdict = judged(statement({"StringLike": {SUB: "*:p2"}}, Effect="Deny"))
    assert [mismatch.key for mismatch in verdict.mismatches] == ["Effect"]


def test_everybody_is_a_principal():
    assert judged(statement(Principal="*")).allowed
    assert not judged(statement(Principal={"AWS": "*"})).allowed


def test_an_account_may_be_meant_by_any_of_its_names():
    request = TrustRequest(
        action="sts:AssumeRole",
        kind=PrincipalKind.AWS,
        names=("arn:aws:sts::1:assumed-role/a/s", "arn:aws:iam::1:root", "1"),
        context={},
    )
    for name in request.names:
        assert judge(
            policy(statement(Principal={"AWS": name}, Action="sts:AssumeRole")), request
        ).allowed
    other = policy(statement(Principal={"AWS": "2"}, Action="sts:AssumeRole"))
    assert not judge(other, request).allowed


def test_a_service_is_a_principal_that_no_token_can_be():
    parsed = policy(statement(Principal={"Service": "ec2.amazonaws.com"}))
    assert parsed.statements[0].principals == ()


def test_claims_that_are_no_texts_match_nothing():
    claims = {"aud": 7, "sub": None}
    assert not judged(statement({"StringLike": {AUD: "*"}}), claims=claims).allowed


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ("", "the document"),
        ("[]", "the document"),
        ('{"Statement": [], "Version": "2012-10-17"}', "Statement"),
        ('{"Version": "2012-10-17"}', r"Statement\[0\]"),
        ('{"Statement": 7}', r"Statement\[0\]"),
        ('{"Statement": {"Effect": "allow"}}', r"Statement\[0\].Effect"),
        ('{"Statement": {"Effect": "Allow"}}', r"Statement\[0\].Principal"),
        ('{"Statement": {"Effect": "Allow", "Principal": {"AWS": []}}}', r"Principal.AWS"),
        ('{"Statement": {"Effect": "Allow", "Principal": {"AWS": [1]}}}', r"Principal.AWS"),
        ('{"Statement": {"Effect": "Allow", "NotPrincipal": "*"}}', "NotPrincipal"),
        ('{"Statement": {"Effect": "Allow", "Effect": "Deny"}}', "'Effect' twice"),
        ('{"Statements": {}}', "Statements"),
        ("[" * 100_000, "the document"),
    ],
)
def test_what_is_no_trust_policy_is_refused_with_its_place(document, where):
    with pytest.raises(TrustPolicyError, match=where):
        parse_trust_policy(document)


@pytest.mark.parametrize(
    "operator", ["IpAddress", "NumericEquals", "StringLikes", "stringlike", "NullIfExists", ""]
)
def test_a_condition_that_cannot_be_judged_is_refused_by_name(operator):
    with pytest.raises(TrustPolicyError, match=re.escape(repr(operator))):
        policy(statement({operator: {AUD: "x"}}))


@given(st.text(), st.text())
def test_a_text_is_like_itself_between_stars(text, around):
    plain = text.replace("*", "").replace("?", "")
    assert is_like(around + plain + around, f"*{plain}*")
    assert is_like(plain, "?" * len(plain))
    assert is_like(plain, plain)


@given(st.text("ab*?.[]\\", max_size=8), st.text("ab.[]\\", max_size=8))
def test_likeness_agrees_with_the_plain_definition(pattern, value):
    assert is_like(value, pattern) == _by_definition(value, pattern)


def test_a_pattern_full_of_stars_is_judged_all_the_same():
    assert not is_like("a" * 5000, "a*" * 500 + "b")
    assert is_like("a" * 5000 + "b", "a*" * 500 + "b")


def _by_definition(value, pattern):
    if not pattern:
        return not value
    if pattern[0] == "*":
        return any(_by_definition(value[start:], pattern[1:]) for start in range(len(value) + 1))
    return bool(value) and pattern[0] in ("?", value[0]) and _by_definition(value[1:], pattern[1:])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["Statement", "Effect", "Principal", "Action", "Condition", "AWS"])
                | st.text(),
                inner,
            )
        ),
    )
)
def test_any_json_is_a_policy_or_refused_as_one(value):
    with contextlib.suppress(TrustPolicyError):
        parse_trust_policy(json.dumps({"Statement": value}))
