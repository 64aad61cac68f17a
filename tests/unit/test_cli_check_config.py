"""`imdsd check-config`: a summary of a sound configuration, all problems of another."""

import pytest

from imdsd.cli import main

ARN = "arn:aws:iam::123456789012:role/{}"

SOUND = f"""
listen = ["127.0.0.1:9254", {{ address = "[::1]:80", imds = "off", optional = true }}]
region = "eu-west-1"
[token]
command = ["ona", "idp", "token", "--audience", "{{audience}}"]
[[role]]
name = "dev"
default = true
aliases = ["old"]
arn = "{ARN.format("dev")}"
[[role]]
name = "admin"
arn = "{ARN.format("jump")}"
chain = ["{ARN.format("admin")}"]
region = "us-west-2"
sts_endpoint_url = "https://sts.example.com"
[role.token]
file = "/token"
audience = "else"
"""


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Run the verb on a file's text in an environment of our own; return its code, out and err."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ROLE_ARN", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

    def check(text, *words):
        path = tmp_path / "config.toml"
        path.write_text(text)
        return (main(["check-config", "--config", str(path), *words]), *capsys.readouterr())

    return check


def test_a_sound_configuration_is_told_with_where_each_value_stands(check, tmp_path):
    code, out, err = check(SOUND)
    path = tmp_path / "config.toml"
    assert (code, err) == (0, "")
    assert (
        out
        == f"""\
configuration is sound: {path}, 2 roles
  listen    127.0.0.1:9254 (imds attested), [::1]:80 (imds off, optional)
  logs      info, auto

role dev (default)
  aliases   old
  arn       {ARN.format("dev")} ({path}: role[0].arn)
  region    eu-west-1 ({path}: region)
  session   imdsd-{{host}}, 3600 s, or 43200 s where the web identity token cannot be minted again
  token     command ona idp token --audience sts.amazonaws.com, audience sts.amazonaws.com

role admin
  arn       {ARN.format("jump")} ({path}: role[1].arn)
  then      {ARN.format("admin")}
  region    us-west-2 ({path}: role[1].region)
  session   imdsd-{{host}}, 3600 s
  sts       https://sts.example.com
  token     file /token, audience else
"""
    )


def test_warnings_go_to_stderr_and_leave_the_exit_code_alone(check):
    code, out, err = check("", "--role-arn", ARN.format("dev"), "--duration-seconds", "900")
    assert code == 0
    assert out.startswith("configuration is sound: ")
    assert [line.startswith("imdsd: warning: ") for line in err.splitlines()] == [True, True]


def test_a_flag_is_named_as_the_place_of_what_it_says(check):
    _, out, _ = check(SOUND, "--role-arn", ARN.format("other"))
    assert f"{ARN.format('other')} (--role-arn)" in out


def test_certificates_of_ones_own_are_named(check, tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    _, out, _ = check(f'ca_bundle = "{bundle}"\n{SOUND}')
    assert f"  ca bundle {bundle}\n" in out


METADATA = """
[metadata]
ami_id = "ami-01234567"
"""
MORE_METADATA = """
tags = { Name = "x" }
upstream = "http://169.254.169.254"
upstream_paths = ["dynamic/", "meta-data/tags/"]
[[metadata.event]]
kind = "rebalance"
[[metadata.event]]
kind = "spot"
"""


def test_what_is_configured_of_the_metadata_tree_is_counted(check):
    _, out, _ = check(SOUND)
    assert "metadata" not in out
    _, out, _ = check(SOUND + METADATA)
    assert "  metadata  1 leaf\n" in out
    _, out, _ = check(SOUND + METADATA + MORE_METADATA)
    assert "  metadata  2 leaves, 2 events, 2 paths from http://169.254.169.254\n" in out


def test_problems_are_all_told_and_nothing_is_printed(check):
    code, out, err = check("x = 1\ny = 1\n")
    assert (code, out, len(err.splitlines())) == (78, "", 3)


def test_a_user_that_does_not_exist_is_a_problem(check):
    code, _, err = check(f'allow_users = ["nobody-of-that-name"]\n{SOUND}')
    assert code == 78
    assert "nobody-of-that-name" in err


def test_no_secret_of_the_file_is_printed(check):
    source = '[token]\nurl = "https://x/t?key=canary"\nheaders = { A = "canary" }'
    code, out, err = check(source, "--role-arn", ARN.format("dev"))
    assert code == 0
    assert "canary" not in out + err


def test_of_auto_it_says_what_this_environment_offers_now(check, monkeypatch, tmp_path):
    (tmp_path / "token").write_text("x")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "nope"))
    code, out, _ = check("", "--role-arn", ARN.format("dev"), "--region", "eu-west-1")
    assert code == 0
    assert "auto: AWS_WEB_IDENTITY_TOKEN_FILE is broken: " in out
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    _, out, _ = check("", "--role-arn", ARN.format("dev"), "--region", "eu-west-1")
    assert f"auto: AWS_WEB_IDENTITY_TOKEN_FILE is present: file {tmp_path / 'token'}" in out
