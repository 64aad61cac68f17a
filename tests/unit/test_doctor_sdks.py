from __future__ import annotations

import os
from pathlib import Path

import pytest

from imdsd.doctor.finding import Surroundings
from imdsd.doctor.sdks.chains import CHAINS
from imdsd.doctor.sdks.judging import Target, judge_sdks, winner
from imdsd.doctor.sdks.links import View
from imdsd.doctor.sdks.profiles import read_files
from imdsd.install.texts.profiles import Profile, ProfilesBlock
from tests.fakes.daemon import running_daemon
from tests.fakes.examined import codes, only
from tests.fakes.waiting_clock import FakeWaitingClock

PORT = 9254
FULL = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{PORT}/v1/credentials"}
IMDS = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{PORT}"}
KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret"}
WEB_IDENTITY = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn"}
DAEMON = Target(frozenset({("127.0.0.1", PORT)}), None)
SDKS = list(CHAINS)


def write(home, name, text):
    (home / ".aws").mkdir(exist_ok=True)
    (home / ".aws" / name).write_text(text)


def found(home, environ, target=DAEMON):
    around = Surroundings(environ, os.geteuid(), home, FakeWaitingClock())
    return list(judge_sdks(around, target))


def wins(home, environ):
    """The link that wins in each SDK."""
    view = View(environ, read_files(environ, home=home))
    won = {sdk: winner(tuple(chain(view))) for sdk, chain in CHAINS.items()}
    return [link and link.name for link in won.values()]


def test_the_variables_of_env_lead_every_sdk_to_the_daemon(tmp_path):
    findings = found(tmp_path, FULL)
    assert codes(findings) == ["sdks.served"] * len(SDKS)
    assert [each.facts["sdk"] for each in findings] == SDKS
    assert wins(tmp_path, FULL) == ["container-role", "container", "fromHttp", "Container"]


def test_imds_at_the_daemon_is_served_too(tmp_path):
    environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{PORT}/"}
    assert codes(found(tmp_path, environ)) == ["sdks.served"] * 4
    on_ec2 = Target(frozenset({("169.254.169.254", 80)}), None)
    assert codes(found(tmp_path, {}, on_ec2)) == ["sdks.served"] * 4


def test_nothing_set_leads_nowhere_and_says_how_to_point_the_shell(tmp_path):
    for environ in ({}, {"AWS_EC2_METADATA_DISABLED": "true"}):
        findings = found(tmp_path, environ)
        assert codes(findings) == ["sdks.nowhere"] * 4
        assert all('eval "$(imdsd env)"' in each.remedy for each in findings)


def test_keys_in_the_variables_win_in_every_sdk_and_are_to_be_unset(tmp_path):
    findings = found(tmp_path, {**FULL, **KEYS})
    assert codes(findings) == ["sdks.shadowed"] * 4
    for each in findings:
        assert each.remedy.startswith("unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY")
        assert "imdsd exec" in each.remedy
        assert "which leads to the daemon" in each.found
        assert "secret" not in str(each.facts)


def test_every_link_is_told_with_what_it_finds(tmp_path):
    boto3, *_ = found(tmp_path, {**FULL, **KEYS})
    told = {each["link"]: each for each in boto3.facts["chain"]}
    assert told["env"] == {"link": "env", "finds": "AWS_ACCESS_KEY_ID", "wins": True}
    assert told["container-role"]["finds"] == "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    assert not told["container-role"]["wins"]
    assert list(told)[-1] == "iam-role"


@pytest.mark.parametrize(
    ("environ", "config", "expected"),
    [
        # Web identity: after the files in JavaScript, before them in Go and Java.
        (
            WEB_IDENTITY,
            "[default]\ncredential_process = other\n",
            [
                "assume-role-with-web-identity",
                "web identity in the environment",
                "fromIni",
                "WebIdentityTokenFile",
            ],
        ),
        # A profile that is named goes before keys in the variables in JavaScript alone.
        (
            {**KEYS, "AWS_PROFILE": "p"},
            "[profile p]\ncredential_process = other\n",
            ["env", "environment", "fromIni", "EnvironmentVariable"],
        ),
        (
            {"AWS_PROFILE": "p"},
            "[profile p]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n",
            ["sso", "sso", "fromIni", "Profile"],
        ),
        (
            {},
            "[default]\nrole_arn = arn\nsource_profile = other\n",
            ["assume-role", "source_profile", "fromIni", "Profile"],
        ),
        (
            {},
            "[default]\nweb_identity_token_file = /t\nrole_arn = arn\n",
            [
                "assume-role-with-web-identity",
                "web identity of the profile",
                "fromIni",
                "Profile",
            ],
        ),
        (
            {},
            "[default]\naws_access_key_id = AKIA\naws_secret_access_key = x\n",
            ["config-file", "keys of the profile", "fromIni", "Profile"],
        ),
        ({}, "[default]\nlogin_session = arn\n", ["login", "login", "fromIni", "Profile"]),
        # The older of the two variables for a profile is read by two, the older first by one.
        (
            {"AWS_DEFAULT_PROFILE": "p"},
            "[profile p]\ncredential_process = other\n",
            ["custom-process", "process", "fromHttp", "Container"],
        ),
        (
            {},
            "[default]\nregion = eu-west-1\n",
            ["container-role", "container", "fromHttp", "Container"],
        ),
        (
            {},
            "[other]\ncredential_process = x\n",
            ["container-role", "container", "fromHttp", "Container"],
        ),
    ],
)
def test_each_sdk_has_its_own_order(tmp_path, environ, config, expected):
    write(tmp_path, "config", config)
    assert wins(tmp_path, {**FULL, **environ}) == expected


def test_the_credentials_file_is_looked_at_before_a_process(tmp_path):
    write(tmp_path, "config", "[default]\ncredential_process = other\n")
    write(tmp_path, "credentials", "[default]\naws_access_key_id = A\naws_secret_access_key = x\n")
    assert wins(tmp_path, FULL) == [
        "shared-credentials-file",
        "keys of the profile",
        "fromIni",
        "Profile",
    ]
    assert f"[default] of {tmp_path}/.aws/credentials" in found(tmp_path, FULL)[0].found


def test_the_files_may_be_elsewhere(tmp_path):
    (tmp_path / "mine").write_text("[default]\ncredential_process = other\n")
    for path in (str(tmp_path / "mine"), "~/mine"):
        assert wins(tmp_path, {**FULL, "AWS_CONFIG_FILE": path})[0] == "custom-process"


def test_a_profile_is_to_be_renamed_or_its_variable_unset(tmp_path):
    write(tmp_path, "config", "[default]\ncredential_process = x\n[profile p]\nsso_session = s\n")
    assert "rename [default] of" in found(tmp_path, FULL)[0].remedy
    assert found(tmp_path, {**FULL, "AWS_PROFILE": "p"})[1].remedy.startswith("unset AWS_PROFILE;")


def test_our_own_credential_process_is_no_shadow(tmp_path):
    write(tmp_path, "config", "[default]\ncredential_process = /opt/bin/imdsd credential-process\n")
    assert codes(found(tmp_path, {})) == ["sdks.served"] * 4


def test_the_profiles_that_install_writes_are_no_shadow(tmp_path):
    block = ProfilesBlock((Profile("audit"),), Path("/opt/imdsd/bin/python3"))
    write(tmp_path, "config", block.apply(None).decode())
    assert codes(found(tmp_path, {**FULL, "AWS_PROFILE": "audit"})) == ["sdks.served"] * 4


@pytest.mark.parametrize(
    ("kind", "environ"),
    [
        ("EcsContainer", FULL),
        ("Ec2InstanceMetadata", IMDS),
    ],
)
def test_a_role_assumed_with_what_the_daemon_serves_is_no_shadow(tmp_path, kind, environ):
    write(tmp_path, "config", f"[default]\nrole_arn = arn\ncredential_source = {kind}\n")
    assert codes(found(tmp_path, environ)) == ["sdks.served"] * 4
    elsewhere = {**environ, next(iter(environ)): "http://127.0.0.1:1/v1/credentials"}
    for odd in ({}, elsewhere):
        assert codes(found(tmp_path, odd)) == ["sdks.shadowed"] * 4


def test_a_variable_that_is_set_to_nothing_names_a_profile_for_boto3_alone(tmp_path):
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        boto3, *others = found(tmp_path, {**FULL, name: ""})
        assert (boto3.code, boto3.remedy) == ("sdks.broken", f"unset {name}")
        assert codes(others) == ["sdks.served"] * 3


@pytest.mark.parametrize("section", ['profile "p"', "profile 'p'", "profile\tp", "profile  p "])
def test_the_name_of_a_profile_may_stand_in_quotes(tmp_path, section):
    write(tmp_path, "config", f"[{section}]\ncredential_process = other\n")
    assert wins(tmp_path, {**FULL, "AWS_PROFILE": "p"})[0] == "custom-process"


@pytest.mark.parametrize(
    ("path", "served"),
    [
        ("/v1/credentials", True),
        ("/v1/credentials/dev", True),
        ("/v1/credentials/d%65v", True),
        ("/v1/credentials/gone", False),
        ("/v1/credentials/", False),
        ("/v1/credentialsdev", False),
        ("", False),
    ],
)
def test_a_role_or_path_that_the_daemon_does_not_have_is_told(tmp_path, path, served):
    target = Target(DAEMON.addresses, None, frozenset({"dev"}))
    environ = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{PORT}{path}"}
    told = [each for each in found(tmp_path, environ, target) if each.code == "sdks.not-served"]
    assert bool(told) is not served
    assert all("imdsd env" in each.remedy for each in told)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"AWS_PROFILE": "gone"}, ["sdks.broken", "sdks.broken", "sdks.served", "sdks.served"]),
        (
            {"AWS_ACCESS_KEY_ID": "AKIA"},
            ["sdks.broken", "sdks.served", "sdks.served", "sdks.served"],
        ),
        (
            {"AWS_WEB_IDENTITY_TOKEN_FILE": "/t"},
            ["sdks.broken", "sdks.broken", "sdks.served", "sdks.served"],
        ),
    ],
)
def test_what_breaks_one_chain_is_passed_over_by_another(tmp_path, environ, expected):
    findings = found(tmp_path, {**FULL, **environ})
    assert codes(findings) == expected
    assert findings[0].remedy == f"unset {next(iter(environ))}"


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9999/v1/credentials"},
        {**FULL, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials"},
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://[::1"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"https://127.0.0.1:{PORT}/v1/credentials"},
    ],
)
def test_variables_that_lead_to_another_address_are_told(tmp_path, environ):
    findings = found(tmp_path, environ)
    assert codes(findings) == ["sdks.elsewhere"] * 4
    assert "imdsd env" in findings[0].remedy


def test_a_variable_that_is_set_to_nothing_is_followed_by_boto3_alone(tmp_path):
    boto3, *others = found(tmp_path, {**FULL, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": ""})
    assert boto3.code == "sdks.elsewhere"
    assert codes(others) == ["sdks.served"] * 3


def test_imds_is_switched_off_by_more_words_in_javascript(tmp_path):
    environ = {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{PORT}",
        "AWS_EC2_METADATA_DISABLED": "1",
    }
    served = ["sdks.served", "sdks.served", "sdks.nowhere", "sdks.served"]
    assert codes(found(tmp_path, environ)) == served
    environ["AWS_EC2_METADATA_DISABLED"] = "false"
    assert codes(found(tmp_path, environ)) == ["sdks.served"] * 4


def test_a_bearer_of_an_earlier_daemon_is_told(tmp_path):
    with running_daemon(tmp_path / "run") as daemon:
        target = Target(frozenset({daemon.address}), asked(daemon))
        url = f"http://127.0.0.1:{daemon.address[1]}/v1/credentials"
        point = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url}
        right = {"AWS_CONTAINER_AUTHORIZATION_TOKEN": daemon.bearer.reveal()}
        file = {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "run/bearer")}
        for environ in ({**point, **right}, {**point, **file}, {**point, **right, **file}):
            assert codes(found(tmp_path, environ, target)) == ["sdks.served"] * 4
        for environ in (
            point,
            {**point, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "old"},
            {**point, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/gone"},
        ):
            stale = only(found(tmp_path, environ, target), "sdks.stale-bearer")
            assert "imdsd env" in stale.remedy
            assert "old" not in stale.found.split()


@pytest.mark.parametrize(
    ("said", "is_old"),
    [
        ("aws-cli/2.9.19 Python/3.11.2 Linux/6.1", True),
        ("aws-cli/2.14.6 Python/3.11.2", True),
        ("aws-cli/1.29.80 Python/3.11.2", True),
        ("aws-cli/2.15.0 Python/3.11.6", False),
        ("aws-cli/1.30.0 Python/3.11.6", False),
        ("aws-cli/3.0.0", False),
        ("pyenv: aws: command not found", False),
    ],
)
def test_an_aws_cli_that_reads_no_bearer_from_a_file_is_told(tmp_path, said, is_old):
    program = tmp_path / "bin/aws"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    program.chmod(0o755)
    with_file = {**FULL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/run/imdsd/bearer"}
    path = {"PATH": str(program.parent)}
    findings = found(tmp_path, {**with_file, **path})
    assert ("sdks.old-cli" in codes(findings)) is is_old
    if is_old:
        assert said.split()[0] in only(findings, "sdks.old-cli").found
    with_value = {**with_file, **path, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "bearer"}
    for environ in (with_file, with_value, path):
        assert "sdks.old-cli" not in codes(found(tmp_path, environ))


def asked(daemon):
    from imdsd.client import find_daemon

    return find_daemon(daemon.environ, uid=os.geteuid(), clock=FakeWaitingClock())


def test_an_sts_on_this_machine_is_told(tmp_path):
    environ = {**FULL, "AWS_ENDPOINT_URL_STS": "http://user:hunter2@127.0.0.1:4566/?key=hunter2"}
    told = only(found(tmp_path, environ), "sdks.sts-on-loopback")
    assert "unset AWS_ENDPOINT_URL_STS" in told.remedy
    assert told.found == "AWS_ENDPOINT_URL_STS is http://127.0.0.1:4566"


def test_an_sts_on_this_machine_is_right_for_a_demo(tmp_path):
    with running_daemon(tmp_path / "run", demo=True) as daemon:
        target = Target(frozenset({daemon.address}), asked(daemon))
        environ = {"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:4566"}
        assert "sdks.sts-on-loopback" not in codes(found(tmp_path, environ, target))


@pytest.mark.parametrize("text", [b"nonsense\n", b"[default]\nrole_arn = \xff\n"])
def test_a_file_that_sdks_fail_on_is_told(tmp_path, text):
    write(tmp_path, "config", "")
    (tmp_path / ".aws/config").write_bytes(text)
    assert ".aws/config" in only(found(tmp_path, FULL), "sdks.broken-file").remedy


def test_a_file_that_may_not_be_read_is_told(tmp_path):
    (tmp_path / ".aws/credentials").mkdir(parents=True)
    assert only(found(tmp_path, FULL), "sdks.broken-file")
