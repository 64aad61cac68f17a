"""The forms a trust set-up is written in: each says the same, whatever is in the claims."""

from __future__ import annotations

import json
import re
import subprocess

import hcl2
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from imdsd.errors import ClaimsError
from imdsd.trust import (
    Scope,
    TrustSetup,
    actions_of,
    as_cloudformation,
    as_json,
    as_script,
    as_terraform,
    check_issuer,
    subject_rule,
)

ISSUER = "https://app.gitpod.io"
ACCOUNT = "123456789012"
SUBJECT = "organization_id:o1:project_id:p1:environment_id:e1"
NASTY = "a'b\"c`d$(id)${x}${*}%{y}*?\\\n\t\x7f\x00é\U0001f600 EOF {{x}} \\`"


def setup_of(subject=SUBJECT, scope=Scope.EXACT, **fields):
    given_fields = {"account": ACCOUNT, **fields}
    return TrustSetup(
        ISSUER, "sts.amazonaws.com", subject_rule(subject, scope), "dev", **given_fields
    )


def policy_of(setup):
    return setup.policy(setup.provider_arn)


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30) | st.just(NASTY)


# JSON


def test_json_has_what_the_operations_of_iam_take():
    setup = setup_of(scope=Scope.PROJECT, role_path="/team/", max_session_seconds=7200)
    assert json.loads(as_json(setup)) == {
        "provider": {"Url": ISSUER, "ClientIDList": ["sts.amazonaws.com"]},
        "role": {"RoleName": "dev", "Path": "/team/", "MaxSessionDuration": 7200},
        "trust_policy": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {
                        "Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/app.gitpod.io"
                    },
                    "Action": "sts:AssumeRoleWithWebIdentity",
                    "Condition": {
                        "StringEquals": {"app.gitpod.io:aud": "sts.amazonaws.com"},
                        "StringLike": {"app.gitpod.io:sub": "organization_id:o1:project_id:p1:*"},
                    },
                }
            ],
        },
    }
    assert setup.role_arn == f"arn:aws:iam::{ACCOUNT}:role/team/dev"


def test_an_account_that_nobody_named_has_a_placeholder():
    assert "arn:aws:iam::ACCOUNT_ID:oidc-provider/app.gitpod.io" in as_json(setup_of(account=None))


# The script


def assigned(script):
    """The variables that a script sets before it asks anybody anything, as a shell has them."""
    head, _, _ = script.partition("say()")
    names = [
        "account",
        "provider_arn",
        "provider",
        "audience",
        "role",
        "trust",
        "session",
        "policy",
    ]
    tail = "".join(f"printf '%s\\0' \"${name}\"\n" for name in names)
    done = subprocess.run(["sh"], input=(head + tail).encode(), capture_output=True, check=True)
    return dict(zip(names, done.stdout.decode("ascii").split("\0"), strict=False))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts)
def test_a_shell_reads_every_subject_as_it_is(subject):
    setup = setup_of(subject)
    found = assigned(as_script(setup))
    assert json.loads(found["policy"]) == policy_of(setup)
    role = json.loads(found["role"])
    assert json.loads(role.pop("AssumeRolePolicyDocument")) == policy_of(setup)
    assert role == setup.role_input
    assert json.loads(json.loads(found["trust"])["PolicyDocument"]) == policy_of(setup)
    assert json.loads(found["provider"]) == setup.provider_input
    # What a JMESPath literal would end at.
    assert "`" not in found["policy"]


def test_a_shell_finds_no_fault_in_the_script():
    checked = subprocess.run(
        ["sh", "-n"], input=as_script(setup_of(NASTY)), text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


# Terraform


TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[A-Za-z]+(?= =)|local\.provider_arn|=', re.DOTALL)


def terraform_policy(text):
    """The trust policy of the role in a configuration, which an HCL parser has taken apart."""
    role = next(each for each in hcl2.loads(text)["resource"] if '"aws_iam_role"' in each)
    encoded = role['"aws_iam_role"']['"imdsd"']["assume_role_policy"]
    expression = encoded.removeprefix("${jsonencode(").removesuffix(")}")
    return json.loads(TOKEN.sub(lambda found: as_json_token(found[0]), expression))


def as_json_token(token):
    if token == "=":
        return ":"
    return json.dumps(unquoted(token) if token.startswith('"') else token)


def unquoted(text):
    """What Terraform makes of a quoted text without templates."""
    assert (text[0], text[-1]) == ('"', '"')
    literal = text[1:-1].replace("$${", "${").replace("%%{", "%{")
    escapes = {"\\\\": "\\", '\\"': '"'}
    plain, rest = "", literal
    while rest:
        if rest[:2] in escapes:
            plain, rest = plain + escapes[rest[:2]], rest[2:]
        elif rest[:2] in {"\\u", "\\U"}:
            width = 4 if rest[1] == "u" else 8
            plain, rest = plain + chr(int(rest[2 : 2 + width], 16)), rest[2 + width :]
        else:
            assert rest[0] not in '\\"'
            plain, rest = plain + rest[0], rest[1:]
    return plain


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts)
def test_terraform_has_the_same_policy(subject):
    setup = setup_of(subject, account=None)
    assert terraform_policy(as_terraform(setup)) == setup.policy("local.provider_arn")


def test_terraform_has_provider_and_role():
    setup = setup_of(scope=Scope.PROJECT, role_path="/team/", max_session_seconds=7200)
    read = hcl2.loads(as_terraform(setup))
    provider, role = (block for each in read["resource"] for block in each.values())
    made = {**provider['"issuer"'], **role['"imdsd"']}
    assert (made["url"], made["client_id_list"]) == (f'"{ISSUER}"', ['"sts.amazonaws.com"'])
    assert (made["name"], made["path"]) == ('"dev"', '"/team/"')
    assert made["max_session_duration"] == 7200
    assert "thumbprint_list" not in made


# CloudFormation


def resolved(value, *, exists):
    """What CloudFormation makes of the few functions that we use."""
    if isinstance(value, list):
        return [resolved(item, exists=exists) for item in value]
    if not isinstance(value, dict):
        return value
    if "Fn::If" in value:
        return resolved(value["Fn::If"][2 if exists else 1], exists=exists)
    if "Fn::Sub" in value:
        names = {"${AWS::Partition}": "aws", "${AWS::AccountId}": ACCOUNT}
        text = value["Fn::Sub"]
        for name, filled in names.items():
            text = text.replace(name, filled)
        return text
    if "Ref" in value:
        return f"the ARN of {value['Ref']}"
    return {key: resolved(item, exists=exists) for key, item in value.items()}


@given(texts)
def test_cloudformation_has_the_same_policy(subject):
    assume("{{resolve:" not in subject)
    setup = setup_of(subject, account=None, max_session_seconds=7200)
    resources = json.loads(as_cloudformation(setup))["Resources"]
    role = resolved(resources["Role"]["Properties"], exists=True)
    assert role.pop("AssumeRolePolicyDocument") == policy_of(setup_of(subject))
    assert role == setup.role_input
    made = resolved(resources["Role"]["Properties"], exists=False)["AssumeRolePolicyDocument"]
    assert made["Statement"][0]["Principal"] == {"Federated": "the ARN of Provider"}


def test_what_cloudformation_would_fill_in_is_refused():
    with pytest.raises(ClaimsError, match="choose another format"):
        as_cloudformation(setup_of("{{resolve:ssm:secret}}"))


# What is put in


@pytest.mark.parametrize(
    ("names", "actions"),
    [
        (["sub"], []),
        (["https://aws.amazon.com/tags"], ["sts:TagSession"]),
        (["https://aws.amazon.com/tags/principal_tags/Team"], ["sts:TagSession"]),
        (["https://aws.amazon.com/tagsoup"], []),
        (["https://aws.amazon.com/source_identity"], ["sts:SetSourceIdentity"]),
    ],
)
def test_what_a_token_asks_for_beside_a_session_is_allowed_too(names, actions):
    expected = ("sts:AssumeRoleWithWebIdentity", *actions)
    assert actions_of(names) == expected
    allowed = policy_of(setup_of(actions=expected))["Statement"][0]["Action"]
    assert allowed == (list(expected) if actions else expected[0])


@pytest.mark.parametrize(
    "issuer", ["http://127.0.0.1:1", "app.gitpod.io", "https://a/b?c=d", "https://a b", "", "https://" + "a" * 250]
)  # fmt: skip
def test_an_issuer_that_iam_would_not_take_is_refused(issuer):
    with pytest.raises(ClaimsError, match="iss is "):
        check_issuer(issuer)


@pytest.mark.parametrize(
    "issuer",
    [
        "https://token.actions.githubusercontent.com",
        "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC",
        "https://tenant.example/",
    ],
)
def test_an_issuer_that_iam_takes_needs_no_warning(issuer):
    assert check_issuer(issuer) == ""


def test_an_issuer_with_a_port_is_warned_of():
    assert "without a port" in check_issuer("https://issuer.example:8443/a")
