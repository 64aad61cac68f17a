"""The listening sockets of a daemon: handed over, or opened with patience."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from imdsd.config import listener_at
from imdsd.errors import ConfigurationError, ListenError, Problem
from imdsd.host.listening.ec2 import service_at
from imdsd.host.listening.opening import AddressBusyError, limit_hops, open_listener

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from imdsd.clock import Clock
    from imdsd.config import Config, ListenConfig
    from imdsd.host.listening.passed import PassedSocket

log = structlog.get_logger(__name__)

BUSY_SECONDS = 5.0
"""How long a port in use is waited for: the time a predecessor takes to stop."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A socket that listens, and what the configuration says of it."""

    opened: socket.socket
    imds: str

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, the port as the kernel chose it where 0 was asked."""
        host, port = self.opened.getsockname()[:2]
        return host, port

    @property
    def name(self) -> str:
        """`host:port`, an IPv6 host in brackets."""
        return _shown(*self.address)


def wanted_listeners(config: Config, passed: Sequence[PassedSocket]) -> tuple[ListenConfig, ...]:
    """Return every address to serve on: the configured ones, and those that only were passed.

    The default address gives way to passed sockets. Raises ConfigurationError for a passed socket
    on an address that the configuration would have to speak of.
    """
    configured = config.listen if config.listen_is_set or not passed else ()
    places = set(map(_place, configured))
    others = (each for each in passed if each.address not in places)
    return (*configured, *(listener_at(*each.address, source=each.unit) for each in others))


def tell_of_skipped(problem: Problem | ListenError) -> None:
    """Log why a daemon serves without an optional listener."""
    log.warning("listener_skipped", reason=str(problem))


def without_hiding(
    wanted: Sequence[ListenConfig],
    *,
    ec2_evidence: str,
    source: str,
    tell: Callable[[Problem], None] = tell_of_skipped,
) -> tuple[ListenConfig, ...]:
    """Return the listeners that hide no service of an EC2 instance, if this is one.

    `ec2_evidence` says how that is known, and is empty where it is not; `source` is where the
    listeners stand. An optional one is left out, which is told; raises ConfigurationError with all
    others.
    """
    kept, refused = [], []
    for each in wanted:
        service = service_at(each.host) if ec2_evidence else ""
        problem = _hides(each, service, ec2_evidence, source)
        if not service:
            kept.append(each)
        elif each.optional:
            tell(problem)
        else:
            refused.append(problem)
    if refused:
        raise ConfigurationError(tuple(refused))
    return tuple(kept)


async def bind_all(
    wanted: Sequence[ListenConfig], *, clock: Clock, passed: Sequence[PassedSocket] = ()
) -> tuple[Bound, ...]:
    """Open every listener that was not passed; skip an optional one that cannot be.

    Raises `ListenError` when another one cannot be; then nothing that was opened here stays open.
    """
    by_place = {each.address: each for each in passed}
    bound: list[Bound] = []
    try:
        for each in wanted:
            try:
                bound.append(await _bind(each, clock, by_place.get(_place(each))))
            except ListenError as error:
                if not each.optional:
                    raise
                tell_of_skipped(error)
        if not bound:
            raise ListenError("no listener could be opened; every one of them is optional")
    except BaseException:
        for done in bound:
            done.opened.close()
        raise
    return tuple(bound)


def _hides(wanted: ListenConfig, service: str, ec2_evidence: str, source: str) -> Problem:
    return Problem(
        source,
        "listen",
        f"{_shown(wanted.host, wanted.port)} on an EC2 instance ({ec2_evidence})",
        f"an address that would not hide {service}",
        "take it out, here or in the socket unit, or allow it with hide_ec2_services = true",
    )


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _place(wanted: ListenConfig) -> tuple[str, int]:
    """Return an address as the kernel names it: without the scope that IPv6 may need."""
    return wanted.host.partition("%")[0], wanted.port


async def _bind(wanted: ListenConfig, clock: Clock, passed: PassedSocket | None) -> Bound:
    if passed is None:
        return Bound(await _open(wanted, clock), wanted.imds)
    limit_hops(passed.opened, wanted.hop_limit)
    return Bound(passed.opened, wanted.imds)


async def _open(wanted: ListenConfig, clock: Clock) -> socket.socket:
    deadline, told = clock.monotonic() + BUSY_SECONDS, False
    while True:
        try:
            return open_listener(wanted.host, wanted.port, hop_limit=wanted.hop_limit)
        except AddressBusyError as error:
            if clock.monotonic() >= deadline:
                raise
            if not told:
                log.warning("address_busy", reason=str(error), waiting_seconds=BUSY_SECONDS)
            told = True
        await clock.sleep(0.25)
