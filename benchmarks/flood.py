"""A neighbour who means no good, in a process of its own: very many connections, or very many PUTs.

Prints a line once the flood stands, and goes on until its stdin ends. A flood of connections
opens those that are closed anew, at the same pace. `tests/system/test_floods.py` uses it too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import select
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("silent", "slow-loris", "token-puts")
AT_A_TIME = 64
_SPARE_DESCRIPTORS = 100
# One source address has some 28 000 ports, and those in TIME_WAIT are not free.
_SOURCES = 32
_TICK_SECONDS = 0.02
_BYTE_SECONDS = 0.5
_PUT = (
    b"PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n"
)
_BEGUN = b"GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


class Connections:
    """Holds so many connections at once; `trickles` sends a byte on each now and then."""

    def __init__(self, port: int, *, count: int, per_second: float, trickles: bool) -> None:
        self._address = ("127.0.0.1", port)
        self._count = count
        self._per_second = per_second
        self._trickles = trickles
        self._open: dict[int, socket.socket] = {}
        self._poll = select.epoll()
        self.opened = self.closed = 0

    def run(self, ended: threading.Event) -> None:
        began, told, sent_at = time.monotonic(), False, time.monotonic()
        while not ended.wait(_TICK_SECONDS):
            due = int((time.monotonic() - began) * self._per_second)
            while self.opened < due and len(self._open) < self._count:
                self._connect()
            # What was held up is not made good in one go.
            began = max(began, time.monotonic() - self.opened / self._per_second)
            self._drop_closed()
            if self._trickles and time.monotonic() - sent_at > _BYTE_SECONDS:
                sent_at = time.monotonic()
                self._send_a_byte()
            if not told and self.opened >= self._count:
                told = _say_up()

    def told(self) -> dict[str, int]:
        return {"opened": self.opened, "closed": self.closed}

    def _connect(self) -> None:
        self.opened += 1
        each = socket.socket()
        each.settimeout(0)
        with contextlib.suppress(OSError):
            each.bind((f"127.0.1.{1 + self.opened % _SOURCES}", 0))
            each.connect_ex(self._address)
            if self._trickles:
                each.send(_BEGUN)
        self._open[each.fileno()] = each
        self._poll.register(each.fileno(), select.EPOLLIN | select.EPOLLRDHUP)

    def _drop_closed(self) -> None:
        for number, _ in self._poll.poll(0, self._count):
            self.closed += 1
            self._poll.unregister(number)
            self._open.pop(number).close()

    def _send_a_byte(self) -> None:
        for each in list(self._open.values()):
            with contextlib.suppress(OSError):
                each.send(b"a")


class TokenPuts:
    """Asks for an IMDS token so many times, each over a connection of its own."""

    def __init__(self, port: int, *, count: int) -> None:
        self._address = ("127.0.0.1", port)
        self._left = iter(range(count))
        self._lock = threading.Lock()
        self.answered = self.failed = 0

    def run(self, ended: threading.Event) -> None:
        _say_up()
        workers = [threading.Thread(target=self._work, args=(ended,)) for _ in range(AT_A_TIME)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        print("done", flush=True)
        ended.wait()

    def told(self) -> dict[str, int]:
        return {"answered": self.answered, "failed": self.failed}

    def _work(self, ended: threading.Event) -> None:
        for number in self._numbers():
            if ended.is_set():
                return
            try:
                answered = self._put(number)
            except OSError:
                answered = False
            self.answered += answered
            self.failed += not answered

    def _numbers(self) -> Iterator[int]:
        while True:
            with self._lock:
                number = next(self._left, None)
            if number is None:
                return
            yield number

    def _put(self, number: int) -> bool:
        with socket.socket() as each:
            each.settimeout(10)
            each.bind((f"127.0.1.{1 + number % _SOURCES}", 0))
            each.connect(self._address)
            each.sendall(_PUT)
            return each.recv(4096).startswith(b"HTTP/1.1 200 ")


def _say_up() -> bool:
    print("up", flush=True)
    return True


def _make_room(count: int) -> None:
    """Raise this process's limit of descriptors, which the daemon's own does not depend on."""
    wanted = count + _SPARE_DESCRIPTORS
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted and os.geteuid() != 0:
        raise SystemExit(f"the limit of descriptors is {hard}, expected {wanted} or more")
    hard = max(hard, wanted) if hard != resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("port", type=int)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--per-second", type=float, default=2000.0)
    arguments = parser.parse_args()
    if arguments.kind == "token-puts":
        flood = TokenPuts(arguments.port, count=arguments.count)
    else:
        _make_room(arguments.count)
        flood = Connections(
            arguments.port,
            count=arguments.count,
            per_second=arguments.per_second,
            trickles=arguments.kind == "slow-loris",
        )
    ended = threading.Event()
    threading.Thread(target=_await_end, args=(ended,), daemon=True).start()
    flood.run(ended)
    print(json.dumps(flood.told()), flush=True)


def _await_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main()
