"""Scopes: how much of a subject each keeps, and that no other organization's ever fits."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imdsd.errors import ClaimsError
from imdsd.trust import (
    Scope,
    TrustSetup,
    judge,
    parse_trust_policy,
    subject_rule,
    web_identity_request,
)

ISSUER = "https://app.gitpod.io"
ACCOUNT = "123456789012"
AUDIENCE = "sts.amazonaws.com"

# Often the same, or one the beginning of another: that is where a pattern could go wrong.
identifiers = st.sampled_from(["a", "b", "ab", "a.b", "a-b"]) | st.from_regex(
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,9}", fullmatch=True
)
names = st.tuples(identifiers, identifiers, identifiers)


def version_2(organization, project, environment, rest=""):
    return f"org:{organization}/prj:{project}/env:{environment}{rest and '/' + rest}"


def version_3(organization, project, environment, rest=""):
    fields = f"organization_id:{organization}:project_id:{project}:environment_id:{environment}"
    return fields + (rest and ":" + rest)


forms = st.sampled_from([version_2, version_3])


def lets_in(subject, scope, other):
    """Whether the policy written for one subject lets in another one."""
    setup = TrustSetup(ISSUER, AUDIENCE, subject_rule(subject, scope), "dev", account=ACCOUNT)
    policy = parse_trust_policy(json.dumps(setup.policy(setup.provider_arn)))
    claims = {"aud": AUDIENCE, "sub": other}
    return judge(policy, web_identity_request(ISSUER, claims, account=ACCOUNT)).allowed


@pytest.mark.parametrize(
    ("subject", "scope", "operator", "value"),
    [
        (version_2("o", "p", "e"), "organization", "StringLike", "org:o/*"),
        (version_2("o", "p", "e"), "project", "StringLike", "org:o/prj:p/*"),
        (version_2("o", "p", "e"), "environment", "StringEquals", "org:o/prj:p/env:e"),
        (version_2("o", "p", "e"), "exact", "StringEquals", "org:o/prj:p/env:e"),
        (version_2("o", "p", "e", "x:1"), "environment", "StringLike", "org:o/prj:p/env:e/*"),
        ("org:o/env:e", "environment", "StringEquals", "org:o/env:e"),
        (version_3("o", "p", "e"), "organization", "StringLike", "organization_id:o:*"),
        (version_3("o", "p", "e"), "project", "StringLike", "organization_id:o:project_id:p:*"),
        (version_3("o", "p", "e"), "environment", "StringEquals", version_3("o", "p", "e")),
        (
            version_3("o", "p", "e", "creator_email:a@b"),
            "environment",
            "StringLike",
            version_3("o", "p", "e") + ":*",
        ),
        (
            "organization_id:o:project_id:p",
            "project",
            "StringEquals",
            "organization_id:o:project_id:p",
        ),
        ("repo:o/r:ref:refs/heads/main", "exact", "StringEquals", "repo:o/r:ref:refs/heads/main"),
        ("a*b?${c}", "exact", "StringEquals", "a*b?${$}{c}"),
    ],
)
def test_a_scope_keeps_the_head_of_a_subject(subject, scope, operator, value):
    assert subject_rule(subject, Scope(scope)).condition == (operator, value)


@pytest.mark.parametrize(
    ("subject", "scope"),
    [
        ("repo:o/r:ref:refs/heads/main", "organization"),
        ("project_path:g/p:ref_type:branch:ref:main", "project"),
        ("system:serviceaccount:default:app", "environment"),
        ("organization_id:o:project_id:p", "environment"),
        ("organization_id:o:project_id::environment_id:e", "project"),
        ("organization_id:o:creator_name:x:project_id:p", "project"),
        ("project_id:p:organization_id:o", "organization"),
        ("x:organization_id:o:project_id:p", "organization"),
        ("org:o", "project"),
        ("org:/prj:p/env:e", "organization"),
        ("org:o prj:p", "organization"),
        ("organization_id:*:project_id:p", "organization"),
        ("", "organization"),
    ],
)
def test_a_scope_that_a_subject_does_not_name_is_refused(subject, scope):
    with pytest.raises(ClaimsError, match=f"for the scope {scope}; choose another scope"):
        subject_rule(subject, Scope(scope))


@pytest.mark.parametrize(
    ("subject", "scope", "warning"),
    [
        (version_2("o", "p", "e"), "organization", "every environment of organization o"),
        (version_3("o", "p", "e"), "project", "every environment of project p"),
        (version_3("o", "p", "e", "x:1"), "environment", "every token of environment e"),
        (
            "organization_id:o:project_id:p",
            "exact",
            "names no environment: every environment of project p",
        ),
        ("organization_id:o:project_id:p", "project", "every environment of project p"),
        ("org:o", "exact", "every environment of organization o"),
    ],
)
def test_whoever_else_is_let_in_is_told(subject, scope, warning):
    assert warning in subject_rule(subject, Scope(scope)).warning


@pytest.mark.parametrize(
    ("subject", "scope"),
    [
        (version_2("o", "p", "e"), "exact"),
        (version_3("o", "p", "e"), "environment"),
        (version_3("o", "p", "e", "x:1"), "exact"),
        ("repo:o/r:ref:refs/heads/main", "exact"),
    ],
)
def test_one_environment_alone_needs_no_warning(subject, scope):
    assert subject_rule(subject, Scope(scope)).warning == ""


@given(forms, names, names, st.sampled_from(list(Scope)))
def test_a_scope_lets_in_what_it_names_and_nothing_else(form, own, other, scope):
    kept = {Scope.ORGANIZATION: 1, Scope.PROJECT: 2}.get(scope, 3)
    assert lets_in(form(*own), scope, form(*own))
    assert lets_in(form(*own), scope, form(*other)) == (own[:kept] == other[:kept])


@given(forms, names, names, st.text(max_size=30), st.sampled_from(list(Scope)))
def test_no_text_lets_another_organization_in(form, own, other, text, scope):
    assume(own[0] != other[0])
    subject = form(*own)
    for crafted in (
        form(*other, text),
        form(*other, subject),
        form(other[0], text, subject),
        form(*other) + subject,
    ):
        assert not lets_in(subject, scope, crafted)


@given(st.text(min_size=1, max_size=40), st.text(max_size=40))
def test_exact_lets_in_one_subject_whatever_is_in_it(subject, other):
    assert lets_in(subject, Scope.EXACT, subject)
    assert lets_in(subject, Scope.EXACT, other) == (subject == other)


@given(st.text("ab*?${}", min_size=1, max_size=8), st.text("ab*?${}", max_size=8))
def test_exact_knows_no_wildcards(subject, other):
    assert lets_in(subject, Scope.EXACT, other) == (subject == other)
