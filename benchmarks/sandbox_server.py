"""The sandbox in a process of its own, so that the daemon's process is measured alone.

Prints where it listens as one line of JSON, and serves until its stdin ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from imdsd.clock import SystemClock
from imdsd.sandbox.app import Sandbox, SandboxRole
from imdsd.sandbox.faults import delay


async def serve(role_arn: str, *, delay_seconds: float) -> None:
    role = SandboxRole(role_arn, max_session_seconds=43200)
    async with Sandbox(clock=SystemClock(), roles=[role]) as sandbox:
        if delay_seconds:
            sandbox.sts.faults.always(delay(delay_seconds))
        print(json.dumps({"token_url": sandbox.token_url, "sts_url": sandbox.sts_url}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role_arn")
    parser.add_argument("--delay-seconds", type=float, default=0.0)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.role_arn, delay_seconds=arguments.delay_seconds))


if __name__ == "__main__":
    main()
