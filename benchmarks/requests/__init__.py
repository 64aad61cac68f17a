"""What a request costs: of the daemon, of nginx with the same bytes, of an aiohttp application."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.leaf import IMDS
from benchmarks.report import Table, verdict
from benchmarks.requests.generator import Generator
from benchmarks.requests.servers import PATH, Server, application, daemon_server, nginx
from benchmarks.samples import interleave, middle, spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.stage import Stage

KEPT, NEW, PER_SECOND = 64, 16, 200
ROLES, CONNECTIONS = 100, 200
MOST_GROWTH = 1.3
_SECONDS = 1.5
_PACED_SECONDS = 3.0

_NGINX, _OURS, _APPLICATION = "nginx", "imdsd", "an aiohttp application"
_VARIED = "imdsd, no two requests alike"
_ATTESTED = "imdsd, IMDS with attestation"

_RATE_KEPT = f"requests/s, {KEPT} kept connections"
_RATE_NEW = f"requests/s, new connections, {NEW} at a time"
_CPU_KEPT = f"CPU s for 10 000, {KEPT} kept connections"
_CPU_NEW = f"CPU s for 10 000, new connections, {NEW} at a time"
_WAIT = f"p50 µs, new connections, {PER_SECOND} a second"
# The least or the most that there may be of it, in times nginx.
_TARGETS = {
    _RATE_KEPT: {"least": 0.8},
    _RATE_NEW: {"least": 0.7},
    _CPU_KEPT: {"most": 1.5},
    _CPU_NEW: {"most": 2.0},
    _WAIT: {"most": 1.4},
}


@dataclass(frozen=True, slots=True)
class Bench:
    """The load, and the core of whatever is loaded."""

    generator: Generator
    core: int

    @classmethod
    def of(cls, stage: Stage) -> Bench:
        """Share the processor out: the servers, by turns, on the first core, the load on the last.

        Leaves where there is one core only.
        """
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) == 1:
            raise SystemExit("one processor for the server and the load gives no numbers")
        return cls(Generator.compiled(stage.root, core=cores[-1]), cores[0])

    def pressed(self, server: Server, how: str, connections: int) -> tuple[float, float]:
        """Return requests per second, and the server's CPU seconds for 10 000 of them."""
        before = server.cpu_seconds()
        load = self.generator.run(server.port, server.request, how, connections, _SECONDS)
        return load.per_second, (server.cpu_seconds() - before) / load.answered * 10_000

    def paced(self, server: Server, *, idle: int = 0) -> float:
        """Return the median wait in microseconds."""
        load = self.generator.run(
            server.port, server.request, "paced", PER_SECOND, _PACED_SECONDS, str(idle)
        )
        return float(load.p50)


def measure(stage: Stage, *, repetitions: int) -> list[Table]:
    return [_beside_others(stage, repetitions), _growth(stage, repetitions)]


def cpu_ratios(stage: Stage) -> tuple[float, float]:
    """Return the daemon's CPU time as times nginx's, for kept and for new connections, from one
    look."""
    bench = Bench.of(stage)
    with ExitStack() as stack:
        servers = _servers(stage, bench, stack)
        kept = {name: bench.pressed(servers[name], "kept", KEPT)[1] for name in (_OURS, _NGINX)}
        new = {name: bench.pressed(servers[name], "new", NEW)[1] for name in (_OURS, _NGINX)}
    return kept[_OURS] / kept[_NGINX], new[_OURS] / new[_NGINX]


def _servers(stage: Stage, bench: Bench, stack: ExitStack) -> dict[str, Server]:
    sandbox = stack.enter_context(stage.sandbox())
    daemon = stack.enter_context(stage.daemon(sandbox))
    daemon.until_serving()
    return {
        _NGINX: stack.enter_context(nginx(daemon, core=bench.core)),
        _OURS: daemon_server(daemon, core=bench.core),
        _APPLICATION: stack.enter_context(application(daemon, core=bench.core)),
        _VARIED: daemon_server(daemon, core=bench.core, varied=True),
        _ATTESTED: daemon_server(daemon, core=bench.core, face=IMDS),
    }


def _beside_others(stage: Stage, repetitions: int) -> Table:
    bench = Bench.of(stage)
    taken: dict[tuple[str, str], list[float]] = {}

    def note(name: str, values: dict[str, float]) -> None:
        for what, value in values.items():
            taken.setdefault((what, name), []).append(value)

    with ExitStack() as stack:
        servers = _servers(stage, bench, stack)
        # A first round, which fills caches, is thrown away.
        for repetition in range(repetitions + 1):
            for name, server in servers.items():
                values = _look(bench, server, attested=name == _ATTESTED)
                if repetition:
                    note(name, values)
    rows = [
        _row(what, name, taken[what, name], taken[what, _NGINX])
        for what in (_RATE_KEPT, _CPU_KEPT, _RATE_NEW, _CPU_NEW, _WAIT)
        for name in servers
        if (what, name) in taken
    ]
    columns = ["", "served by", "median", "range", "times nginx", "range", "target"]
    return Table("requests", columns, rows)


def _look(bench: Bench, server: Server, *, attested: bool) -> dict[str, float]:
    values = {}
    values[_RATE_NEW], values[_CPU_NEW] = bench.pressed(server, "new", NEW)
    if not attested:  # as the real metadata service, ours keeps no connection
        values[_RATE_KEPT], values[_CPU_KEPT] = bench.pressed(server, "kept", KEPT)
    values[_WAIT] = bench.paced(server)
    return values


def _row(what: str, name: str, values: list[float], base: list[float]) -> list[str]:
    digits = 3 if what in (_CPU_KEPT, _CPU_NEW) else 0
    row = [what, name, middle(values, digits=digits), spread(values, digits=digits)]
    if name == _NGINX:
        return [*row, "", "", ""]
    times = [value / least for value, least in zip(values, base, strict=True)]
    target = verdict(median(times), **_TARGETS[what]) if name == _OURS else ""
    return [*row, middle(times, digits=2), spread(times, digits=2), target]


def _growth(stage: Stage, repetitions: int) -> Table:
    """Measure the same with more roles and more connections."""
    bench = Bench.of(stage)
    with ExitStack() as stack:
        sandbox = stack.enter_context(stage.sandbox())
        few, many = (stack.enter_context(stage.daemon(sandbox, roles=n)) for n in (1, ROLES))
        for daemon, last in ((few, 1), (many, ROLES)):
            daemon.until_serving(f"role-{last}")
        one = daemon_server(few, core=bench.core)
        last = daemon_server(many, core=bench.core, path=f"{PATH}/role-{ROLES}")

        def cpu(server: Server, connections: int) -> Callable[[], float]:
            return lambda: bench.pressed(server, "kept", connections)[1]

        groups: list[tuple[str, dict[str, Callable[[], float]]]] = [
            (
                f"CPU s for 10 000, {KEPT} kept connections",
                {"1 role": cpu(one, KEPT), f"the last of {ROLES} roles": cpu(last, KEPT)},
            ),
            (
                "CPU s for 10 000, kept connections",
                {f"{n} at a time": cpu(one, n) for n in (1, NEW, KEPT, CONNECTIONS)},
            ),
            (
                _WAIT,
                {
                    "1 role": lambda: bench.paced(one),
                    f"the last of {ROLES} roles": lambda: bench.paced(last),
                    f"{CONNECTIONS} further connections": lambda: bench.paced(
                        one, idle=CONNECTIONS
                    ),
                },
            ),
        ]
        rows = [
            row
            for what, ways in groups
            for row in _grown(what, interleave(ways, repetitions=repetitions))
        ]
    columns = ["", "with", "median", "range", "times the first", "range", "target"]
    return Table("requests-growth", columns, rows)


def _grown(what: str, taken: dict[str, list[float]]) -> list[list[str]]:
    first = next(iter(taken))
    rows = []
    for name, values in taken.items():
        digits = 0 if what == _WAIT else 3
        row = [what, name, middle(values, digits=digits), spread(values, digits=digits)]
        if name == first:
            rows.append([*row, "", "", ""])
            continue
        times = [value / least for value, least in zip(values, taken[first], strict=True)]
        target = verdict(median(times), most=MOST_GROWTH)
        rows.append([*row, middle(times, digits=2), spread(times, digits=2), target])
    return rows
