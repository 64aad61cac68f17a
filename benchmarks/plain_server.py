"""What a user might write instead: the same bytes from an aiohttp application as it comes.

Takes the two bodies as one line of JSON on stdin, and serves until that ends. It checks neither a
bearer nor a token: all that is compared is what stands before that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from benchmarks.stage import PROJECT, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

USUAL_DESCRIPTORS = 1024
"""What a process may open where nobody says otherwise; this benchmark's own shell may say so."""


@contextmanager
def running(*, container: str, imds: str) -> Iterator[tuple[int, int]]:
    """Run it as a process; gives its pid and its port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.plain_server", str(port)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # One that runs out of descriptors says so tens of thousands of times.
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            bodies = {"container": container, "imds": imds}
            print(json.dumps(bodies), file=process.stdin, flush=True)
            if process.stdout is None or process.stdout.readline() != "up\n":
                raise SystemExit("the aiohttp application did not start")
            yield process.pid, port
        finally:
            process.kill()


async def serve(port: int, *, container: str, imds: str) -> None:
    async def answer_container(_request: web.Request) -> web.Response:
        return web.Response(text=container, content_type="application/json")

    async def answer_imds(_request: web.Request) -> web.Response:
        return web.Response(text=imds)

    async def answer_token(_request: web.Request) -> web.Response:
        return web.Response(text="a token")

    application = web.Application()
    application.router.add_get("/v1/credentials", answer_container)
    application.router.add_put("/latest/api/token", answer_token)
    application.router.add_get("/latest/meta-data/{rest:.*}", answer_imds)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("up", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (USUAL_DESCRIPTORS, hard))
    bodies = json.loads(sys.stdin.readline())
    asyncio.run(serve(arguments.port, **bodies))


if __name__ == "__main__":
    main()
