"""`imdsd trust`: what it writes, what it warns of, and what it says to a policy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imdsd.cli import main
from tests.fakes.web_identity import SIGNATURE, make_token

ISSUER = "https://app.gitpod.io"
SUBJECT = "organization_id:o1:project_id:p1:environment_id:e1"
ACCOUNT = "123456789012"
ARN = f"arn:aws:iam::{ACCOUNT}:role/team/dev"


@pytest.fixture
def token_file(tmp_path):
    def write(**claims):
        path = tmp_path / "token"
        path.write_text(
            make_token(**{"iss": ISSUER, "sub": SUBJECT, "creator_email": "canary", **claims})
        )
        path.chmod(0o600)
        return str(path)

    return write


@pytest.fixture
def trust(token_file, capsys, tmp_path):
    """Run the verb on a token with these claims; return exit code, stdout and stderr."""

    def run(*words, config="", **claims):
        path = tmp_path / "config.toml"
        path.write_text(config)
        words = ["trust", "--config", str(path), "--token-file", token_file(**claims), *words]
        code = main(words)
        out, err = capsys.readouterr()
        assert "canary" not in out + err
        assert SIGNATURE not in out + err
        return code, out, err

    return run


def written(out):
    return json.loads(out)


# Write


def test_json_is_the_default_and_exact_too(trust):
    code, out, err = trust("--role-arn", ARN)
    document = written(out)
    assert (code, err) == (0, "")
    assert document["provider"] == {"Url": ISSUER, "ClientIDList": ["sts.amazonaws.com"]}
    assert document["role"] == {"RoleName": "dev", "Path": "/team/", "MaxSessionDuration": 3600}
    condition = document["trust_policy"]["Statement"][0]["Condition"]
    assert condition == {
        "StringEquals": {"app.gitpod.io:aud": "sts.amazonaws.com", "app.gitpod.io:sub": SUBJECT}
    }


def test_a_wider_scope_is_warned_of(trust):
    code, out, err = trust("--role-arn", ARN, "--scope", "project")
    condition = written(out)["trust_policy"]["Statement"][0]["Condition"]
    assert condition["StringLike"] == {"app.gitpod.io:sub": "organization_id:o1:project_id:p1:*"}
    warning = "imdsd: warning: the scope project lets in every environment of project p1\n"
    assert (code, err) == (0, warning)


def test_a_scope_that_the_subject_lacks_exits_1(trust):
    subject = "repo:acme/app:ref:refs/heads/main"
    code, out, err = trust("--role-arn", ARN, "--scope", "project", sub=subject)
    assert (code, out) == (1, "")
    assert f"sub is '{subject}'" in err
    assert "choose another scope; exact fits every subject" in err


def test_without_an_account_the_json_has_a_placeholder_and_says_so(trust):
    code, out, err = trust()
    assert "arn:aws:iam::ACCOUNT_ID:oidc-provider/app.gitpod.io" in out
    assert written(out)["role"]["RoleName"] == "imdsd"
    assert (code, err.count("ACCOUNT_ID"), err.count("\n")) == (0, 1, 1)


@pytest.mark.parametrize("form", ["terraform", "cloudformation"])
def test_a_template_needs_no_account(trust, form):
    code, out, err = trust("--format", form)
    assert (code, err, "ACCOUNT_ID" in out) == (0, "", False)


def test_the_script_needs_the_account(trust):
    code, out, err = trust("--format", "cli")
    assert (code, out) == (2, "")
    assert "give --account-id or --role-arn" in err
    code, out, _ = trust("--format", "cli", "--account-id", ACCOUNT)
    assert (code, out.startswith("#!/bin/sh\nset -eu\n"), f"account={ACCOUNT}\n" in out) == (0, True, True)  # fmt: skip


def test_name_and_account_can_be_others_than_the_configured_roles(trust):
    _, out, _ = trust("--role-arn", ARN, "--role-name", "ops", "--account-id", "210987654321")
    document = written(out)
    assert document["role"]["RoleName"] == "ops"
    assert document["role"]["Path"] == "/"
    principal = document["trust_policy"]["Statement"][0]["Principal"]["Federated"]
    assert principal == "arn:aws:iam::210987654321:oidc-provider/app.gitpod.io"


def test_the_partition_is_that_of_the_role(trust):
    role = f"arn:aws-cn:iam::{ACCOUNT}:role/dev"
    _, out, _ = trust("--role-arn", role, "--region", "cn-north-1")
    principal = written(out)["trust_policy"]["Statement"][0]["Principal"]["Federated"]
    assert principal == f"arn:aws-cn:iam::{ACCOUNT}:oidc-provider/app.gitpod.io"


@pytest.mark.parametrize(
    ("config", "words", "seconds"),
    [
        ("", [], 3600),
        ("duration_seconds = 7200", [], 7200),
        ("duration_seconds = 900", [], 3600),
        ("duration_seconds = 7200", ["--max-session-duration", "43200"], 43200),
    ],
)
def test_the_longest_session_follows_the_duration(trust, config, words, seconds):
    _, out, _ = trust(*words, config=f'[[role]]\narn = "{ARN}"\n{config}')
    assert written(out)["role"]["MaxSessionDuration"] == seconds


def run_program(*words, text="", **environ):
    return subprocess.run(
        [sys.executable, "-m", "imdsd", "trust", "--config", "/dev/null", *words],
        env={"PATH": os.defpath, "HOME": "/nowhere", **environ},
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_token_that_cannot_be_minted_again_gets_the_longest_session(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text('[token]\nvariable = "MY_TOKEN"\n')
    done = run_program("--config", str(config), MY_TOKEN=make_token(iss=ISSUER, sub=SUBJECT))
    assert written(done.stdout)["role"]["MaxSessionDuration"] == 43200


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--account-id", "1"], "--account-id is '1', expected 12 digits"),
        (["--role-name", "a b"], "--role-name is 'a b', expected 1 to 64 of"),
        (["--max-session-duration", "60"], "is 60, expected 3600 to 43200"),
        (["--scope", "projcet"], "did you mean project?"),
        (["--format", "yaml"], "invalid choice"),
    ],
)
def test_a_flag_that_cannot_be_is_a_usage_error(trust, words, said):
    code, out, err = trust(*words)
    assert (code, out, said in err) == (2, "", True)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iss": "http://127.0.0.1:4711"}, "expected an https URL"),
        ({"aud": "somebody"}, "aud is 'somebody', expected 'sts.amazonaws.com'"),
        ({"sub": None}, "sub is missing"),
    ],
)
def test_a_token_that_no_provider_would_take_exits_1(trust, claims, said):
    code, out, err = trust("--role-arn", ARN, **claims)
    assert (code, out, said in err) == (1, "", True)


def test_session_tags_are_allowed_where_the_token_has_them(trust):
    _, out, _ = trust("--role-arn", ARN, **{"https://aws.amazon.com/tags": {}})
    action = written(out)["trust_policy"]["Statement"][0]["Action"]
    assert action == ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]


# Check


@pytest.fixture
def policy_file(trust, tmp_path):
    """A function from words of the verb to the file that it writes."""

    def write(*words, **claims):
        path = tmp_path / "policy.json"
        path.write_text(trust("--role-arn", ARN, *words, **claims)[1])
        return str(path)

    return write


def test_what_it_writes_it_lets_in(trust, policy_file):
    code, out, err = trust("--check", policy_file("--scope", "project"))
    assert (code, err) == (0, "")
    assert out == (
        f"iss  {ISSUER}\naud  sts.amazonaws.com\nsub  {SUBJECT}\n"
        "allowed: sts:AssumeRoleWithWebIdentity\n"
    )


def test_a_refusal_says_which_condition_fails(trust, policy_file):
    other = SUBJECT.replace("p1", "p2")
    code, out, err = trust("--check", policy_file("--scope", "project"), sub=other)
    assert (code, err) == (1, "")
    pattern = "organization_id:o1:project_id:p1:*"
    assert out.splitlines()[3:] == [
        "refused: sts:AssumeRoleWithWebIdentity by Statement[0]",
        f"  app.gitpod.io:sub is '{other}', expected (StringLike) '{pattern}'",
        "Change the policy, or write one that fits: imdsd trust",
    ]


def test_a_condition_that_only_aws_can_judge_is_no_success(trust, policy_file):
    path = Path(policy_file())
    document = json.loads(path.read_text())["trust_policy"]
    document["Statement"][0]["Condition"]["StringLike"] = {"aws:SourceVpc": "vpc-*"}
    path.write_text(json.dumps(document))
    code, out, _ = trust("--check", str(path))
    assert code == 1
    assert out.splitlines()[3:] == [
        "undecided: sts:AssumeRoleWithWebIdentity",
        "  it depends on aws:SourceVpc, which only AWS knows",
    ]


def test_the_role_of_the_policy_counts_and_another_configured_one_is_warned_of(trust, tmp_path):
    _, out, _ = trust("--role-arn", ARN)
    role = {"Arn": ARN, "AssumeRolePolicyDocument": json.loads(out)["trust_policy"]}
    path = tmp_path / "role.json"
    path.write_text(json.dumps({"Role": role}))
    other = "arn:aws:iam::210987654321:role/dev"
    code, _, err = trust("--check", str(path), "--role-arn", other)
    assert (code, ARN in err, other in err) == (0, True, True)
    code, _, err = trust("--check", str(path), "--role-arn", ARN, "--account-id", "210987654321")
    assert (code, err) == (1, "")


def test_the_policy_may_come_from_stdin(policy_file, token_file):
    text = Path(policy_file()).read_text()
    done = run_program("--check", "-", "--token-file", token_file(), text=text)
    assert (done.returncode, done.stdout.splitlines()[-1][:7]) == (0, "allowed")


def test_a_subject_that_would_move_the_cursor_is_shown_quoted(trust, policy_file):
    _, out, _ = trust("--check", policy_file(), sub="a\x1b[2Jb")
    assert "\nsub  'a\\x1b[2Jb'\n" in out
    assert "\x1b" not in out


BY_ADDRESS = """{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Condition":
    {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}}"""


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (None, 2, "No such file"),
        ("x" * 70_000, 2, "more than 65536 characters"),
        ("{}", 1, "Statement[0] is absent"),
        (BY_ADDRESS, 1, "'IpAddress'"),
    ],
)
def test_a_file_that_cannot_be_judged_is_named(trust, tmp_path, text, code, said):
    path = tmp_path / "policy.json"
    if text is not None:
        path.write_text(text)
    found, out, err = trust("--check", str(path))
    assert (found, out, said in err) == (code, "", True)


def test_a_policy_that_cannot_be_read_names_its_file(trust, tmp_path):
    path = tmp_path / "policy.json"
    path.write_text("{}")
    code, _, err = trust("--check", str(path))
    assert code == 1
    assert f"--check {path}: trust policy: Statement[0] is absent" in err


@pytest.mark.parametrize("flag", ["--scope=exact", "--format=json", "--max-session-duration=3600"])
def test_a_check_writes_nothing(trust, flag):
    code, _, err = trust("--check", "policy.json", flag)
    assert code == 2
    assert f"{flag.partition('=')[0]} says what to write; --check writes none" in err
