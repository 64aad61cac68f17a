"""`imdsd login`: which role it takes, on which terms, and what it refuses before it writes."""

from __future__ import annotations

import os
import re

import pytest
import structlog

from imdsd.cli import exit_code_of
from imdsd.cli._login_roles import Wish, find_role
from imdsd.errors import (
    ConfigurationError,
    CredentialsFileError,
    ImdsdError,
    NoCredentialsError,
    UsageError,
)
from tests.fakes.daemon import LAST_ERROR, error_document, role_entry, running_daemon
from tests.fakes.verb import parse, run_verb
from tests.fakes.web_identity import make_token

ARN = "arn:aws:iam::123456789012:role/{}"
CONFIG = f"""
region = "eu-central-1"
[[role]]
name = "dev"
default = true
aliases = ["d"]
arn = "{ARN.format("dev")}"
policy_arns = ["arn:aws:iam::aws:policy/A"]
allowed_account_ids = ["123456789012"]
sts_endpoint_url = "http://127.0.0.1:1"
[[role]]
name = "far"
arn = "{ARN.format("dev")}"
chain = ["{ARN.format("team/far")}"]
"""


@pytest.fixture
def chosen(tmp_path):
    """A function from words of the verb to the role that they mean."""

    def choose(*words, config=CONFIG):
        path = tmp_path / "config.toml"
        path.write_text(config)
        _, arguments = parse("login", "--config", str(path), *words)
        _, role = find_role(Wish.read(arguments), flags=vars(arguments), environ={})
        return role

    return choose


def refused(*words):
    with pytest.raises(UsageError) as caught:
        Wish.read(parse("login", *words)[1])
    assert exit_code_of(caught.value) == 2
    return str(caught.value)


# Which role


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ((), "dev"),
        (("--role", "d"), "dev"),
        (("--role", "far"), "far"),
        (("--role-arn", ARN.format("dev")), "dev"),
        (("--role-arn", ARN.format("team/far")), "far"),
    ],
)
def test_a_configured_role_is_taken_as_it_is_configured(chosen, words, name):
    role = chosen(*words)
    assert role.name == name
    assert role.policy_arns == (("arn:aws:iam::aws:policy/A",) if name == "dev" else ())


def test_another_arn_is_asked_for_as_the_default_role_would_be(chosen):
    role = chosen("--role-arn", ARN.format("path/ops"))
    assert (role.name, role.arn, role.region) == ("ops", ARN.format("path/ops"), "eu-central-1")
    assert role.sts_endpoint_url == "http://127.0.0.1:1"
    assert role.allowed_account_ids == ("123456789012",)
    assert (role.chain, role.policy_arns) == ((), ())


def test_an_arn_of_another_partition_is_asked_for_there(chosen):
    config = CONFIG.replace("sts_endpoint_url", "#")
    role = chosen("--role-arn", "arn:aws-cn:iam::123456789012:role/x", config=config)
    assert role.region == "cn-north-1"
    with pytest.raises(UsageError, match="needs --region"):
        chosen("--role-arn", "arn:aws-x:iam::123456789012:role/x", config=config)


def test_an_arn_needs_no_configuration(chosen):
    assert chosen("--role-arn", ARN.format("x"), config="").arn == ARN.format("x")


def test_a_role_that_no_configuration_knows_is_none(chosen):
    assert chosen("--role", "x") is None
    assert chosen(config="") is None


def test_the_options_change_the_terms_of_the_role(chosen):
    role = chosen("--duration-seconds", "1800", "--role-session-name", "me-{host}")
    assert (role.duration_seconds, role.session_name) == (1800, "me-{host}")


def test_a_chained_role_has_an_hour_at_most(chosen):
    assert chosen("--role", "far").duration_seconds == 3600
    with pytest.raises(
        UsageError, match=r"3601, expected .* from 900 to 3600; the nearest is 3600"
    ):
        chosen("--role", "far", "--duration-seconds", "3601")


# What is refused


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--duration-seconds", "60"), "is 60, expected a whole number of seconds from 900 to 43200; the nearest is 900"),
        (("--duration-seconds", "99999"), "the nearest is 43200"),
        (("--duration-seconds", "1h"), "is '1h', expected a whole number"),
        (("--role-session-name", "a b/c"), "expected 2 to 64 letters, .*; the nearest is a-b-c"),
        (("--role-session-name", "x"), "is 'x', expected 2 to 64"),
        (("--role-session-name", "{"), "a brace has no partner"),
        (("--role-arn", "dev"), "is 'dev', expected the ARN of a role, .*; write the whole ARN"),
        (("--role-arn", "arn:aws:iam::123456789012:dev"), "role/ is missing: arn:aws:iam::123456789012:role/dev"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_with_what_was_expected(words, told):
    assert re.search(told, refused(*words))


@pytest.mark.parametrize(
    ("profile", "near"),
    [
        ("a b", "the nearest is a-b"),
        ("[x]", "the nearest is x"),
        ("DEFAULT", "default"),
        ("\n", "expected letters"),
    ],
)
def test_a_profile_that_some_sdk_cannot_read_is_refused(tmp_path, profile, near):
    with pytest.raises(UsageError, match=near):
        run_verb("login", "--profile", profile, environ={}, home=tmp_path)


@pytest.fixture(autouse=True)
def _logs():
    """The verb sets up how events are written; the tests that follow shall not notice."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def login(tmp_path):
    """Run the verb with a configuration of its own and no daemon but one that is given."""

    def run(*words, config="", daemon=None, **more):
        path = tmp_path / "config.toml"
        path.write_text(config)
        environ = daemon.environ if daemon else {"IMDSD_RUNTIME_DIR": str(tmp_path / "none")}
        environ = {**environ, **more}
        return run_verb("login", "--config", str(path), *words, environ=environ, home=tmp_path)

    return run


@pytest.mark.parametrize("words", [(), ("--role", "dev")])
def test_without_any_role_it_says_what_to_do(login, words):
    with pytest.raises(ConfigurationError, match=r"give --role-arn ARN.*or start the daemon"):
        login(*words)


def test_an_unknown_role_is_told_with_the_nearest(login):
    with pytest.raises(UsageError, match=r"no role 'fra', expected one of .*; did you mean 'far'"):
        login("--role", "fra", config=CONFIG)


def test_a_token_that_cannot_be_had_is_told_with_its_stage(login, tmp_path):
    missing = str(tmp_path / "missing")
    with pytest.raises(NoCredentialsError, match=rf"mint failed: .*{missing}") as caught:
        login("--role-arn", ARN.format("x"), "--token-file", missing)
    assert exit_code_of(caught.value) == 4
    assert not (tmp_path / ".aws").exists()


def test_claims_that_sts_would_refuse_are_refused_first(login, tmp_path):
    token = tmp_path / "token"
    token.write_text(make_token(aud="else", exp=4_000_000_000))
    token.chmod(0o600)
    with pytest.raises(NoCredentialsError, match="check failed: aud is 'else', expected"):
        login("--role-arn", ARN.format("x"), "--token-file", str(token))


# What only the daemon knows


@pytest.fixture
def daemon(tmp_path):
    with running_daemon(tmp_path / "run") as daemon:
        daemon.routes["POST", "/refresh/dev"] = (200, {"roles": [role_entry(refreshed=True)]})
        daemon.routes["GET", "/v1/credentials/dev"] = daemon.routes["GET", "/v1/credentials"]
        yield daemon


def test_the_daemon_is_asked_for_a_new_session_and_gives_it(login, daemon, tmp_path, capsys):
    assert login(daemon=daemon) == 0
    assert daemon.requests == [
        ("GET", "/status"), ("POST", "/refresh/dev"), ("GET", "/v1/credentials/dev"),
    ]  # fmt: skip
    assert "aws_session_token = fake-session-token\n" in (tmp_path / ".aws/credentials").read_text()
    out, err = capsys.readouterr()
    assert out == ""
    assert "until 2030-01-01T01:00:00Z (in 60 min)" in err
    assert "export AWS_PROFILE=imdsd-dev AWS_REGION=eu-west-1\n" in err
    assert "fake" not in err


def test_a_file_that_cannot_be_written_is_refused_with_the_way_to_another(login, daemon, tmp_path):
    (tmp_path / ".aws/credentials").mkdir(parents=True)
    with pytest.raises(CredentialsFileError) as caught:
        login(daemon=daemon)
    assert "name another file by AWS_SHARED_CREDENTIALS_FILE=PATH" in str(caught.value)
    assert login(daemon=daemon, AWS_SHARED_CREDENTIALS_FILE=str(tmp_path / "other")) == 0
    assert "fake-session-token" in (tmp_path / "other").read_text()


def test_a_refresh_that_fails_leaves_what_the_daemon_holds(login, daemon, tmp_path, capsys):
    failed = error_document("TokenSpent", "it cannot be minted again")
    entry = role_entry(refreshed=False, last_error=LAST_ERROR)
    daemon.routes["POST", "/refresh/dev"] = (503, {"roles": [entry], **failed})
    assert login(daemon=daemon) == 0
    err = capsys.readouterr().err
    assert "imdsd: warning: it cannot be minted again; what the daemon holds is written" in err
    assert "ASIAEXAMPLE" in (tmp_path / ".aws/credentials").read_text()


def test_a_daemon_without_credentials_leaves_no_file(login, daemon, tmp_path):
    daemon.routes["GET", "/v1/credentials/dev"] = (503, error_document("X", "nothing yet"))
    with pytest.raises(NoCredentialsError, match="nothing yet"):
        login(daemon=daemon)
    assert not (tmp_path / ".aws").exists()


def test_an_answer_without_credentials_is_refused(login, daemon):
    daemon.routes["GET", "/v1/credentials/dev"] = (200, {"AccessKeyId": "x"})
    with pytest.raises(NoCredentialsError, match="lacks credentials"):
        login(daemon=daemon)


def test_other_terms_than_the_daemons_need_an_arn(login, daemon):
    with pytest.raises(UsageError, match=rf"give --role-arn {ARN.format('dev')}"):
        login("--duration-seconds", "900", daemon=daemon)


def test_a_role_that_neither_knows_is_told_with_those_of_both(login, daemon):
    config = f'[[role]]\nname = "own"\narn = "{ARN.format("own")}"\n'
    with pytest.raises(UsageError, match=r"expected one of own, dev$"):
        login("--role", "nobody", config=config, daemon=daemon)


def test_a_role_that_both_know_is_named_once(login, daemon):
    with pytest.raises(UsageError, match=r"expected one of dev, d, far$"):
        login("--role", "nobody", config=CONFIG, daemon=daemon)


def test_a_file_that_cannot_be_written_exits_1(login, daemon, tmp_path):
    (tmp_path / ".aws").write_text("")
    with pytest.raises(CredentialsFileError) as caught:
        login(daemon=daemon)
    assert exit_code_of(caught.value) == 1
    assert isinstance(caught.value, ImdsdError)


def test_a_file_that_sdks_cannot_read_is_told_and_kept(login, daemon, tmp_path, capsys):
    path = tmp_path / ".aws/credentials"
    path.parent.mkdir()
    path.write_text("nonsense\n")
    login(daemon=daemon)
    assert f"SDKs cannot read {path}" in capsys.readouterr().err
    assert path.read_text().startswith("nonsense\n")
    path.unlink()
    login(daemon=daemon)
    assert "cannot read" not in capsys.readouterr().err


def test_variables_that_win_over_the_profile_are_told(login, daemon, tmp_path, capsys):
    daemon.environ = {**daemon.environ, "AWS_ACCESS_KEY_ID": "AKIA"}
    login(daemon=daemon)
    assert "AWS_ACCESS_KEY_ID is set, which SDKs take before AWS_PROFILE" in capsys.readouterr().err
    assert (tmp_path / ".aws/credentials").stat().st_uid == os.geteuid()
