"""What the doctor says that an SDK takes is what the SDK takes: one table, real boto3 and Node."""

from __future__ import annotations

import json
import sys

import pytest

from tests.fakes.web_identity import make_token
from tests.integration.daemon import ENDPOINTS, DaemonInRoom
from tests.support import BIN, scrubbed_environ

_BOTO3 = """
import boto3, json
try:
    found = boto3.Session().get_credentials()
    print(json.dumps({"method": found and found.method}))
except Exception as error:
    print(json.dumps({"method": None, "error": type(error).__name__}))
"""
# What each link of JavaScript v3 says of itself when it gave something, and when it could not.
_GAVE = {
    "CREDENTIALS_ENV_VARS": "fromEnv",
    "CREDENTIALS_PROFILE": "fromIni",
    "CREDENTIALS_PROFILE_PROCESS": "fromIni",
    "CREDENTIALS_HTTP": "fromHttp",
}
_FAILED = {"InvalidIdentityToken": "fromTokenFile", "SSO": "fromIni"}
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "secret"}
WEB_IDENTITY = {
    "AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN",
    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/imdsd-demo",
}
PROCESS = (
    """sh -c 'echo "{\\"Version\\":1,\\"AccessKeyId\\":\\"A\\",\\"SecretAccessKey\\":\\"s\\"}"'"""
)
STATIC = "aws_access_key_id = AKIAFILE\naws_secret_access_key = x\n"
SSO = (
    "sso_session = corp\nsso_account_id = 123456789012\nsso_role_name = r\n"
    "[sso-session corp]\nsso_start_url = https://corp.invalid\nsso_region = us-east-1\n"
)


class Case:
    """A shell: which endpoint `imdsd env` points it to, what is set beside, what files say."""

    def __init__(self, name, environ=None, *, config="", credentials="", endpoint="container"):
        self.name, self.environ, self.endpoint = name, environ or {}, endpoint
        self.config, self.credentials = config, credentials


CASES = [
    Case("container"),
    Case("imds", endpoint="imds"),
    Case("imds off", {"AWS_EC2_METADATA_DISABLED": "true"}, endpoint="imds"),
    Case("keys", KEYS),
    Case("half of the keys", {"AWS_ACCESS_KEY_ID": "AKIAENV"}),
    Case("process", config=f"[default]\ncredential_process = {PROCESS}\n"),
    Case("keys in config", config=f"[default]\n{STATIC}"),
    Case("keys in credentials", credentials=f"[default]\n{STATIC}"),
    Case(
        "process and keys in config",
        config=f"[default]\n{STATIC}credential_process = {PROCESS}\n",
    ),
    Case("sso", config=f"[default]\n{SSO}"),
    Case("web identity", WEB_IDENTITY),
    Case("token file without a role", {"AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN"}),
    Case("web identity and a profile", WEB_IDENTITY, credentials=f"[default]\n{STATIC}"),
    Case("keys and a profile", {**KEYS, "AWS_PROFILE": "p"}, credentials=f"[p]\n{STATIC}"),
    Case("another profile", config=f"[profile p]\n{STATIC}"),
    Case("a profile without its prefix", {"AWS_PROFILE": "p"}, config=f"[p]\n{STATIC}"),
    Case("the older name of a profile", {"AWS_DEFAULT_PROFILE": "p"}, credentials=f"[p]\n{STATIC}"),
    Case("a profile that is nowhere", {"AWS_PROFILE": "gone"}),
    Case("a profile that is nowhere, and keys", {**KEYS, "AWS_PROFILE": "gone"}),
    Case("a profile without credentials", {"AWS_PROFILE": "p"}, config="[profile p]\nregion = x\n"),
    Case("a name of a profile that is empty", {"AWS_PROFILE": ""}),
    Case("a profile in quotes", {"AWS_PROFILE": "p"}, config=f'[profile "p"]\n{STATIC}'),
    Case("a profile after a tab", {"AWS_PROFILE": "p"}, config=f"[profile\tp]\n{STATIC}"),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def shell(request, demo: DaemonInRoom, tmp_path):
    """The variables of a case's shell, its files in place."""
    case = request.param
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text(case.config)
    (tmp_path / ".aws/credentials").write_text(case.credentials)
    (tmp_path / "token").write_text(make_token())
    names = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_STS", *ENDPOINTS[case.endpoint])
    told = {name: demo.variables[name] for name in names} | case.environ
    told = {name: value.replace("TOKEN", str(tmp_path / "token")) if value == "TOKEN" else value
            for name, value in told.items()}  # fmt: skip
    return scrubbed_environ(tmp_path, AWS_MAX_ATTEMPTS="1", **told)


def predicted(demo, shell, sdk):
    """The link that wins by the doctor, None where the chain breaks or ends with nothing."""
    asked = {**shell, "IMDSD_RUNTIME_DIR": demo.environ["IMDSD_RUNTIME_DIR"]}
    words = ("doctor", "--offline", "--json", "--config", "/dev/null")
    done = demo.room.try_run(BIN / "imdsd", *words, environ=asked)
    findings = json.loads(done.stdout)["findings"]
    (found,) = [each for each in findings if each["facts"].get("sdk") == sdk]
    if found["code"] in ("sdks.broken", "sdks.nowhere"):
        return None
    return next(each["link"] for each in found["facts"]["chain"] if each["wins"])


def test_boto3_takes_what_the_doctor_says(demo, shell):
    done = demo.room.run(sys.executable, "-c", _BOTO3, environ=shell)
    assert json.loads(done.stdout)["method"] == predicted(demo, shell, "boto3"), done.stdout


def test_javascript_v3_takes_what_the_doctor_says(demo, shell, node_clients):
    done = demo.room.run("node", node_clients / "default-chain.mjs", environ=shell)
    said = json.loads(done.stdout)
    assert _link(said) == predicted(demo, shell, "JavaScript v3"), done.stdout


def _link(said):
    """The link of JavaScript v3 that gave credentials, or that failed at what it had found."""
    if "error" in said:
        return next((link for word, link in _FAILED.items() if word in said["error"]), None)
    # What IMDS gives it does not name.
    return next((_GAVE[each] for each in said["source"] if each in _GAVE), "fromInstanceMetadata")
