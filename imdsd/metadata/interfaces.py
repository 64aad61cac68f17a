"""Which network interfaces the kernel has, with their addresses, asked by netlink `rtnetlink`."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NETLINK_ROUTE = 0
_RTM_NEWLINK, _RTM_GETLINK, _RTM_NEWADDR, _RTM_GETADDR = 16, 18, 20, 22
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_DEADLINE_SECONDS = 1.0
# The kernel fills at most 32 KiB at a time; a machine with more parts than this has no end.
_ROOM_BYTES, _MOST_PARTS = 65536, 1024
# rtnetlink(7): nlmsghdr; rtattr; ifinfomsg; ifaddrmsg.
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_IFLA_ADDRESS, _IFLA_IFNAME = 1, 3
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_ARPHRD_ETHER, _MAC_BYTES = 1, 6
_SCOPE_UNIVERSE = 0
# if_addr.h: not yet known to be nobody else's, or known to be somebody else's.
_IFA_F_TENTATIVE, _IFA_F_DADFAILED = 0x40, 0x08


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface: its Ethernet address, if it has one, and its addresses in order.

    `ipv6s` are those of global scope: what a neighbour alone can reach is left out.
    """

    name: str
    mac: str | None
    local_ipv4s: tuple[str, ...] = ()
    ipv6s: tuple[str, ...] = ()


def read_interfaces() -> tuple[Interface, ...]:
    """Return every interface of this network namespace, none where there is no netlink."""
    try:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        with socket.socket(socket.AF_NETLINK, kind, _NETLINK_ROUTE) as netlink:
            netlink.settimeout(_DEADLINE_SECONDS)
            links = dict(map(_link, _dump(netlink, _RTM_GETLINK, _RTM_NEWLINK)))
            found = list(map(_address, _dump(netlink, _RTM_GETADDR, _RTM_NEWADDR)))
    except (OSError, AttributeError, struct.error, ValueError, KeyError):
        return ()
    return tuple(_interface(index, *link, found) for index, link in links.items())


_Found = tuple[int, int, str | None]
"""The index of an interface, the family of the address, and the address unless it is no use."""


def _interface(index: int, name: str, mac: str | None, found: list[_Found]) -> Interface:
    own = [(family, text) for each, family, text in found if each == index]
    return Interface(
        name=name,
        mac=mac,
        local_ipv4s=tuple(text for family, text in own if text and family == socket.AF_INET),
        ipv6s=tuple(text for family, text in own if text and family == socket.AF_INET6),
    )


def _dump(netlink: socket.socket, question: int, kind: int) -> Iterator[bytes]:
    """Yield the bodies of the messages of one kind that answer a question for all there is."""
    size = _HEADER.size + _LINK.size
    header = _HEADER.pack(size, question, _NLM_F_REQUEST | _NLM_F_DUMP, question, 0)
    netlink.sendto(header + bytes(_LINK.size), (0, 0))
    for _ in range(_MOST_PARTS):
        for found, sequence, body in _messages(netlink.recv(_ROOM_BYTES)):
            if sequence == question and found in (_NLMSG_DONE, _NLMSG_ERROR):
                return
            if sequence == question and found == kind:
                yield body


def _messages(part: bytes) -> Iterator[tuple[int, int, bytes]]:
    while len(part) >= _HEADER.size:
        size, kind, _, sequence, _ = _HEADER.unpack_from(part)
        if size < _HEADER.size:
            return
        yield kind, sequence, part[_HEADER.size : size]
        part = part[_aligned(size) :]


def _attributes(body: bytes) -> dict[int, bytes]:
    found = {}
    while len(body) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(body)
        if size < _ATTRIBUTE.size:
            break
        found[kind] = body[_ATTRIBUTE.size : size]
        body = body[_aligned(size) :]
    return found


def _link(body: bytes) -> tuple[int, tuple[str, str | None]]:
    _, kind, index, _, _ = _LINK.unpack_from(body)
    attributes = _attributes(body[_LINK.size :])
    name = attributes[_IFLA_IFNAME].rstrip(b"\0").decode("utf-8", "replace")
    mac = attributes.get(_IFLA_ADDRESS, b"") if kind == _ARPHRD_ETHER else b""
    known = len(mac) == _MAC_BYTES and any(mac)
    return index, (name, mac.hex(":") if known else None)


def _address(body: bytes) -> _Found:
    family, _, flags, scope, index = _ADDRESS.unpack_from(body)
    attributes = _attributes(body[_ADDRESS.size :])
    # For IPv4 the address may be the other end's, and IFA_LOCAL is ours (rtnetlink(7)).
    packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS, b"")
    if family == socket.AF_INET:
        return index, family, socket.inet_ntop(socket.AF_INET, packed)
    unusable = flags & (_IFA_F_TENTATIVE | _IFA_F_DADFAILED) or scope != _SCOPE_UNIVERSE
    if family != socket.AF_INET6 or unusable:
        return index, family, None
    return index, family, socket.inet_ntop(socket.AF_INET6, packed)


def _aligned(size: int) -> int:
    return (size + 3) & ~3
