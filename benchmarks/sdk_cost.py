"""What credentials cost SDKs, from us and from what users would pick instead."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.report import Table, verdict
from benchmarks.samples import added, interleave, middle, ratios, spread
from benchmarks.stage import PROJECT, REGION, ROLE_ARN

if TYPE_CHECKING:
    from benchmarks.stage import Daemon, Sandbox, Stage

STS_SECONDS = 0.150
LEAST_TIMES = 10

_STATIC, _FILE = "static variables", "static keys in a file"
_CONTAINER, _IMDS, _PROCESS = "container endpoint", "IMDS", "`credential_process`"
_NEAR, _FAR = "web identity, STS at 0 ms", "web identity, STS at 150 ms"
MOST_MILLISECONDS = {_CONTAINER: 8, _IMDS: 12}
_OURS = (_CONTAINER, _IMDS, _PROCESS)

_BOTO3, _CLI, _JAVASCRIPT = "boto3", "AWS CLI, whole process", "JavaScript v3"
_NODE_CLIENTS = PROJECT / "tests" / "integration" / "node"

_IN_PYTHON = """
import json, time
import boto3
started = time.perf_counter()
credentials = boto3.Session().get_credentials()
credentials.get_frozen_credentials()
milliseconds = (time.perf_counter() - started) * 1000
print(json.dumps({"milliseconds": milliseconds, "method": credentials.method}))
"""
_IN_JAVASCRIPT = """
import { fromNodeProviderChain } from "@aws-sdk/credential-providers";
const started = performance.now();
const { accessKeyId } = await fromNodeProviderChain()();
const milliseconds = performance.now() - started;
console.log(JSON.stringify({ milliseconds, accessKeyId }));
"""


@dataclass(frozen=True, slots=True)
class Way:
    """What an SDK finds in its environment, and how one knows that it went this way.

    `method` is what botocore calls it; an access key of None is one that nobody had before.
    """

    variables: Mapping[str, str]
    method: str
    access_key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What one client took, and how it came by its credentials, as far as it says."""

    milliseconds: float
    method: str = ""
    accessKeyId: str = ""  # noqa: N815  # as JavaScript has it

    def went(self, way: Way, others: set[str]) -> bool:
        """Whether it was this way, and not another that it fell through to."""
        if self.method:
            return self.method == way.method
        if way.access_key_id is None:
            return self.accessKeyId not in others
        return self.accessKeyId == way.access_key_id


Client = Callable[[Mapping[str, str]], Seen]


def measure(stage: Stage, *, repetitions: int) -> list[Table]:
    with ExitStack() as stack:
        far = stack.enter_context(stage.sandbox(delay_seconds=STS_SECONDS))
        near = stack.enter_context(stage.sandbox())
        daemon = stack.enter_context(stage.daemon(near))
        daemon.until_serving()
        ways = _ways(stage, near, far, daemon)
        rows = []
        others = {way.access_key_id or "" for way in ways.values()}
        for client, ask in _clients(stage).items():
            taken = interleave(
                {name: _once(name, way, ask, others) for name, way in ways.items()},
                repetitions=repetitions,
            )
            rows += _rows(client, taken)
    columns = ["client", "credentials by", "median ms", "range", "added ms", "range"]
    return [Table("sdk-cost", [*columns, "web identity at 150 ms adds", "targets"], rows)]


def _clients(stage: Stage) -> dict[str, Client]:
    script = _NODE_CLIENTS / "node_modules" / "sdk-cost.mjs"
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise SystemExit("node and npm are not found: apt-get install nodejs npm")
    subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=_NODE_CLIENTS, check=True
    )
    # Beside the packages, where alone they are found.
    script.write_text(_IN_JAVASCRIPT)
    aws = Path(sys.executable).with_name("aws")

    def boto3(variables: Mapping[str, str]) -> Seen:
        return Seen(**json.loads(stage.run(sys.executable, "-c", _IN_PYTHON, **variables)))

    def cli(variables: Mapping[str, str]) -> Seen:
        # It keeps what STS gave it on disk, for the next of its processes.
        with tempfile.TemporaryDirectory(dir=stage.root) as home:
            started = time.perf_counter()
            printed = stage.run(aws, "configure", "list", HOME=home, **variables)
            milliseconds = (time.perf_counter() - started) * 1000
        # The name, the masked key, how it was found, and where.
        fields = next(line.split() for line in printed.splitlines() if "access_key" in line)
        return Seen(milliseconds, method=fields[2])

    def javascript(variables: Mapping[str, str]) -> Seen:
        told = stage.run(node, script, NODE_NO_WARNINGS="1", **variables)
        return Seen(**json.loads(told))

    return {_BOTO3: boto3, _CLI: cli, _JAVASCRIPT: javascript}


def _once(name: str, way: Way, ask: Client, others: set[str]) -> Callable[[], float]:
    def once() -> float:
        seen = ask(way.variables)
        if not seen.went(way, others):
            raise SystemExit(f"by {name} came {seen}, expected {way.method}, {way.access_key_id}")
        return seen.milliseconds

    return once


def _ways(stage: Stage, near: Sandbox, far: Sandbox, daemon: Daemon) -> dict[str, Way]:
    """Return what an SDK finds in its environment for each of the ways."""
    config, keys = stage.root / "aws-config", stage.root / "aws-credentials"
    config.write_text(f"[default]\ncredential_process = {stage.imdsd} credential-process\n")
    static, filed = "ASIASTATICVARIABLES", "ASIASTATICFILE"
    keys.write_text(
        f"[default]\naws_access_key_id = {filed}\naws_secret_access_key = example\n"
        "aws_session_token = example\n"
    )
    served = str(json.loads(daemon.ask("/v1/credentials"))["AccessKeyId"])
    ways = {
        _STATIC: (
            "env",
            static,
            {
                "AWS_ACCESS_KEY_ID": static,
                "AWS_SECRET_ACCESS_KEY": "example",
                "AWS_SESSION_TOKEN": "example",
            },
        ),
        _FILE: ("shared-credentials-file", filed, {"AWS_SHARED_CREDENTIALS_FILE": str(keys)}),
        _CONTAINER: (
            "container-role",
            served,
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{daemon.url}/v1/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(daemon.bearer_file),
            },
        ),
        _IMDS: (
            "iam-role",
            served,
            {
                "AWS_EC2_METADATA_DISABLED": "false",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": daemon.url,
            },
        ),
        _PROCESS: (
            "custom-process",
            served,
            {"AWS_CONFIG_FILE": str(config), "IMDSD_RUNTIME_DIR": str(daemon.directory)},
        ),
        _NEAR: ("assume-role-with-web-identity", None, _web_identity(stage, near)),
        _FAR: ("assume-role-with-web-identity", None, _web_identity(stage, far)),
    }
    common = {"AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}
    return {
        name: Way({**common, **variables}, method, key)
        for name, (method, key, variables) in ways.items()
    }


def _web_identity(stage: Stage, sandbox: Sandbox) -> dict[str, str]:
    token = stage.root / f"token-{sandbox.sts_url.rpartition(':')[2]}"
    token.write_text(sandbox.mint(), encoding="ascii")
    return {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": ROLE_ARN,
        "AWS_ENDPOINT_URL_STS": sandbox.sts_url,
    }


def _rows(client: str, taken: Mapping[str, list[float]]) -> list[list[str]]:
    costs = {name: added(values, taken[_STATIC]) for name, values in taken.items()}
    return [_row(client, name, values, costs) for name, values in taken.items()]


def _row(
    client: str, name: str, values: list[float], costs: Mapping[str, list[float]]
) -> list[str]:
    row = [client, name, middle(values, digits=1), spread(values, digits=1)]
    if name == _STATIC:
        return [*row, "", "", "", ""]
    cost = costs[name]
    row += [middle(cost, digits=1), spread(cost, digits=1)]
    # Of a whole process, noise is more than what most ways add.
    if name not in _OURS or client == _CLI:
        return [*row, "", ""]
    times = ratios(costs[_FAR], cost)
    told = f"{middle(times)} times as much ({spread(times)})"
    return [*row, told, _targets(name, cost, times) if client == _BOTO3 else ""]


def _targets(name: str, cost: list[float], times: list[float]) -> str:
    if name not in MOST_MILLISECONDS:
        return ""
    return (
        f"ms {verdict(median(cost), most=MOST_MILLISECONDS[name])}; "
        f"times {verdict(median(times), least=LEAST_TIMES)}"
    )
