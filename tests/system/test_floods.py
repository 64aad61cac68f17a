"""Floods beside a client that behaves: every request is answered, and nothing is left of the flood.

How soon is measured by `python -m benchmarks load`: what else a machine does would decide it here.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from imdsd.endpoints.door.limits import LIMITS
from tests.support import lack
from tests.system.settings import settings

PROJECT = Path(__file__).parents[2]
FLOODS = {"silent": 10_000, "slow-loris": 10_000, "token-puts": 10_000}
# A fraction of what a daemon bears that has a processor to itself and is not measured for coverage.
PER_SECOND = 500
MOST_DESCRIPTORS = LIMITS.connections + 64
MOST_LINES = 10
ASKED = 200


@asynccontextmanager
async def flood(kind, port):
    """Have a flood stand, in a process of its own; say what it did when it is over."""
    flood = [sys.executable, "-m", "benchmarks.flood", kind, str(port)]
    command = [*flood, f"--count={FLOODS[kind]}", f"--per-second={PER_SECOND}"]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert await asyncio.to_thread(process.stdout.readline) == "up\n"
            yield process
        finally:
            process.stdin.close()
            await asyncio.to_thread(process.wait, 60)


def answers(port, requests):
    """Return the status of each of many requests, a connection each."""
    seen = []
    for number in range(ASKED):
        # With nothing between the connection and the request, as a client has it.
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(requests[number % len(requests)])
            answer = b""
            while part := connection.recv(65536):
                answer += part
        seen.append(answer[:13])
        time.sleep(0.005)
    return seen


async def requests_of(daemon):
    ttl = {"X_aws_ec2_metadata_token_ttl_seconds": "600"}
    token = (await daemon.ask("PUT", "/latest/api/token", **ttl)).body.decode()
    path = "/latest/meta-data/iam/security-credentials/dev"
    return [
        head("GET", "/v1/credentials", f"Authorization: {daemon.bearer}"),
        head("GET", path, f"X-aws-ec2-metadata-token: {token}"),
    ]


def head(method, path, *fields):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *fields, "", ""]
    return "\r\n".join(lines).encode()


async def most_descriptors(daemon, done):
    most = 0
    while not done.is_set():
        most = max(most, len(list(Path(f"/proc/{daemon.pid}/fd").iterdir())))
        await asyncio.sleep(0.05)
    return most


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_client_that_behaves_is_served_in_a_flood_which_leaves_nothing(
    daemons, sandbox, kind
):
    if os.geteuid() != 0:
        lack("root, to look into the daemon's process")
    daemon = await daemons.serve(settings(sandbox)).ready()
    requests = await requests_of(daemon)
    lines, began, done = len(daemon.log.splitlines()), time.monotonic(), asyncio.Event()
    counting = asyncio.create_task(most_descriptors(daemon, done))
    async with flood(kind, daemon.port):
        seen = await asyncio.to_thread(answers, daemon.port, requests)
    done.set()

    assert set(seen) == {b"HTTP/1.1 200 "}
    assert await counting <= MOST_DESCRIPTORS
    minutes = max(1.0, (time.monotonic() - began) / 60)
    assert len(daemon.log.splitlines()) - lines <= MOST_LINES * minutes

    async def only_ours_is_open():
        return await daemon.metric("imdsd_connections") == 1

    await daemon.until(only_ours_is_open, what="the flood's connections are gone")


async def test_a_flood_met_the_limit(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    async with flood("silent", daemon.port):
        displaced = await daemon.metric("imdsd_connections_closed_total", reason="displaced")
    assert displaced > FLOODS["silent"] / 2
