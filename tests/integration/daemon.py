"""A daemon in a network namespace, as the clients nobody here wrote come to know it."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support import BIN, Room, measured_environ, need, scrubbed_environ

ROLE = "arn:aws:iam::123456789012:role/imdsd-demo"
ASSUMED_ROLE = "arn:aws:sts::123456789012:assumed-role/imdsd-demo/"

_EVERYWHERE = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_STS")
ENDPOINTS = {
    "container": (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    ),
    "imds": ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_METADATA_ENDPOINT"),
    # As on an EC2 instance: told nothing, a client goes to 169.254.169.254 by itself.
    "ec2": (),
}
"""By which of the variables that `imdsd env` prints a client is sent to each endpoint."""

ANSWERS = {"container": {"container 200": 1}, "imds": {"imds 200": 3}, "ec2": {"imds 200": 3}}
"""What a client is answered that asks once: over IMDS for a token, the role's name, its document."""

DEAD_PROXY = "http://127.0.0.1:1"

CONSUMERS = Path(__file__).parent / "consumers"
DESCRIPTION = (CONSUMERS / "metadata.toml").read_text()
DESCRIBED = tomllib.loads(DESCRIPTION)["metadata"]
"""The instance that the configuration of the fixture `described` describes."""

AS_ON_EC2 = ("unshare", "--mount", "sh", CONSUMERS / "as-on-ec2.sh")
"""Before the words of a command, has it take this machine for an instance."""

_TTL = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 60"

BOTO3 = """
import boto3, json
print(json.dumps(boto3.client("sts").get_caller_identity()))
"""


@dataclass(frozen=True, slots=True)
class Visit:
    """What a client printed, and what it was answered, by endpoint and status."""

    stdout: str
    answers: Counter[str]

    @property
    def document(self) -> Any:
        return json.loads(self.stdout)


@dataclass(frozen=True, slots=True)
class DaemonInRoom:
    """A daemon that serves; `environ` is for our verbs, `variables` are those that `env` prints."""

    room: Room
    environ: dict[str, str]
    variables: dict[str, str]
    guide: str

    def curl(self, path: str, *words: str) -> str:
        url = self.variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] + path
        return self.room.run("curl", "-fsS", *words, url, environ=self.environ).stdout

    def env(self, **more: str) -> dict[str, str]:
        """What `imdsd env` prints where these variables are set."""
        words = (BIN / "imdsd", "env", "--format", "json")
        return json.loads(self.room.run(*words, environ={**self.environ, **more}).stdout)

    def credentials(self) -> dict[str, str]:
        """The container document that is served at this moment."""
        bearer = self.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        return json.loads(self.curl("/v1/credentials", "-H", f"Authorization: {bearer}"))

    def leaf(self, path: str) -> str:
        """What the metadata service answers at a path below `latest`."""
        token = self.curl("/latest/api/token", "-X", "PUT", "-H", _TTL)
        return self.curl(f"/latest/{path}", "-H", f"X-Aws-Ec2-Metadata-Token: {token}")

    def answers(self) -> Counter[str]:
        """What was answered so far, but for operations."""
        families = text_string_to_metric_families(self.curl("/metrics"))
        samples = [sample for family in families for sample in family.samples]
        return Counter(
            {
                f"{sample.labels['endpoint']} {sample.labels['status']}": int(sample.value)
                for sample in samples
                if sample.name == "imdsd_requests_total" and sample.labels["endpoint"] != "ops"
            }
        )

    def visit(self, *command: str | Path, home: Path, endpoint: str) -> Visit:
        """Run a client that knows of this endpoint only."""
        names = (*_EVERYWHERE, *ENDPOINTS[endpoint])
        return self.visit_with({name: self.variables[name] for name in names}, *command, home=home)

    def visit_with(self, variables: dict[str, str], *command: str | Path, home: Path) -> Visit:
        """Run a client with these variables; it may try each request once."""
        environ = scrubbed_environ(home, AWS_MAX_ATTEMPTS="1", **variables)
        before = self.answers()
        done = self.room.run(*command, environ=environ)
        return Visit(done.stdout, self.answers() - before)


@contextmanager
def running_daemon(
    where: Room, directory: Path, *words: str, **more: str
) -> Iterator[DaemonInRoom]:
    """Run `imdsd` with these words until the block ends, and enter it when there is a role."""
    need("curl")
    environ = measured_environ(directory, IMDSD_RUNTIME_DIR=str(directory / "run"), **more)
    guide, log = directory / "guide", directory / "log"
    imdsd = (BIN / "imdsd", *words)
    with where.running(*imdsd, environ=environ, stdout=guide, stderr=log) as process:
        try:
            where.run(BIN / "imdsd", "wait", environ=environ)
            daemon = DaemonInRoom(where, environ, {}, guide.read_text())
            daemon.variables.update(daemon.env())
            yield daemon
        except AssertionError as error:
            error.add_note(f"the daemon's log:\n{log.read_text()}")
            raise
        process.terminate()
        assert process.wait(timeout=30) == 0, log.read_text()
