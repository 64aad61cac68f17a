"""A booted machine with imdsd installed on it from its wheel, and an STS to be served by."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from tests.system.booted import booted, need_all_to_boot
from tests.system.settings import table

ROOT = Path(__file__).parents[2]
ARN = "arn:aws:iam::123456789012:role/dev"
PYTHON = "/opt/imdsd/bin/python"
IMDSD = "/opt/imdsd/bin/imdsd"
CONFIG = "/etc/imdsd/config.toml"
URL = "http://127.0.0.1:9254"

_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
# Interpreters are often kept in a home, where no system service may see them.
_BASE, _TESTS = "/opt/base", "/opt/tests"

_INSTALL = f"""
set -e
# Such an interpreter may look for its own library where it was built.
if ls {_BASE}/lib/libpython* >/dev/null 2>&1; then
  echo {_BASE}/lib >/etc/ld.so.conf.d/00-base.conf
  ldconfig
fi
{_BASE}/bin/python{_VERSION} -m venv --without-pip /opt/imdsd
# The packages that imdsd depends on: those of the tests, found behind its own.
echo {_TESTS}/lib/python{_VERSION}/site-packages >/opt/imdsd/lib/python{_VERSION}/site-packages/of.pth
{_TESTS}/bin/uv pip install --quiet --python {PYTHON} --no-deps --no-index --no-cache "$1"
"""

_SANDBOX = """
import asyncio, json, sys
from imdsd.clock import SystemClock
from imdsd.sandbox.app import Sandbox, SandboxRole
async def serve():
    roles = [SandboxRole(arn) for arn in sys.argv[1:]]
    async with Sandbox(clock=SystemClock(), roles=roles) as sandbox:
        print(json.dumps([sandbox.token_url, sandbox.sts_url]), flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(serve())
"""

BOTO3 = """
import boto3, botocore.exceptions
try:
    print(boto3.client("sts").get_caller_identity()["Arn"])
except botocore.exceptions.NoCredentialsError:
    print("no credentials")
"""


class Installed:
    """The machine, what a test noted of it before, and where its sandbox is."""

    def __init__(self, machine, token_url, sts_url):
        self.machine = machine
        self.before = set()
        self.token_url = token_url
        self.sts_url = sts_url

    def settings(self, *roles, **top):
        common = {"region": "eu-central-1", "bearer_group": "imdsd", "allow_groups": ["imdsd"]}
        return "\n".join([*table({**common, **top}), *(roles or [self.role()])]) + "\n"

    def role(self, name="dev", token=None, **more):
        head = {"name": name, "arn": ARN, "sts_endpoint_url": self.sts_url, **more}
        source = token or {"url": f"{self.token_url}?audience={{audience}}"}
        return "\n".join(["[[role]]", *table(head), "[role.token]", *table(source)])

    def web_identity_token(self):
        """A token of the sandbox's issuer, as a login would leave it in a file."""
        return json.loads(self.machine.run("curl", "-fsS", self.token_url))["value"]

    def configure(self, text):
        self.machine.write(CONFIG, text)

    def imdsd(self, *words, user=None, **options):
        """Run a verb in there, whatever its end."""
        return self.machine.try_run(IMDSD, *words, user=user, **options)

    def env(self, user):
        """The variables that `imdsd env` gives a user."""
        done = self.imdsd("env", "--format=json", user=user)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def status(self):
        return json.loads(self.machine.run("curl", "-fsS", f"{URL}/status"))

    def role_state(self, name="dev"):
        return next(each["state"] for each in self.status()["roles"] if each["name"] == name)

    def identity(self, user, **variables):
        """Who a user's boto3 is, told of the STS and nothing else but these variables."""
        told = {"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL_STS": self.sts_url, **variables}
        told |= {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "1"}
        return self.machine.run(PYTHON, "-c", BOTO3, user=user, **told).strip()


@contextmanager
def installed(wheels: Path):
    """Boot, install from the wheel into /opt, and start the sandbox."""
    need_all_to_boot()
    words = ("-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels))
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = wheels.glob("*.whl")
    shown = {sys.base_prefix: _BASE, sys.prefix: _TESTS, wheels: "/opt/wheels"}
    with booted(shown) as machine:
        machine.run("sh", "-c", _INSTALL, "sh", f"/opt/wheels/{wheel.name}", HOME="/root")
        for name in ("alice", "bob"):
            machine.run("useradd", "--create-home", name)
        with machine.running(PYTHON, "-P", "-c", _SANDBOX, ARN) as sandbox:
            yield Installed(machine, *json.loads(sandbox.stdout.readline()))
