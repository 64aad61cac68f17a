"""`imdsd login` where a token command stands for Ona's: AWS's own tools read what it wrote.

The issuer and the STS are the demo's, which checks signatures; no daemon serves the shell.
"""

from __future__ import annotations

import json
import os
import re
import sys

import pytest

from tests.integration.daemon import ASSUMED_ROLE, BOTO3, ROLE
from tests.support import BIN, measured_environ, need, scrubbed_environ

ONA = """#!/bin/sh
test "$*" = "idp token --audience sts.amazonaws.com" || exit 64
curl -fsS "{issuer}/token?audience=$4" | sed 's/.*"value": "\\([^"]*\\)".*/\\1/'
"""
MINE = "# mine\r\n[work]\r\naws_access_key_id=AKIAWORK\r\naws_secret_access_key=of-mine"


@pytest.fixture
def ona(demo, tmp_path):
    """The variables of an Ona environment whose issuer and STS are the demo's."""
    need("sed")
    issuer = re.search(r"issuer +(http://\S+)", demo.guide)[1]
    program = tmp_path / "bin/ona"
    program.parent.mkdir()
    program.write_text(ONA.format(issuer=issuer))
    program.chmod(0o755)
    config = tmp_path / ".config/imdsd/config.toml"
    config.parent.mkdir(parents=True)
    sts = demo.variables["AWS_ENDPOINT_URL_STS"]
    role = f'[[role]]\nname = "demo"\narn = "{ROLE}"\nregion = "eu-west-1"\n'
    config.write_text(f'{role}sts_endpoint_url = "{sts}"\n')
    path = os.pathsep.join((str(program.parent), str(BIN), os.defpath))
    more = {
        "IMDSD_RUNTIME_DIR": str(tmp_path / "none"),
        "GITPOD_ENVIRONMENT_ID": "0191b6c5-7f3e-7c1a-9d55-5b0f3a6e0004",
    }
    return {**measured_environ(tmp_path, **more), "PATH": path}


@pytest.fixture
def login(house, ona):
    """A function that logs in, and gives back what it said on stderr, as stdout stays empty."""

    def run(*words, **more):
        done = house.run(BIN / "imdsd", "login", *words, environ={**ona, **more})
        assert done.stdout == ""
        return done.stderr

    return run


@pytest.fixture
def reading(demo, tmp_path):
    """A function that has a client read the files in the home, and says whom STS takes it for."""

    def run(*words, **more):
        sts = demo.variables["AWS_ENDPOINT_URL_STS"]
        environ = scrubbed_environ(
            tmp_path, AWS_ENDPOINT_URL_STS=sts, AWS_EC2_METADATA_DISABLED="true", **more
        )
        return json.loads(demo.room.run(*words, environ=environ).stdout)["Arn"]

    return run


CLI = (BIN / "aws", "sts", "get-caller-identity", "--output", "json")
BOTO = (sys.executable, "-c", BOTO3)


@pytest.mark.parametrize("words", [CLI, BOTO], ids=["AWS CLI", "boto3"])
def test_what_it_says_on_stderr_is_how_a_tool_uses_the_profile(login, reading, words):
    said = login()
    assert f"credentials of {ROLE} until 20" in said
    assert "(in 59 min)" in said or "(in 60 min)" in said
    variables = dict(re.findall(r"(AWS_\w+)=(\S+)", said))
    assert variables == {"AWS_PROFILE": "imdsd-demo", "AWS_REGION": "eu-west-1"}
    region = {"AWS_DEFAULT_REGION": variables["AWS_REGION"]}
    assert reading(*words, **variables, **region).startswith(ASSUMED_ROLE)


def test_the_options_of_ona_reach_sts(login, reading, tmp_path):
    words = ("--role-arn", ROLE, "--profile", "p", "--duration-seconds", "900")
    said = login(*words, "--role-session-name", "me@work")
    assert "(in 15 min)" in said or "(in 14 min)" in said
    arn = reading(*CLI, "--region", "eu-west-1", AWS_PROFILE="p")
    assert arn == f"{ASSUMED_ROLE}me@work"
    text = (tmp_path / ".aws/credentials").read_text()
    assert re.match(
        r"\[p\]\n# expires \S+Z, written by imdsd login\naws_access_key_id = ASIA", text
    )


def test_the_profile_default_serves_tools_that_are_told_nothing(login, reading):
    said = login("--profile", "default")
    assert "imdsd: warning: the profile default shadows the daemon for every SDK" in said
    assert reading(*CLI, AWS_DEFAULT_REGION="eu-west-1").startswith(ASSUMED_ROLE)


def test_the_file_that_the_variable_names_is_written_and_all_else_in_it_kept(
    login, reading, tmp_path
):
    path = tmp_path / "elsewhere"
    path.write_bytes(MINE.encode())
    variable = {"AWS_SHARED_CREDENTIALS_FILE": str(path)}
    login(**variable)
    login(**variable)
    assert path.read_bytes().startswith(f"{MINE}\r\n\r\n[imdsd-demo]\r\n".encode())
    assert path.read_bytes().count(b"aws_access_key_id") == 2
    assert path.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / ".aws").exists()
    profile = {"AWS_PROFILE": "imdsd-demo", "AWS_DEFAULT_REGION": "eu-west-1"}
    assert reading(*BOTO, **profile, **variable).startswith(ASSUMED_ROLE)


def test_a_role_that_the_running_daemon_alone_knows_is_refreshed_and_taken(
    demo, house, reading, tmp_path
):
    environ = {**demo.environ, "HOME": str(tmp_path)}
    before = demo.credentials()
    done = house.run(BIN / "imdsd", "login", environ=environ)
    assert f"profile imdsd-default of {tmp_path}/.aws/credentials" in done.stderr
    assert before["AccessKeyId"] not in (tmp_path / ".aws/credentials").read_text()
    assert demo.credentials()["AccessKeyId"] in (tmp_path / ".aws/credentials").read_text()
    region = {"AWS_DEFAULT_REGION": "us-east-1"}
    assert reading(*CLI, AWS_PROFILE="imdsd-default", **region).startswith(ASSUMED_ROLE)


def test_a_token_command_that_fails_leaves_no_file(house, ona, tmp_path):
    (tmp_path / "bin/ona").write_text("#!/bin/sh\necho not logged in >&2; exit 3\n")
    done = house.try_run(BIN / "imdsd", "login", environ=ona)
    assert (done.returncode, done.stdout) == (4, "")
    assert "imdsd: mint failed: " in done.stderr
    assert "not logged in" in done.stderr
    assert not (tmp_path / ".aws").exists()
