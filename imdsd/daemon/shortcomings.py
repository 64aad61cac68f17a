"""What this machine withholds from a daemon: logged at its start, and told in its status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from imdsd.host.peer import PeerLookup

log = structlog.get_logger(__name__)

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
