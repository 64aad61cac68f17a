"""What the README promises, typed into a real shell: a few lines, and AWS's own CLI is served."""

import json
import os
import re
import sys

import pytest

from tests.integration.daemon import ANSWERS, ASSUMED_ROLE, BOTO3, ROLE
from tests.support import BIN, measured_environ, need

END = """
status=$?
kill $!
wait $!
exit $status
"""
DEMO = """
imdsd demo --listen 127.0.0.1:9333 &
eval "$(imdsd env)"
aws sts get-caller-identity
"""
ONA = f"""
imdsd serve --role-arn {ROLE} &
eval "$(imdsd env)"
aws sts get-caller-identity && curl -fsS http://127.0.0.1:9254/readyz
"""
# What it is asked for is as much part of the promise as that it is asked.
GITPOD = """#!/bin/sh
test "$*" = "idp token --audience sts.amazonaws.com" || exit 64
curl -fsS "{issuer}/token?audience=$4" | sed 's/.*"value": "\\([^"]*\\)".*/\\1/'
"""


def arn_in(text):
    return json.loads(re.search(r"\{[^{}]*\}", text)[0])["Arn"]


@pytest.fixture
def ona(demo, tmp_path):
    """The variables of an Ona environment whose issuer and STS are the demo's."""
    need("sed")
    issuer = re.search(r"issuer +(http://\S+)", demo.guide)[1]
    program = tmp_path / "bin/gitpod"
    program.parent.mkdir()
    program.write_text(GITPOD.format(issuer=issuer))
    program.chmod(0o755)
    sts_url = demo.variables["AWS_ENDPOINT_URL_STS"]
    config = tmp_path / ".config/imdsd/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[[role]]\nsts_endpoint_url = "{sts_url}"\n')
    environ = measured_environ(
        tmp_path,
        IMDSD_RUNTIME_DIR=str(tmp_path / "run"),
        GITPOD_ENVIRONMENT_ID="0191b6c5-7f3e-7c1a-9d55-5b0f3a6e0004",
        AWS_ENDPOINT_URL_STS=sts_url,
    )
    path = os.pathsep.join((str(program.parent), str(BIN), os.defpath))
    return {**environ, "PATH": path}


def test_the_demo_and_two_lines_name_the_assumed_role(house, tmp_path):
    environ = measured_environ(tmp_path, IMDSD_RUNTIME_DIR=str(tmp_path / "run"))
    done = house.run("sh", "-c", DEMO + END, environ=environ)
    assert arn_in(done.stdout).startswith(ASSUMED_ROLE)


def test_a_role_is_all_that_an_ona_environment_needs_to_be_told(house, ona):
    done = house.run("sh", "-c", ONA + END, environ=ona)
    assert arn_in(done.stdout).startswith(ASSUMED_ROLE)


def test_the_cli_is_served_by_credential_process(demo, tmp_path):
    config = tmp_path / ".aws/config"
    config.parent.mkdir()
    config.write_text("[default]\ncredential_process = imdsd credential-process\n")
    names = ("AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_STS")
    variables = {name: demo.variables[name] for name in names}
    variables["IMDSD_RUNTIME_DIR"] = demo.environ["IMDSD_RUNTIME_DIR"]
    visit = demo.visit_with(
        variables, "aws", "sts", "get-caller-identity", "--output", "json", home=tmp_path
    )
    assert visit.document["Arn"].startswith(ASSUMED_ROLE)
    assert visit.answers == ANSWERS["container"]


def test_exec_serves_a_command_whose_variables_lead_elsewhere(demo, tmp_path):
    elsewhere = {
        "AWS_ACCESS_KEY_ID": "AKIAOFSOMEBODYELSE00",
        "AWS_SECRET_ACCESS_KEY": "of-somebody-else",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "missing"),
        "AWS_ROLE_ARN": ROLE,
    }
    words = (BIN / "imdsd", "exec", "--", sys.executable, "-c", BOTO3)
    done = demo.room.run(*words, environ={**demo.environ, **elsewhere})
    assert json.loads(done.stdout)["Arn"].startswith(ASSUMED_ROLE)
