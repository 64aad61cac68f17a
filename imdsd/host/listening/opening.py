"""How a listening socket is opened, and what to say when it cannot be."""

from __future__ import annotations

import errno
import ipaddress
import socket

from imdsd.errors import ListenError

BACKLOG = 1024


class AddressBusyError(ListenError):
    """Somebody else listens there: worth another try in a moment."""


def open_listener(host: str, port: int, *, hop_limit: int | None = None) -> socket.socket:
    """Return a non-blocking listening socket, with the system's own hop limit where none is given.

    A link-local address is bound to `lo`, since Linux answers for it on any interface: a
    neighbour with a route would reach it. Raises `AddressBusyError` when the port is taken, and
    `ListenError` with the remedy for everything else.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return _opened(family, host, port, hop_limit)
    except OSError as error:
        shown = f"[{host}]" if family is socket.AF_INET6 else host
        raise _explained(error, f"{shown}:{port}") from error


def limit_hops(opened: socket.socket, hops: int) -> None:
    """Have answers cross at most `hops` links: with 1 they die at the first router.

    What a listening socket accepts inherits it, and so does the kernel's first answer to a client
    (Linux; ip(7) IP_TTL, ipv6(7) IPV6_UNICAST_HOPS). Raises OSError outside of 1 to 255.
    """
    if opened.family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
    else:
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)


def _opened(
    family: socket.AddressFamily, host: str, port: int, hop_limit: int | None
) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.settimeout(0)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ipaddress.ip_address(host).is_link_local:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        if hop_limit is not None:
            limit_hops(opened, hop_limit)
        opened.bind((host, port))
        opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def _explained(error: OSError, where: str) -> ListenError:
    port = where.rpartition(":")[2]
    if error.errno == errno.EADDRINUSE:
        return AddressBusyError(
            f"{where} is in use, perhaps by another imdsd or by an editor that forwards ports; "
            f"see who with `ss -ltnp 'sport = :{port}'`, or choose another with --listen"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ListenError(
            f"{where} is not an address of this machine; add it to an interface, "
            "or set optional = true for this listener"
        )
    if error.errno == errno.EACCES:
        return ListenError(
            f"{where} needs a privilege (a port under 1024); choose a higher port with --listen"
        )
    return ListenError(f"{where} cannot be opened: {error.strerror}")
