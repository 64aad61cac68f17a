"""What credentials cost an SDK, from us and from what users would pick instead."""

from __future__ import annotations

import json
import sys
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.report import Table, verdict
from benchmarks.samples import added, interleave, middle, ratios, spread
from benchmarks.stage import REGION, ROLE_ARN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.stage import Daemon, Sandbox, Stage

STS_SECONDS = 0.150
MOST_MILLISECONDS = 15
LEAST_TIMES = 10

_STATIC, _CONTAINER, _IMDS = "static variables", "container endpoint", "IMDS"
_PROCESS, _WEB_IDENTITY = "`credential_process`", "web identity, STS at 150 ms"
_OURS = (_CONTAINER, _IMDS)

# By the name that botocore gives the provider which answered: a fall-through must not count.
_METHODS = {
    _STATIC: "env",
    _CONTAINER: "container-role",
    _IMDS: "iam-role",
    _PROCESS: "custom-process",
    _WEB_IDENTITY: "assume-role-with-web-identity",
}

_CLIENT = """
import json, time
import boto3
started = time.perf_counter()
credentials = boto3.Session().get_credentials()
credentials.get_frozen_credentials()
milliseconds = (time.perf_counter() - started) * 1000
print(json.dumps({"milliseconds": milliseconds, "method": credentials.method}))
"""


def measure(stage: Stage, *, repetitions: int) -> list[Table]:
    with (
        stage.sandbox(delay_seconds=STS_SECONDS) as sandbox,
        stage.daemon(sandbox) as daemon,
    ):
        daemon.until_serving()
        variables = _variables(stage, sandbox, daemon)
        ways = {name: _way(stage, name, variables[name]) for name in _METHODS}
        taken = interleave(ways, repetitions=repetitions)
    return [_table(taken)]


def _way(stage: Stage, name: str, variables: Mapping[str, str]) -> Callable[[], float]:
    def once() -> float:
        seen = json.loads(stage.run(sys.executable, "-c", _CLIENT, **variables))
        if seen["method"] != _METHODS[name]:
            raise SystemExit(f"{name} came by {seen['method']!r}, expected {_METHODS[name]!r}")
        return float(seen["milliseconds"])

    return once


def _variables(stage: Stage, sandbox: Sandbox, daemon: Daemon) -> dict[str, dict[str, str]]:
    """Return what an SDK finds in its environment for each of the ways."""
    config = stage.root / "aws-config"
    config.write_text(f"[default]\ncredential_process = {stage.imdsd} credential-process\n")
    ways = {
        _STATIC: {
            "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "AWS_SESSION_TOKEN": "example",
        },
        _CONTAINER: {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{daemon.url}/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(daemon.bearer_file),
        },
        _IMDS: {
            "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": daemon.url,
        },
        _PROCESS: {
            "AWS_CONFIG_FILE": str(config),
            "IMDSD_RUNTIME_DIR": str(daemon.directory),
        },
        _WEB_IDENTITY: {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(stage.token_file),
            "AWS_ROLE_ARN": ROLE_ARN,
            "AWS_ENDPOINT_URL_STS": sandbox.sts_url,
        },
    }
    return {name: {"AWS_DEFAULT_REGION": REGION, **each} for name, each in ways.items()}


def _table(taken: Mapping[str, list[float]]) -> Table:
    costs = {name: added(values, taken[_STATIC]) for name, values in taken.items()}
    rows = [_row(name, values, costs) for name, values in taken.items()]
    columns = ["credentials by", "median ms", "range", "added ms", "range"]
    return Table("sdk-cost", [*columns, "web identity adds", "targets"], rows)


def _row(name: str, values: list[float], costs: Mapping[str, list[float]]) -> list[str]:
    row = [name, middle(values, digits=1), spread(values, digits=1)]
    if name == _STATIC:
        return [*row, "", "", "", ""]
    cost = costs[name]
    row += [middle(cost, digits=1), spread(cost, digits=1)]
    if name == _WEB_IDENTITY:
        return [*row, "", ""]
    times = ratios(costs[_WEB_IDENTITY], cost)
    told = f"{middle(times)} times as much ({spread(times)})"
    return [*row, told, _targets(cost, times) if name in _OURS else ""]


def _targets(cost: list[float], times: list[float]) -> str:
    return (
        f"ms {verdict(median(cost), most=MOST_MILLISECONDS)}; "
        f"times {verdict(median(times), least=LEAST_TIMES)}"
    )
