"""What this machine withholds from a daemon: logged at its start, and told in its status."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import structlog

from imdsd.errors import NoRoomError, RuntimeDirectoryError

if TYPE_CHECKING:
    from imdsd.clock import Clock
    from imdsd.host.daemon_record import DaemonRecord
    from imdsd.host.peer import PeerLookup
    from imdsd.host.runtime_directory import RuntimeDirectory

log = structlog.get_logger(__name__)

_INSISTING_SECONDS = 30.0

_NOBODY_TELLS = (
    "this system does not tell who calls, so the metadata service is refused on every listener "
    'without imds = "open"'
)
_NO_NETLINK = (
    "netlink cannot be asked who calls, so /proc/net/tcp is read for each connection to the "
    "metadata service, which takes a millisecond and more; allow AF_NETLINK and sock_diag "
    "(RestrictAddressFamilies=, a seccomp profile)"
)


def tell_shortcomings(*, open_memory: str, peers: PeerLookup) -> tuple[str, ...]:
    """Log each, once, and return them in words; `open_memory` says why memory is not closed."""
    told = []
    if open_memory:
        log.warning("memory_exposed", detail=open_memory)
        told.append(open_memory)
    if not peers.supported:
        log.warning("kernel_guards_missing", detail=_NOBODY_TELLS)
        told.append(_NOBODY_TELLS)
    elif not peers.by_netlink:
        log.warning("netlink_missing", detail=_NO_NETLINK)
        told.append(_NO_NETLINK)
    return tuple(told)


class Announcement:
    """Say in daemon.json who serves and where, at once or when the disk has room for it.

    SDKs that know the address are served meanwhile; verbs find no daemon.
    """

    def __init__(self, directory: RuntimeDirectory, *, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._unwritten: DaemonRecord | None = None
        self.warnings: tuple[str, ...] = ()

    def make(self, record: DaemonRecord) -> None:
        """Write it, or log what is in the way; raise RuntimeDirectoryError if that will stay."""
        try:
            self._directory.announce(record)
        except NoRoomError as error:
            self._unwritten = record
            self.warnings = (f"{error}; until then no verb finds this daemon",)
            log.warning("record_unwritten", detail=self.warnings[0])

    async def insist(self) -> None:
        """Try again until it is written."""
        while self._unwritten is not None:
            await self._clock.sleep(_INSISTING_SECONDS)
            with contextlib.suppress(RuntimeDirectoryError):
                self._directory.announce(self._unwritten)
                self._unwritten, self.warnings = None, ()
                log.info("record_written")
