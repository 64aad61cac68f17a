"""A client that behaves, in a process of its own: so many requests a second, one connection each.

Reads the requests by name as one line of JSON, and goes on until its stdin ends; then prints, by
name, the milliseconds of each answer and how many requests were not answered with 200. A request
counts from the moment it was due, so that a client that is held up hides nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time

ANSWER_SECONDS = 10.0


class SteadyClient:
    def __init__(self, port: int, requests: dict[str, str], *, per_second: float) -> None:
        self._port = port
        self._requests = {name: text.encode("ascii") for name, text in requests.items()}
        self._pause_seconds = 1 / per_second
        self._asked: set[asyncio.Task[None]] = set()
        self.milliseconds: dict[str, list[float]] = {name: [] for name in requests}
        self.failed: dict[str, list[str]] = {name: [] for name in requests}

    async def run(self) -> None:
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        due = time.perf_counter()
        while not ended.done():
            for name in self._requests:
                task = asyncio.create_task(self._ask(name, due))
                self._asked.add(task)
                task.add_done_callback(self._asked.discard)
            due += self._pause_seconds
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await asyncio.gather(*self._asked)

    async def _ask(self, name: str, due: float) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._answer(self._requests[name])
        except (OSError, TimeoutError) as error:
            self.failed[name].append(type(error).__name__)
            return
        if answer.startswith(b"HTTP/1.1 200 "):
            self.milliseconds[name].append((time.perf_counter() - due) * 1000)
        else:
            self.failed[name].append(repr(answer[:40]))

    async def _answer(self, request: bytes) -> bytes:
        transport, answer = await asyncio.get_running_loop().create_connection(
            lambda: _Answer(request), "127.0.0.1", self._port
        )
        try:
            return await answer.whole
        finally:
            transport.close()


class _Answer(asyncio.Protocol):
    """Asks once, and has the whole answer when the server closes; cheaper than a stream."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._parts: list[bytes] = []
        self.whole = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.whole.done():
            return
        if exc is None:
            self.whole.set_result(b"".join(self._parts))
        else:
            self.whole.set_exception(exc)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--per-second", type=float, default=200.0)
    arguments = parser.parse_args()
    with contextlib.suppress(PermissionError):
        # It is the server that is measured, not how long this process waits for a processor.
        os.setpriority(os.PRIO_PROCESS, 0, min(-10, os.getpriority(os.PRIO_PROCESS, 0)))
    requests = json.loads(sys.stdin.readline())
    client = SteadyClient(arguments.port, requests, per_second=arguments.per_second)
    asyncio.run(client.run())
    print(json.dumps({"milliseconds": client.milliseconds, "failed": client.failed}))


if __name__ == "__main__":
    main()
