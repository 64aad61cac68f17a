"""The causes behind the rows of the list of faults, and how each begins under a running daemon."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from imdsd.sandbox import faults
from tests.system import relay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.scene import Scene

HELD, COLD = "held", "cold"
"""Two roles of each daemon: one with credentials when the fault begins, one without."""

# Taken by nothing else on loopback: glibc asks name servers on port 53 alone.
SILENT_RESOLVER = "127.53.53.53"
KILLS = 20
_KILL_SECONDS = 60.0 / KILLS
_OTHER_ROLE = "arn:aws:sts::123456789012:assumed-role/other/imdsd"
_RESOLV_CONF = f"nameserver {SILENT_RESOLVER}\noptions timeout:5 attempts:2\n"


def _serve(scene: Scene, **options: object) -> None:
    scene.serve(scene.settings(scene.role(HELD), scene.role(COLD)), **options)


class Case(NamedTuple):
    """A row of the list of faults, a cause, and how it begins; `serve` starts the daemon."""

    row: str
    cause: str
    begin: Callable[[Scene], Awaitable[None] | None]
    serve: Callable[[Scene], None] = _serve


def _serve_commands(scene: Scene) -> None:
    scene.serve(scene.settings(scene.commanded(HELD), scene.commanded(COLD)))


def _serve_file(scene: Scene) -> None:
    roles = []
    for name in (HELD, COLD):
        file = scene.commands[name].path.with_name("mint.good")
        roles.append(scene.role(name, token={"file": str(file)}))
    scene.serve(scene.settings(*roles))


def _serve_under_the_sky(scene: Scene) -> None:
    _serve(scene, under_the_sky=True)


def _serve_on_a_full_file(scene: Scene) -> None:
    held = f'{scene.role(HELD)}\n[role.files]\ncredentials_file = "/dev/full"'
    scene.serve(scene.settings(held, scene.role(COLD)))


def _serve_by_name(scene: Scene) -> None:
    conf = scene.place / "resolv.conf"
    conf.write_text(_RESOLV_CONF)
    mounting = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    cold = scene.role(COLD, sts="https://sts.example.test")
    prefix = ("unshare", "--mount", "sh", "-c", mounting, str(conf))
    scene.serve(scene.settings(scene.role(HELD), cold), prefix=prefix)


def _sts(fault: faults.Fault) -> Callable[[Scene], None]:
    return lambda scene: scene.sandbox.sts.faults.always(fault)


def _by_turns(scene: Scene) -> None:
    each = (faults.server_error(502), faults.server_error(503), faults.throttling())
    scene.sandbox.sts.faults.once(*each * 200)


def _made_up(scene: Scene) -> None:
    scene.sandbox.sts.faults.once(*(faults.error(f"Code{number}") for number in range(600)))


def _connection(manner: object) -> Callable[[Scene], None]:
    def begin(scene: Scene) -> None:
        for each in scene.relays.values():
            each.manner = manner

    return begin


async def closed(scene: Scene) -> None:
    for each in scene.relays.values():
        await each.close()


def _command(script: str) -> Callable[[Scene], None]:
    def begin(scene: Scene) -> None:
        for each in scene.commands.values():
            each.becomes(script)

    return begin


def _without_command(scene: Scene) -> None:
    for each in scene.commands.values():
        each.path.unlink()


def _without_file(scene: Scene) -> None:
    for each in scene.commands.values():
        each.path.with_name("mint.good").unlink()


def _fifo(scene: Scene) -> None:
    _without_file(scene)
    for each in scene.commands.values():
        os.mkfifo(each.path.with_name("mint.good"))


def _skewed(scene: Scene) -> None:
    # The issuer's clock alone: what the daemon has is the machine's.
    scene.sky.clock.shift = scene.sky.clock.shift.__class__(minutes=-10)


def _step(hours: float) -> Callable[[Scene], None]:
    return lambda scene: scene.sky.set(hours * 3600)


async def _suspend(scene: Scene) -> None:
    scene.daemon.send(signal.SIGSTOP)
    scene.sky.set(8 * 3600)
    scene.daemon.send(signal.SIGCONT)


def _broken_file(scene: Scene) -> None:
    scene.config.write_text("listen = [")
    scene.daemon.send(signal.SIGHUP)


def _shorter(scene: Scene) -> None:
    scene.sandbox.sts.faults.once(*[faults.maximum_duration_refused()] * 2)


async def _busy(scene: Scene) -> None:
    await scene.daemon.kill()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        scene.serve(scene.settings(scene.role(HELD), scene.role(COLD), listen=[where]))
        await scene.daemon.ended()


async def _elsewhere(scene: Scene) -> None:
    await scene.daemon.kill()
    where = ["169.254.77.77:9254"]
    scene.serve(scene.settings(scene.role(HELD), scene.role(COLD), listen=where))
    await scene.daemon.ended()


async def _killed(scene: Scene) -> None:
    for _ in range(KILLS):
        await scene.daemon.kill()
        _serve(scene)
        with suppress(TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                await scene.holds()


_STS, _TOKEN = "STS fails", "token command prints something else"
_TREE, _REFUSED = "token command hangs, forks, detaches", "token that STS would refuse"
_CLOCK = "clock steps, suspend"
CASES = (
    Case(_STS, "refuses connections", closed),
    Case(_STS, "says nothing", _connection(relay.stalling())),
    Case(_STS, "resets", _connection(relay.resetting())),
    Case(_STS, "half-closes", _connection(relay.half_closing(after_bytes=600))),
    Case(_STS, "trickles", _connection(relay.trickling())),
    Case(_STS, "is slow", _sts(faults.delay(60))),
    Case(_STS, "502, 503 and throttling by turns", _by_turns),
    Case(_STS, "another code at each try", _made_up),
    Case(
        _STS, "throttles, `Retry-After: 1`", _sts(faults.too_many_requests(retry_after_seconds=1))
    ),
    Case(_STS, "malformed XML", _sts(faults.malformed_xml())),
    Case(_STS, "200 without credentials", _sts(faults.without_credentials())),
    Case(_STS, "expiry in the past", _sts(faults.expired())),
    Case(_STS, "`AccessDenied`", _sts(faults.error("AccessDenied"))),
    Case("STS returns another role's ARN", "another name", _sts(faults.other_role(_OTHER_ROLE))),
    Case(_TREE, "hangs", _command("sleep 1000"), _serve_commands),
    Case(
        _TREE,
        "a daemon that holds the pipe",
        _command("(setsid sleep 1000 &); exit 1"),
        _serve_commands,
    ),
    Case("token command fails", "status 7", _command("echo no >&2; exit 7"), _serve_commands),
    Case("token command fails", "is not found", _without_command, _serve_commands),
    Case(_TOKEN, "garbage", _command("echo please log in"), _serve_commands),
    Case(_TOKEN, "for ever", _command("yes eyJhbGciOi"), _serve_commands),
    Case(_REFUSED, "another audience", _command('cat "$0.audience"'), _serve_commands),
    Case(_REFUSED, "expired", _command('cat "$0.expired"'), _serve_commands),
    Case("token's `iat` is off the clock", "10 minutes", _skewed),
    Case("token file", "missing", _without_file, _serve_file),
    Case("token file", "a FIFO", _fifo, _serve_file),
    Case(_CLOCK, "an hour ahead", _step(1), _serve_under_the_sky),
    Case(_CLOCK, "an hour back", _step(-1), _serve_under_the_sky),
    Case(_CLOCK, "8 h of suspend", _suspend, _serve_under_the_sky),
    Case("DNS hangs", "a resolver that never answers", lambda _scene: None, _serve_by_name),
    Case("SIGHUP with a broken file", "one signal", _broken_file),
    Case("port in use", "one start", _busy),
    Case("address not on this machine", "one start", _elsewhere),
    Case(
        "disk full, read-only root, closed stderr",
        "a full [role.files]",
        lambda _scene: None,
        _serve_on_a_full_file,
    ),
    Case("`kill -9` twenty times in a minute", "20 starts", _killed),
    Case("role's maximum duration is lower", "once", _shorter),
)
