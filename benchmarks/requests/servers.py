"""Who answers: the daemon, nginx with the same bytes in its configuration, and an aiohttp
application."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import plain_server
from benchmarks.leaf import CONTAINER, requests_of
from benchmarks.requests.generator import found
from benchmarks.stage import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.stage import Daemon

PATH = "/v1/credentials"
# What boto3 says of itself is longer than all the rest.
_AGENT = b"User-Agent: Boto3/1.43.117 md/Botocore#1.43.117 ua/2.1 os/linux#6.18 md/arch#x86_64"
_START_SECONDS = 10.0

_NGINX = """
daemon off;
worker_processes 1;
pid {place}/pid;
error_log {place}/errors;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  server_tokens off;
  client_body_temp_path {place}/1; proxy_temp_path {place}/2; fastcgi_temp_path {place}/3;
  uwsgi_temp_path {place}/4; scgi_temp_path {place}/5;
  server {{
    listen 127.0.0.1:{port};
    location = {path} {{
      if ($http_authorization != "{bearer}") {{ return 401; }}
      default_type application/json;
      add_header Cache-Control no-store;
      return 200 '{body}';
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A process on a core of its own, and a file with what to ask it."""

    pid: int
    port: int
    request: Path

    def cpu_seconds(self) -> float:
        """Return the processor time that its threads have had so far (proc_pid_schedstat)."""
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9


def daemon_server(
    daemon: Daemon, *, core: int, face: str = CONTAINER, path: str = PATH, varied: bool = False
) -> Server:
    """Return a daemon as a server, asked over one of its faces as an SDK asks.

    `varied`: as SDKs ask that give each request a number.
    """
    agent = _AGENT + (b"\r\namz-sdk-invocation-id: ########" if varied else b"")
    text = requests_of(daemon)[face].replace(b"Connection: close", agent)
    if face == CONTAINER:
        text = text.replace(PATH.encode(), path.encode())
    request = daemon.directory / f"request-{len(list(daemon.directory.iterdir()))}"
    request.write_bytes(text)
    return _pinned(Server(daemon.process.pid, daemon.address[1], request), core)


@contextmanager
def nginx(daemon: Daemon, *, core: int) -> Iterator[Server]:
    """Run nginx with one worker, which compares the bearer and answers as the daemon does."""
    port = free_port()
    place = daemon.directory / "nginx"
    place.mkdir()
    configuration = _NGINX.format(
        place=place,
        port=port,
        path=PATH,
        bearer=daemon.bearer_file.read_text(encoding="ascii"),
        body=daemon.ask(PATH).decode("ascii"),
    )
    (place / "nginx.conf").write_text(configuration)
    program = found("nginx", package="nginx-light")
    master = subprocess.Popen([program, "-p", str(place), "-c", str(place / "nginx.conf")])
    with master:
        try:
            request = daemon_server(daemon, core=core).request
            yield _pinned(Server(_worker_of(master.pid), port, request), core)
        finally:
            master.terminate()


@contextmanager
def application(daemon: Daemon, *, core: int) -> Iterator[Server]:
    """Run what a user might write instead, with the same bytes and without guards."""
    body = daemon.ask(PATH).decode("ascii")
    with plain_server.running(container=body, imds=body) as (pid, port):
        yield _pinned(Server(pid, port, daemon_server(daemon, core=core).request), core)


def _pinned(server: Server, core: int) -> Server:
    for thread in Path(f"/proc/{server.pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
    return server


def _worker_of(master: int) -> int:
    """Return the process that nginx serves with, once there is one."""
    children = Path(f"/proc/{master}/task/{master}/children")
    deadline = time.perf_counter() + _START_SECONDS
    while time.perf_counter() < deadline:
        if found_pids := children.read_text().split():
            return int(found_pids[0])
        time.sleep(0.01)
    raise SystemExit("nginx did not start a worker")
