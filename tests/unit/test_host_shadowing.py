from __future__ import annotations

import os

import pytest

from imdsd.host.shadowing import shadowing


def names(environ, home):
    return [shadow.name for shadow in shadowing(environ, home=home)]


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_clean_environment_has_no_shadows(tmp_path):
    assert shadowing({"AWS_REGION": "eu-west-1"}, home=tmp_path) == ()


@pytest.mark.parametrize(
    "name",
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    ],
)
def test_a_variable_that_sdks_follow_first_is_named_with_its_remedy(tmp_path, name):
    (shadow,) = shadowing({name: "x"}, home=tmp_path)
    assert shadow.name == name
    assert shadow.remedy == f"unset {name}"
    assert str(shadow).startswith(f"{name} ")
    assert shadowing({name: ""}, home=tmp_path) == ()


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://127.0.0.1:43210", True),
        ("http://localhost:4566/", True),
        ("http://[::1]:1", True),
        ("https://sts.eu-west-1.amazonaws.com", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_an_sts_on_this_machine_may_be_that_of_a_demo_that_is_over(tmp_path, url, warned):
    assert (names({"AWS_ENDPOINT_URL_STS": url}, tmp_path) == ["AWS_ENDPOINT_URL_STS"]) is warned


def test_a_web_identity_needs_both_of_its_variables(tmp_path):
    both = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn"}
    assert names(both, tmp_path) == ["AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN"]
    for name, value in both.items():
        assert names({name: value}, tmp_path) == []


@pytest.mark.parametrize(("value", "shadows"), [("true", 1), ("TRUE", 1), ("false", 0), ("1", 0)])
def test_imds_that_is_switched_off_is_named(tmp_path, value, shadows):
    assert len(names({"AWS_EC2_METADATA_DISABLED": value}, tmp_path)) == shadows


@pytest.mark.parametrize(
    "line",
    [
        "aws_access_key_id = AKIA",
        "credential_process = /usr/bin/other",
        "sso_session = corp",
        "sso_start_url = https://corp",
        "role_arn = arn",
        "login_session = arn",
        "credential_process = 'unclosed",
        "credential_process = python3 -m other credential-process imdsd",
    ],
)
@pytest.mark.parametrize("section", ["[default]", "[profile default]"])
def test_a_default_profile_with_credentials_is_named(tmp_path, line, section):
    path = write(tmp_path / ".aws/config", f"{section}\n{line}\n")
    (shadow,) = shadowing({}, home=tmp_path)
    assert shadow.name == f"{section} of {path}"


def test_the_credentials_file_counts_too(tmp_path):
    write(tmp_path / ".aws/credentials", "[default]\naws_access_key_id = AKIA\n")
    assert len(names({}, tmp_path)) == 1


def test_the_files_may_be_elsewhere(tmp_path):
    path = write(tmp_path / "elsewhere/config", "[default]\nrole_arn = arn\n")
    assert names({"AWS_CONFIG_FILE": str(path)}, tmp_path) == [f"[default] of {path}"]
    assert names({"AWS_SHARED_CREDENTIALS_FILE": str(path)}, tmp_path) == [f"[default] of {path}"]


@pytest.mark.parametrize(
    "text",
    [
        "[default]\nregion = eu-west-1\n",
        "[profile other]\naws_access_key_id = AKIA\n",
        "[DEFAULT]\naws_access_key_id = AKIA\n",
        "[default]\ncredential_process = /opt/bin/imdsd credential-process --role dev\n",
        '[default]\ncredential_process = "/a b/python3" -P -m imdsd credential-process --role d\n',
        "nonsense\n",
        "",
    ],
)
def test_files_that_win_over_nothing_are_not_named(tmp_path, text):
    write(tmp_path / ".aws/config", text)
    assert names({}, tmp_path) == []


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        assert names({variable: str(tmp_path / "pipe")}, tmp_path) == []


def test_a_file_that_cannot_be_read_is_not_named(tmp_path):
    write(tmp_path / ".aws/config", "").write_bytes(b"[default]\nrole_arn = \xff\n")
    (tmp_path / ".aws/credentials").mkdir()
    assert names({}, tmp_path) == []
