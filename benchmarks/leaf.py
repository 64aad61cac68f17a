"""How long the daemon takes for one request: a leaf of the metadata tree beside credentials."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.report import Table, verdict
from benchmarks.samples import interleave, middle, ratios, spread

if TYPE_CHECKING:
    from benchmarks.stage import Daemon, Stage

REQUESTS = 500
MOST_TIMES = 1.1
CONTAINER, IMDS = "container credentials", "IMDS credentials"
_LEAF, _LISTING = "IMDS leaf", "IMDS listing"


def measure(stage: Stage, *, repetitions: int) -> list[Table]:
    with stage.sandbox() as sandbox, stage.daemon(sandbox) as daemon:
        daemon.until_serving()
        ways = {
            name: (lambda request=request: _microseconds(daemon, request))
            for name, request in requests_of(daemon).items()
        }
        taken = interleave(ways, repetitions=repetitions)
        spent = {name: _spent(daemon, request) for name, request in requests_of(daemon).items()}
    rows = [_row(name, values, taken[IMDS], spent[name]) for name, values in taken.items()]
    columns = ["a new connection each", "median µs", "range", "times IMDS credentials", "range",
               "daemon's CPU µs", "target"]  # fmt: skip
    return [Table("leaf", columns, rows)]


def _row(name: str, values: list[float], base: list[float], spent: float) -> list[str]:
    times = ratios(values, base)
    return [
        name,
        middle(values),
        spread(values),
        middle(times, digits=2),
        spread(times, digits=2),
        f"{spent:.0f}",
        verdict(median(times), most=MOST_TIMES) if name in (_LEAF, _LISTING) else "",
    ]


def requests_of(daemon: Daemon) -> dict[str, bytes]:
    lifetime = "X-aws-ec2-metadata-token-ttl-seconds: 21600"
    minted = ask(daemon, _head("PUT", "/latest/api/token", lifetime)).partition(b"\r\n\r\n")[2]
    token = f"X-aws-ec2-metadata-token: {minted.decode('ascii')}"
    bearer = f"Authorization: {daemon.bearer_file.read_text(encoding='ascii')}"
    below = "/latest/meta-data"
    return {
        CONTAINER: _head("GET", "/v1/credentials", bearer),
        IMDS: _head("GET", f"{below}/iam/security-credentials/bench", token),
        _LEAF: _head("GET", f"{below}/placement/region", token),
        _LISTING: _head("GET", f"{below}/", token),
    }


def _head(method: str, path: str, header: str) -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "Host: localhost", header, "Connection: close", "", "")
    return "\r\n".join(lines).encode("ascii")


def _microseconds(daemon: Daemon, request: bytes) -> float:
    """Return how long one request takes, by the mean of many one after the other."""
    started = time.perf_counter()
    for _ in range(REQUESTS):
        ask(daemon, request)
    return (time.perf_counter() - started) / REQUESTS * 1e6


def _spent(daemon: Daemon, request: bytes) -> float:
    """Return the daemon's own processor time for one request, which noise disturbs least."""
    before = _processor_seconds(daemon.process.pid)
    for _ in range(REQUESTS * 4):
        ask(daemon, request)
    return (_processor_seconds(daemon.process.pid) - before) / (REQUESTS * 4) * 1e6


def ask(daemon: Daemon, request: bytes) -> bytes:
    with socket.create_connection(daemon.address) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"answered {answer[:60]!r}, expected 200")
    return answer


def _processor_seconds(pid: int) -> float:
    # proc(5): utime and stime are the 14th and 15th field, in ticks; the name may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
