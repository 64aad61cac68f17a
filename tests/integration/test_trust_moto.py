"""What `imdsd trust` writes, in an account: moto's, which the AWS CLI fills as it would AWS's."""

from __future__ import annotations

import json

import pytest

from tests.fakes.web_identity import make_token
from tests.support import BIN, scrubbed_environ

ACCOUNT = "123456789012"  # whose moto says everybody's credentials are
MOTO = "http://127.0.0.1:5001"
NASTY = "a'b\"c`d$(id)${x}${*}%{y}*?\\\n é EOF"
SUBJECTS = {
    "Ona's version 2": ("org:o1/prj:p1/env:e1", "project"),
    "Ona's version 3": ("organization_id:o1:project_id:p1:environment_id:e1", "organization"),
    "GitHub's": ("repo:acme/app:ref:refs/heads/main", "exact"),
    "nobody's": (NASTY, "exact"),
}


@pytest.fixture(scope="module")
def moto(house, tmp_path_factory):
    """The environment of an administrator whose AWS is moto."""
    directory = tmp_path_factory.mktemp("moto")
    log = directory / "moto.log"
    environ = scrubbed_environ(
        directory,
        AWS_ENDPOINT_URL=MOTO,
        AWS_ACCESS_KEY_ID="administrator",
        AWS_SECRET_ACCESS_KEY="secret",
        AWS_DEFAULT_REGION="eu-central-1",
    )
    words = (BIN / "moto_server", "-H", "127.0.0.1", "-p", "5001")
    patience = ("--retry", "60", "--retry-delay", "1", "--retry-connrefused")
    with house.running(*words, environ=environ, stdout=log, stderr=log):
        house.run("curl", "-fsS", *patience, f"{MOTO}/moto-api/", environ=environ)
        yield environ


@pytest.fixture
def account(house, moto):
    """An account with nothing in it, as a function that asks it by the AWS CLI."""
    house.run("curl", "-fsS", "-X", "POST", f"{MOTO}/moto-api/reset", environ=moto)

    def ask(*words):
        done = house.run(BIN / "aws", *words, "--output", "json", environ=moto)
        return json.loads(done.stdout or "null")

    return ask


@pytest.fixture
def trust(house, moto, tmp_path):
    """A function from words of the verb, and claims, to what it prints."""

    def write(*words, **claims):
        token = tmp_path / "token"
        token.write_text(make_token(**{"iss": "https://app.gitpod.io", **claims}))
        token.chmod(0o600)
        usual = ("--config", "/dev/null", "--token-file", token, "--account-id", ACCOUNT)
        return house.run(BIN / "imdsd", "trust", *usual, *words, environ=moto).stdout

    return write


@pytest.fixture
def run_script(house, moto, tmp_path):
    """A function that runs a script as an administrator would."""

    def run(text, **environ):
        script = tmp_path / "script"
        script.write_text(text)
        return house.try_run("sh", script, environ={**moto, **environ})

    return run


def in_account(ask):
    role = ask("iam", "get-role", "--role-name", "dev")["Role"]
    (listed,) = ask("iam", "list-open-id-connect-providers")["OpenIDConnectProviderList"]
    arn = listed["Arn"]
    provider = ask("iam", "get-open-id-connect-provider", "--open-id-connect-provider-arn", arn)
    return role, arn, provider


@pytest.mark.parametrize(("subject", "scope"), SUBJECTS.values(), ids=SUBJECTS)
def test_the_script_makes_provider_and_role(account, trust, run_script, subject, scope):
    words = ("--role-name", "dev", "--scope", scope, "--max-session-duration", "7200")
    wanted = json.loads(trust(*words, sub=subject))
    done = run_script(trust(*words, "--format", "cli", sub=subject))
    assert (done.returncode, done.stdout) == (0, f"arn:aws:iam::{ACCOUNT}:role/dev\n"), done.stderr
    role, arn, provider = in_account(account)
    assert role["AssumeRolePolicyDocument"] == wanted["trust_policy"]
    assert (role["RoleName"], role["MaxSessionDuration"]) == ("dev", 7200)
    assert arn == f"arn:aws:iam::{ACCOUNT}:oidc-provider/app.gitpod.io"
    assert provider["ClientIDList"] == ["sts.amazonaws.com"]


def test_a_url_is_an_audience_like_another(account, trust, run_script):
    # The AWS CLI's first version would fetch it, were it a word of its own.
    url = "https://github.com/acme"
    words = ("--role-name", "dev", "--audience", url, "--format", "cli")
    assert run_script(trust(*words, aud=url)).returncode == 0
    assert in_account(account)[2]["ClientIDList"] == [url]


def test_the_script_may_be_run_again(account, trust, run_script):
    script = trust("--role-name", "dev", "--format", "cli", sub=NASTY)
    first, second = run_script(script), run_script(script)
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert "Created the role dev" in first.stderr
    assert "The role dev is there, with this trust policy" in second.stderr
    assert in_account(account)[2]["ClientIDList"] == ["sts.amazonaws.com"]


def test_the_script_raises_the_longest_session_and_never_shortens_it(account, trust, run_script):
    words = ("--role-name", "dev", "--format", "cli", "--max-session-duration")
    for seconds, longest in (("3600", 3600), ("43200", 43200), ("7200", 43200)):
        done = run_script(trust(*words, seconds))
        assert done.returncode == 0, done.stderr
        assert in_account(account)[0]["MaxSessionDuration"] == longest
        assert ("Raised" in done.stderr) is (seconds == "43200")


BESIDE_AWS = """#!/bin/sh
# What moto does not do: an operation, and what the AWS CLI of before October 2024 said.
case "$2 ${OLD-}" in
add-client-id-to-open-id-connect-provider*) printf '%s' "$4" > "$HOME/added" ;;
create-open-id-connect-provider*old)
    echo 'Missing required parameter in input: "ThumbprintList"' >&2; exit 252 ;;
*) exec "$AWS" "$@" ;;
esac
"""


@pytest.fixture
def beside_aws(moto, tmp_path):
    """Variables by which a script comes to a command of ours before the AWS CLI."""
    aws = tmp_path / "aws"
    aws.write_text(BESIDE_AWS)
    aws.chmod(0o755)
    path = f"{tmp_path}:{moto['PATH']}"
    return {"PATH": path, "AWS": str(BIN / "aws"), "HOME": str(tmp_path)}


def test_a_second_audience_joins_the_first(account, trust, run_script, beside_aws, tmp_path):
    words = ("--role-name", "dev", "--format", "cli")
    assert run_script(trust(*words)).returncode == 0
    done = run_script(trust(*words, "--audience", "other", aud="other"), **beside_aws)
    assert "Added the audience" in done.stderr
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/app.gitpod.io"
    added = json.loads((tmp_path / "added").read_text())
    assert added == {"OpenIDConnectProviderArn": provider, "ClientID": "other"}


def test_an_aws_cli_that_demands_thumbprints_is_told_of(account, trust, run_script, beside_aws):
    script = trust("--role-name", "dev", "--format", "cli")
    done = run_script(script, **beside_aws, OLD="old")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'Missing required parameter in input: "ThumbprintList"' in done.stderr
    assert "use a newer AWS CLI" in done.stderr
    assert account("iam", "list-open-id-connect-providers")["OpenIDConnectProviderList"] == []


def test_another_trust_policy_is_replaced_on_request_only(account, trust, run_script):
    words = ("--role-name", "dev", "--format", "cli")
    assert run_script(trust(*words, sub="one")).returncode == 0
    before = in_account(account)[0]["AssumeRolePolicyDocument"]
    script = trust(*words, sub="two")
    refused = run_script(script)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "REPLACE_TRUST_POLICY=yes" in refused.stderr
    assert in_account(account)[0]["AssumeRolePolicyDocument"] == before
    assert run_script(script, REPLACE_TRUST_POLICY="yes").returncode == 0
    wanted = json.loads(trust("--role-name", "dev", sub="two"))["trust_policy"]
    assert in_account(account)[0]["AssumeRolePolicyDocument"] == wanted


def test_the_credentials_of_another_account_change_nothing(account, trust, run_script):
    script = trust("--role-name", "dev", "--format", "cli", "--account-id", "210987654321")
    done = run_script(script)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"credentials of account {ACCOUNT}, expected 210987654321" in done.stderr
    assert account("iam", "list-open-id-connect-providers")["OpenIDConnectProviderList"] == []


def test_a_role_that_was_made_lets_the_token_in_and_no_other(account, trust, run_script, tmp_path):
    subject, scope = SUBJECTS["Ona's version 2"]
    words = ("--role-name", "dev", "--scope", scope)
    assert run_script(trust(*words, "--format", "cli", sub=subject)).returncode == 0
    path = tmp_path / "role.json"
    path.write_text(json.dumps(account("iam", "get-role", "--role-name", "dev")))
    assert "allowed: " in trust("--check", path, sub="org:o1/prj:p1/env:e2")
    with pytest.raises(AssertionError, match=r"exit 1\n(?s:.*)refused: "):
        trust("--check", path, sub="org:o2/prj:p1/env:e1")


# CloudFormation


@pytest.mark.parametrize("subject", ["org:o1/prj:p1/env:e1", "repo:acme/app:ref:refs/heads/main"])
def test_a_linter_finds_no_fault_in_the_template(house, moto, trust, tmp_path, subject):
    template = tmp_path / "template.json"
    template.write_text(trust("--role-name", "dev", "--format", "cloudformation", sub=subject))
    house.run(BIN / "cfn-lint", "--include-checks", "I", "--", template, environ=moto)


def test_a_stack_makes_the_role(account, trust, tmp_path):
    # moto makes no identity provider by a stack: the account has it before.
    template = tmp_path / "template.json"
    template.write_text(trust("--role-name", "dev", "--format", "cloudformation", sub=NASTY))
    account(
        "cloudformation", "create-stack", "--stack-name", "trust",
        "--template-body", f"file://{template}", "--capabilities", "CAPABILITY_NAMED_IAM",
        "--parameters", "ParameterKey=ProviderExists,ParameterValue=true",
    )  # fmt: skip
    role = account("iam", "get-role", "--role-name", "dev")["Role"]
    wanted = json.loads(trust("--role-name", "dev", sub=NASTY))["trust_policy"]
    assert role["AssumeRolePolicyDocument"] == wanted
    assert role["MaxSessionDuration"] == 3600
