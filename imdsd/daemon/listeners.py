"""The listening sockets of a daemon, opened with patience."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from imdsd.errors import ListenError
from imdsd.host.listening import AddressBusyError, open_listener

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from imdsd.clock import Clock
    from imdsd.config import ListenConfig

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
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def bind_all(wanted: Sequence[ListenConfig], *, clock: Clock) -> tuple[Bound, ...]:
    """Open every listener; skip an optional one that cannot be; raise `ListenError` otherwise."""
    bound: list[Bound] = []
    try:
        for each in wanted:
            try:
                bound.append(await _bind(each, clock))
            except ListenError as error:
                if not each.optional:
                    raise
                log.warning("listener_skipped", reason=str(error))
        if not bound:
            raise ListenError("no listener could be opened; every one of them is optional")
    except BaseException:
        for done in bound:
            done.opened.close()
        raise
    return tuple(bound)


async def _bind(wanted: ListenConfig, clock: Clock) -> Bound:
    deadline, told = clock.monotonic() + BUSY_SECONDS, False
    while True:
        try:
            opened = open_listener(wanted.host, wanted.port, hop_limit=wanted.hop_limit)
            return Bound(opened, wanted.imds)
        except AddressBusyError as error:
            if clock.monotonic() >= deadline:
                raise
            if not told:
                log.warning("address_busy", reason=str(error), waiting_seconds=BUSY_SECONDS)
            told = True
        await clock.sleep(0.25)
