"""How long a client that behaves waits while something else goes on, or goes wrong."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles
from typing import TYPE_CHECKING

from benchmarks import plain_server
from benchmarks.leaf import ask, requests_of
from benchmarks.report import RELIABILITY, Table, verdict
from benchmarks.samples import middle, spread
from benchmarks.stage import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.stage import Daemon, Stage

CONNECTIONS = 10_000
TOKEN_PUTS = 100_000
PER_SECOND = 200
MOST_MILLISECONDS = 100
_SECONDS = 5.0
_REFRESH_SECONDS, _RELOAD_SECONDS = 0.1, 0.2
_DAEMON, _PLAIN = "imdsd", "aiohttp alone"
_CONTAINER, _IMDS = "container", "IMDS"

_QUIET, _REFRESH, _RELOAD = "quiet", "refreshes, ten a second", "reloads, five a second"
_SILENT = f"{CONNECTIONS:,} half-open connections".replace(",", " ")
_SLOW = f"{CONNECTIONS:,} of slow-loris".replace(",", " ")
_PUTS = f"{TOKEN_PUTS:,} token PUTs".replace(",", " ")
_DOWN = "STS down, ten tries a second"
_FLOODS = {_SILENT: "silent", _SLOW: "slow-loris", _PUTS: "token-puts"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw of one face in one situation: p50, p99 and most, in ms, and who not."""

    milliseconds: tuple[float, float, float]
    asked: int
    failed: tuple[str, ...]

    @classmethod
    def of(cls, taken: list[float], failed: list[str]) -> Seen:
        """Sum up; who got no answer is counted apart."""
        most = max(taken, default=math.inf)
        cuts = quantiles(taken, n=100, method="inclusive") if len(taken) > 1 else [most] * 99
        return cls((cuts[49], cuts[98], most), len(taken) + len(failed), tuple(failed))


Trouble = Callable[[], AbstractContextManager[Callable[[], None]]]
"""Goes on while it is entered, and gives what waits until one has seen enough of it."""

Results = dict[tuple[str, str, str], list[Seen]]
"""By who serves, the situation and the face."""


def measure(stage: Stage, *, repetitions: int) -> list[Table]:
    results: Results = {}
    for _ in range(repetitions):
        _measure_daemon(stage, results)
    return [_table(results)]


def _measure_daemon(stage: Stage, results: Results) -> None:
    """Go through every situation once, ours and the other in turn, while both are the same age."""
    with stage.sandbox() as sandbox, stage.daemon(sandbox) as daemon:
        daemon.until_serving()
        requests = _requests(daemon)
        bodies = {
            "container": daemon.ask("/v1/credentials").decode("ascii"),
            "imds": ask(daemon, requests[_IMDS]).partition(b"\r\n\r\n")[2].decode("ascii"),
        }
        port = daemon.address[1]
        for situation in (_QUIET, *_FLOODS):
            seen = _seen(port, requests, partial(_flood, port, situation))
            _note(results, _DAEMON, situation, seen)
            with plain_server.running(**bodies) as (_, other):
                seen = _seen(other, requests, partial(_flood, other, situation))
                _note(results, _PLAIN, situation, seen)
        _note(results, _DAEMON, _REFRESH, _seen(port, requests, partial(_refreshing, daemon)))
        _note(results, _DAEMON, _RELOAD, _seen(port, requests, partial(_reloading, daemon)))
    _measure_without_sts(stage, results)


def _measure_without_sts(stage: Stage, results: Results) -> None:
    with ExitStack() as stack:
        sts = stack.enter_context(ExitStack())
        sandbox = sts.enter_context(stage.sandbox())
        daemon = stack.enter_context(stage.daemon(sandbox))
        daemon.until_serving()
        requests = _requests(daemon)
        sts.close()
        seen = _seen(daemon.address[1], requests, partial(_refreshing, daemon))
        _note(results, _DAEMON, _DOWN, seen)


def _note(results: Results, server: str, situation: str, seen: dict[str, Seen]) -> None:
    for face, each in seen.items():
        results.setdefault((server, situation, face), []).append(each)


def _table(results: Results) -> Table:
    columns = ["while there are", "served by", "face", "p50 ms", "p99 ms", "range of p99", "most",
               "not answered with 200", f"p99, target of {_DAEMON}"]  # fmt: skip
    order = (_QUIET, _REFRESH, _SILENT, _SLOW, _PUTS, _DOWN, _RELOAD)
    rows = sorted(results, key=lambda each: (order.index(each[1]), each[0] != _DAEMON))
    return Table(
        "load", columns, [_row(*each, results[each]) for each in rows], document=RELIABILITY
    )


def _row(server: str, situation: str, face: str, seen: list[Seen]) -> list[str]:
    p50, p99, most = ([each.milliseconds[n] for each in seen] for n in range(3))
    asked, failed = sum(each.asked for each in seen), sum(len(each.failed) for each in seen)
    return [
        situation,
        server,
        face,
        *_shown(p50, p99, most),
        f"{failed} of {asked}",
        verdict(median(p99), most=MOST_MILLISECONDS) if server == _DAEMON else "",
    ]


def _shown(p50: list[float], p99: list[float], most: list[float]) -> list[str]:
    if math.inf in most:
        return ["no answer", "", "", ""]
    return [middle(p50, digits=1), middle(p99, digits=1), spread(p99, digits=1), f"{max(most):.0f}"]


def _requests(daemon: Daemon) -> dict[str, bytes]:
    """Return what both faces are asked: credentials, each over a new connection."""
    known = requests_of(daemon)
    return {_CONTAINER: known["container credentials"], _IMDS: known["IMDS credentials"]}


# A client, and what goes on meanwhile


def _seen(port: int, requests: dict[str, bytes], trouble: Trouble) -> dict[str, Seen]:
    """Have a client ask, in a process of its own, for as long as a trouble is to be looked at."""
    texts = {name: request.decode("ascii") for name, request in requests.items()}
    with trouble() as until_over:
        client = _process("steady_client", str(port), f"--per-second={PER_SECOND}")
        with client:
            print(json.dumps(texts), file=client.stdin, flush=True)
            until_over()
            output, _ = client.communicate()
    told = json.loads(output)
    return {name: Seen.of(told["milliseconds"][name], told["failed"][name]) for name in requests}


@contextmanager
def _flood(port: int, situation: str) -> Iterator[Callable[[], None]]:
    """Let a neighbour loose, until the last of its PUTs, or for a while."""
    if situation == _QUIET:
        yield _a_while
        return
    kind = _FLOODS[situation]
    count = TOKEN_PUTS if situation == _PUTS else CONNECTIONS
    with _process("flood", kind, str(port), f"--count={count}") as flood:
        _expect(flood, "up")
        yield (lambda: _expect(flood, "done")) if situation == _PUTS else _a_while
        flood.communicate()


@contextmanager
def _refreshing(daemon: Daemon) -> Iterator[Callable[[], None]]:
    def refresh() -> None:
        # Without STS the answer is 503.
        with contextlib.suppress(SystemExit):
            daemon.ask("/refresh", method="POST")
        time.sleep(_REFRESH_SECONDS)

    with _repeating(refresh):
        yield _a_while


@contextmanager
def _reloading(daemon: Daemon) -> Iterator[Callable[[], None]]:
    def reload() -> None:
        daemon.process.send_signal(signal.SIGHUP)
        time.sleep(_RELOAD_SECONDS)

    with _repeating(reload):
        yield _a_while


@contextmanager
def _repeating(act: Callable[[], None]) -> Iterator[None]:
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            act()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        ended.set()
        worker.join()


def _process(module: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _expect(process: subprocess.Popen[str], word: str) -> None:
    line = process.stdout.readline().strip() if process.stdout else ""
    if line != word:
        raise SystemExit(f"a process said {line!r}, expected {word!r}")


def _a_while() -> None:
    time.sleep(_SECONDS)
