"""The automation of Ona's own guide: a secret, read at start and again long after a session's end.

The secret is moto's, and so is the STS. While an automation reads, moto checks signatures and
policies: the role alone may read. The clock of everybody is set ahead at once, by five hours; two
automations, one of the AWS CLI and one of boto3, run through all of it and are told nothing but what
`imdsd env` prints, or `containerEnv` holds.
"""

import json
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imdsd.install.ona.service import OnaTerms
from tests.fakes.web_identity import make_token
from tests.integration.daemon import DaemonInRoom
from tests.support import BIN, Room, measured_environ, scrubbed_environ
from tests.system.machine import FAKETIME, need_file

MOTO = "http://127.0.0.1:5001"
ROLE = "arn:aws:iam::123456789012:role/automation"
SECRET = "of-the-build"
LATER = timedelta(hours=5)

# Only who has the role reads this one secret.
SEED = """
import boto3, json
statement = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
trust = {"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity", "Principal": "*"}
document = lambda each: json.dumps({"Version": "2012-10-17", "Statement": [each]})
iam = boto3.client("iam")
iam.create_role(RoleName="automation", AssumeRolePolicyDocument=document(trust))
iam.put_role_policy(RoleName="automation", PolicyName="read", PolicyDocument=document(statement))
boto3.client("secretsmanager").create_secret(Name="build/token", SecretString="of-the-build")
"""
# An automation reads when a pipe says so, and tells which access key it was that signed. It cannot
# sleep: libfaketime breaks time.sleep where the monotonic clock goes on.
WITH_BOTO3 = """
import boto3, pathlib, re, sys
client = boto3.client("secretsmanager")
keys = []
signed = lambda request, **_: keys.append(re.search(r"Credential=(\\w+)", str(request.headers))[1])
client.meta.events.register("before-send.secrets-manager", signed)
for name in sys.argv[1:]:
    pathlib.Path(name).read_text()
    print(client.get_secret_value(SecretId="build/token")["SecretString"], keys[-1], flush=True)
"""
WITH_CLI = """
for name in "$@"; do
    read -r _ <"$name"
    secret=$(aws secretsmanager get-secret-value --secret-id build/token \
        --query SecretString --output text --debug 2>"$HOME/debug")
    echo "$secret $(sed -n 's/.*Credential=\\([A-Z0-9]*\\).*/\\1/p' "$HOME/debug" | tail -n 1)"
done
"""
CONFIG = """
listen = ["127.0.0.1:9446"]
region = "eu-central-1"

[token]
file = "{token}"

[[role]]
arn = "{role}"
sts_endpoint_url = "{moto}"
"""


@dataclass(frozen=True, slots=True)
class Account:
    """An AWS account of moto's, at a time that can be set ahead for everybody in the room."""

    room: Room
    place: Path

    @property
    def sky(self) -> dict[str, str]:
        """What puts a process under the clock of this room; the monotonic one goes on."""
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self.place / "clock"),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set_clock(self, ahead: timedelta) -> None:
        """Set everybody's clock, and have a token that is new by then, as a projected one is."""
        now = int((datetime.now(UTC) + ahead).timestamp())
        (self.place / "token").write_text(make_token(iat=now, exp=now + 3600))
        draft = self.place / "clock.draft"
        draft.write_text(f"{int(ahead.total_seconds()):+}\n")
        draft.rename(self.place / "clock")

    def check_callers(self, *, wanted: bool) -> None:
        """Have moto check every request, or none: it would check even those that none signs."""
        count = "0" if wanted else "inf"
        url = f"{MOTO}/moto-api/reset-auth"
        environ = scrubbed_environ(self.place)
        words = ("-fsS", "-H", "Content-Type: text/plain", "-d", count)
        self.room.run("curl", *words, url, environ=environ)


@pytest.fixture
def account(house, tmp_path):
    need_file(FAKETIME)
    account = Account(house, tmp_path)
    account.set_clock(timedelta(0))
    environ = scrubbed_environ(tmp_path, **account.sky)
    log = tmp_path / "moto.log"
    words = (BIN / "moto_server", "-H", "127.0.0.1", "-p", "5001")
    patience = ("--retry", "60", "--retry-delay", "1", "--retry-connrefused")
    with house.running(*words, environ=environ, stdout=log, stderr=log):
        house.run(
            "curl", "-fsS", *patience, f"{MOTO}/moto-api/", environ=scrubbed_environ(tmp_path)
        )
        keys = {"AWS_ACCESS_KEY_ID": "administrator", "AWS_SECRET_ACCESS_KEY": "x"}
        region = {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ENDPOINT_URL": MOTO}
        administrator = scrubbed_environ(tmp_path, **keys, **region)
        house.run(sys.executable, "-c", SEED, environ=administrator)
        yield account


@pytest.fixture
def served(account, tmp_path):
    # Not the verbs that wait: they sleep.
    sky = [f"{name}={value}" for name, value in account.sky.items()]
    config = tmp_path / "imdsd.toml"
    config.write_text(CONFIG.format(token=tmp_path / "token", role=ROLE, moto=MOTO))
    environ = measured_environ(tmp_path, IMDSD_RUNTIME_DIR=str(tmp_path / "run"))
    log = tmp_path / "daemon.log"
    words = ("env", *sky, BIN / "imdsd", "serve", "--config", config)
    with account.room.running(*words, environ=environ, stdout=log, stderr=log) as process:
        done = account.room.try_run(BIN / "imdsd", "wait", environ=environ)
        assert done.returncode == 0, done.stderr + log.read_text()
        daemon = DaemonInRoom(account.room, environ, {}, "")
        daemon.variables.update(daemon.env())
        yield daemon
        process.terminate()
        assert process.wait(timeout=30) == 0


def told(daemon: DaemonInRoom, by: str) -> dict[str, str]:
    """The variables an automation has, and where this test's Secrets Manager is."""
    names = set(daemon.variables)
    if by == "containerEnv":
        names = set(OnaTerms(ROLE, "eu-central-1").variables) - {"IMDSD_RUNTIME_DIR"}
    variables = {name: daemon.variables[name] for name in names}
    return {**variables, "AWS_ENDPOINT_URL_SECRETS_MANAGER": MOTO}


def asked_again(daemon: DaemonInRoom) -> dict[str, str]:
    """What an SDK is given that finds the last credentials expired, and the daemon at work."""
    bearer = f"Authorization: {daemon.variables['AWS_CONTAINER_AUTHORIZATION_TOKEN']}"
    return json.loads(daemon.curl("/v1/credentials", "-H", bearer, "--retry", "20"))


class Automation:
    """One that runs all the time, and reads the secret whenever it is let to."""

    def __init__(self, words, home, environ, account, stack):
        home.mkdir()
        self._pipes = [home / "at-start", home / "long-after"]
        for pipe in self._pipes:
            os.mkfifo(pipe)
        environ = scrubbed_environ(home, **environ, **account.sky)
        command = (*words, *self._pipes)
        self.process = stack.enter_context(account.room.running(*command, environ=environ))

    def read(self):
        self._pipes.pop(0).write_text("go\n")
        return self.process.stdout.readline().split()


def test_a_secret_is_read_at_start_and_long_after_the_first_session_ended(
    account, served, tmp_path
):
    clients = {"boto3": (sys.executable, "-c", WITH_BOTO3), "cli": ("sh", "-c", WITH_CLI, "sh")}
    with ExitStack() as stack:
        automations = [
            Automation(words, tmp_path / f"{client} {by}", told(served, by), account, stack)
            for client, words in clients.items()
            for by in ("imdsd env", "containerEnv")
        ]
        first = served.credentials()
        account.check_callers(wanted=True)
        expected = [SECRET, first["AccessKeyId"]]
        assert [each.read() for each in automations] == [expected] * 4

        account.check_callers(wanted=False)
        account.set_clock(LATER)
        second = asked_again(served)
        account.check_callers(wanted=True)
        expected = [SECRET, second["AccessKeyId"]]
        assert [each.read() for each in automations] == [expected] * 4
        assert [each.process.wait(timeout=60) for each in automations] == [0] * 4

    now = datetime.now(UTC) + LATER
    assert datetime.fromisoformat(first["Expiration"]) < now
    assert datetime.fromisoformat(second["Expiration"]) > now
    assert first["AccessKeyId"] != second["AccessKeyId"]


def test_nobody_else_reads_the_secret(account, served, tmp_path):
    """The control: it is the role that lets an automation in."""
    (tmp_path / "now").touch()
    account.check_callers(wanted=True)
    stranger = {
        "AWS_ACCESS_KEY_ID": "administrator",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": MOTO,
    }
    command = (sys.executable, "-c", WITH_BOTO3, tmp_path / "now")
    done = account.room.try_run(*command, environ=scrubbed_environ(tmp_path, **stranger))
    assert done.returncode != 0
    assert "security token included in the request is invalid" in done.stderr
