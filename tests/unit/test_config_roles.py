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


# The table of files

HOME = {"HOME": "/home/me"}
FILES = '[[role]]\nname = "{}"\ndefault = {}\narn = "{}"\n[role.files]\n{}\n'


@pytest.fixture
def files(tmp_path):
    """Return the configuration of two roles with these lines in the [role.files] of each."""

    def load_files(first="", second='profile = "other"', *, environ=HOME):
        path = tmp_path / "config.toml"
        one = FILES.format("dev", "true", ARN, first)
        path.write_text(f'region = "us-east-1"\n{one}{FILES.format("b", "false", OTHER, second)}')
        return load(flags={"config": str(path)}, environ=environ)

    return load_files


def test_the_table_alone_has_the_usual_profile_of_the_usual_file_kept_fresh(files):
    found = files().roles[0].files
    assert (str(found.credentials_file), found.profile) == (
        "/home/me/.aws/credentials", "imdsd-dev",
    )  # fmt: skip
    named = files(environ={**HOME, "AWS_SHARED_CREDENTIALS_FILE": "/run/c"}).roles[0].files
    assert str(named.credentials_file) == "/run/c"


def test_a_role_without_the_table_has_no_file(role):
    assert role("").files is None


def test_both_keys_are_taken(files):
    found = files('credentials_file = "~/x"\nprofile = "a.b/c"').roles[0].files
    assert (str(found.credentials_file), found.profile) == ("/home/me/x", "a.b/c")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('profile = "a b"', "files.profile: found 'a b', expected 1 to 128 .*; the nearest is a-b"),
        ('profile = "DEFAULT"', "the nearest is default"),
        ("profile = 1", "files.profile: found 1, expected a text in quotes"),
        ('credentials_file = "x"', "files.credentials_file: found 'x', expected an absolute path"),
        ('profil = "x"', r"files.profil: found an unknown key, expected a key of \[role.files\]; did you mean profile"),
        ('profile = "other"', r"role\[1\].files.profile: found the profile of role dev, 'other', expected"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_key(files, line, told):
    with pytest.raises(ConfigurationError, match=told):
        files(line)


def test_without_a_home_the_file_must_be_named(files):
    with pytest.raises(ConfigurationError, match=r"credentials_file: found nothing, .*HOME is not"):
        files(environ={})
    both = 'credentials_file = "/run/c"'
    assert files(both, f'{both}\nprofile = "b"', environ={}).roles


def test_the_profile_default_is_warned_of(files):
    assert "SDKs take before the daemon" in files('profile = "default"').warnings[0]
    assert files().warnings == ()
