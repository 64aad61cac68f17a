"""[[role]]: each key's limits, and what the keys of one role say of each other."""

import json

import pytest

from imdsd.config import load
from imdsd.errors import ConfigurationError

ARN = "arn:aws:iam::123456789012:role/dev"
OTHER = "arn:aws:iam::210987654321:role/other"
AWS_POLICY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


@pytest.fixture
def role(tmp_path):
    """Return the role that these lines of a [[role]] make."""

    def role(lines, *, arn=ARN, region="us-east-1"):
        path = tmp_path / "config.toml"
        path.write_text(f'[[role]]\narn = "{arn}"\n{lines}')
        config = load(flags={"config": str(path)}, environ={"AWS_REGION": region} if region else {})
        return config.roles[0]

    return role


@pytest.mark.parametrize(
    ("line", "field", "expected"),
    [
        ('name = "team.dev_1-a"', "name", "team.dev_1-a"),
        ('aliases = ["old", "older"]', "aliases", ("old", "older")),
        ("duration_seconds = 900", "duration_seconds", 900),
        ("duration_seconds = 43200", "duration_seconds", 43200),
        ("", "duration_seconds", None),
        ('session_name = "{sub}@{host}"', "session_name", "{sub}@{host}"),
        ("", "session_name", "imdsd-{host}"),
        (f'policy_arns = ["{AWS_POLICY}"]', "policy_arns", (AWS_POLICY,)),
        (f'chain = ["{OTHER}"]', "chain", (OTHER,)),
        (f'chain = ["{OTHER}"]', "duration_seconds", 3600),
        ('sts_endpoint_url = "http://127.0.0.1:80/x"', "sts_endpoint_url", "http://127.0.0.1:80/x"),
        ('allowed_account_ids = ["123456789012"]', "allowed_account_ids", ("123456789012",)),
        ("policy = '{\"Statement\": []}'", "policy", '{"Statement": []}'),
    ],
)
def test_a_sound_value_is_taken(role, line, field, expected):
    assert getattr(role(line), field) == expected


def test_a_session_policy_may_be_written_as_a_table(role):
    policy = role('[role.policy]\nVersion = "2012-10-17"\nStatement = [{ Effect = "Deny" }]').policy
    assert json.loads(policy) == {"Version": "2012-10-17", "Statement": [{"Effect": "Deny"}]}


@pytest.mark.parametrize(
    ("lines", "key", "expected"),
    [
        ('name = "a/b"', "name", "letters"),
        ('name = ".."', "name", "letters"),
        ('aliases = [""]', "aliases[0]", "letters"),
        ('aliases = "old"', "aliases", "list"),
        ("duration_seconds = 899", "duration_seconds", "900 to 43200"),
        ("duration_seconds = 43201", "duration_seconds", "900 to 43200"),
        ("duration_seconds = true", "duration_seconds", "whole number"),
        ("duration_seconds = 1800.5", "duration_seconds", "whole number"),
        ('duration_seconds = "3600"', "duration_seconds", "whole number"),
        (f'duration_seconds = 3601\nchain = ["{OTHER}"]', "duration_seconds", "at most 3600"),
        ('session_name = "{"', "session_name", "template"),
        ('session_name = "my session"', "session_name", "template"),
        (f'chain = ["{ARN}", "nobody"]', "chain[1]", "ARN of a role"),
        ('policy = "{"', "policy", "JSON"),
        ('policy = "[]"', "policy", "Statement"),
        ('policy = "{}"', "policy", "Statement"),
        ("policy = 7", "policy", "IAM policy"),
        ("[role.policy]\nStatement = 1979-05-27", "policy", "IAM policy"),
        (f'policy = \'{{"Statement": "{"x" * 2048}"}}\'', "policy", "2048"),
        (f"policy_arns = {[AWS_POLICY] * 11}", "policy_arns", "at most 10"),
        (f'policy_arns = ["{ARN}"]', "policy_arns[0]", "ARN of a policy"),
        ('sts_endpoint_url = "http://sts.example.com"', "sts_endpoint_url", "https"),
        ('sts_endpoint_url = "https://me:canary@x"', "sts_endpoint_url", "without user"),
        ('sts_endpoint_url = "sts.example.com"', "sts_endpoint_url", "https"),
        ('sts_endpoint_url = "https://x:99999"', "sts_endpoint_url", "https"),
        ("allowed_account_ids = [123456789012]", "allowed_account_ids[0]", "in quotes"),
        ('allowed_account_ids = ["210987654321"]', "arn", "allowed_account_ids"),
        (
            f'allowed_account_ids = ["123456789012"]\nchain = ["{OTHER}"]',
            "chain",
            "allowed_account_ids",
        ),
        ('region = "cn-north-1"', "region", "partition aws"),
        ("default = 1", "default", "true or false"),
        ("token = 1", "token", "a table"),
    ],
)
def test_a_value_that_cannot_be_is_refused_at_its_key(role, lines, key, expected):
    with pytest.raises(ConfigurationError) as caught:
        role(lines)
    (problem,) = caught.value.problems
    assert problem.key == f"role[0].{key}"
    assert expected in problem.expected
    assert "canary" not in str(problem)


def test_a_region_of_another_partition_is_refused_wherever_it_stands(role):
    with pytest.raises(ConfigurationError, match="AWS_REGION: region: found 'us-east-1'"):
        role("", arn=ARN.replace("arn:aws:", "arn:aws-cn:"))


def test_an_endpoint_of_ones_own_may_be_asked_about_any_region(role):
    assert role('sts_endpoint_url = "https://x"', arn=ARN.replace(":aws:", ":aws-cn:")).region


def test_a_partition_without_a_known_region_needs_one(role):
    with pytest.raises(ConfigurationError, match="aws-new has no default"):
        role("", arn=ARN.replace(":aws:", ":aws-new:"), region="")


def test_a_short_session_gets_a_warning():
    flags = {"role_arn": ARN, "duration_seconds": "1799", "region": "us-east-1"}
    assert "1799 s" in load(flags=flags, environ={}, usual=()).warnings[0]
    flags["duration_seconds"] = "1800"
    assert load(flags=flags, environ={}, usual=()).warnings == ()
