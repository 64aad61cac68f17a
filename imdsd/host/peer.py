"""The only module that knows who is at the other end of a loopback connection."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

Address = tuple[str, int]

_LISTEN = 10  # TCP_LISTEN of the kernel's tcp_states.h
# Found whether or not a socket is bound to `lo`; Linux numbers it so in every namespace.
_LOOPBACK_INDEX = 1
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_DEADLINE_SECONDS = 1.0
# sock_diag(7): nlmsghdr; inet_diag_req_v2 without its sockid; inet_diag_sockid; the message.
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI")
_SOCKET_ID = struct.Struct("!HH16s16s")
_SOCKET_ID_TAIL = struct.Struct("=III")
_MESSAGE = struct.Struct("=BBBB48xIIIII")
_NO_COOKIE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Peer:
    """The user who owns a socket, and the socket's inode, by which /proc names it."""

    uid: int
    inode: int


@dataclass(frozen=True, slots=True)
class SocketEntry:
    """One TCP socket of this network namespace as the kernel lists it."""

    local: Address
    remote: Address
    listening: bool
    owner: Peer


class SocketTable(Protocol):
    """Looks up one socket by both its ends; `remote` is port 0 for a listener."""

    def find(self, local: Address, remote: Address) -> SocketEntry | None:
        """Return the socket, or None when there is none."""
        ...

    def close(self) -> None:
        """Give back what the table holds open."""
        ...


class SockDiagTable:
    """Asks netlink `sock_diag` for exactly one socket: some 20 µs, whatever else is open."""

    def __init__(self) -> None:
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        self._netlink = socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG)
        # The kernel answers within the send; the deadline is for a kernel that does not.
        self._netlink.settimeout(_DEADLINE_SECONDS)
        self._sequence = 0

    def find(self, local: Address, remote: Address) -> SocketEntry | None:
        """Return the socket with these ends, or the listener that would answer them."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        self._netlink.sendto(_diag_request(local, remote, sequence=self._sequence), (0, 0))
        while True:
            answer = self._netlink.recv(4096)
            _, kind, _, sequence, _ = _HEADER.unpack_from(answer)
            if sequence == self._sequence:
                break
        return _diag_entry(answer) if kind == _SOCK_DIAG_BY_FAMILY else None

    def close(self) -> None:
        """Close the netlink socket."""
        self._netlink.close()


class ProcTable:
    """Reads /proc/self/net/tcp and tcp6, for kernels without `sock_diag`: 1 ms, all sockets."""

    def __init__(self, directory: Path = Path("/proc/self/net")) -> None:
        self._directory = directory

    def find(self, local: Address, remote: Address) -> SocketEntry | None:
        """Return the socket with these ends, or the listener that would answer them."""
        wanted = (_plain(local), _plain(remote))
        listener = None
        for entry in self._entries():
            if (entry.local, entry.remote) == wanted:
                return entry
            if entry.listening and _answers(entry.local, wanted[0]):
                listener = listener or entry
        return listener

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _entries(self) -> Iterator[SocketEntry]:
        for name in ("tcp", "tcp6"):
            path = self._directory / name
            if path.exists():
                lines = path.read_text(encoding="ascii").splitlines()[1:]
                yield from (_proc_entry(line.split()) for line in lines)


class PeerLookup:
    """Names the owner of a loopback socket; keeps the netlink socket open between questions.

    Where the kernel cannot tell (no Linux, nothing mounted), `supported` is false and every
    answer is None, which callers must read as "deny".
    """

    def __init__(
        self, tables: tuple[Callable[[], SocketTable], ...] = (SockDiagTable, ProcTable)
    ) -> None:
        self._table = _first_that_works(tables)

    @property
    def supported(self) -> bool:
        """Whether this kernel tells who owns a socket."""
        return self._table is not None

    @property
    def by_netlink(self) -> bool:
        """Whether the kernel is asked for one socket, not read for all of them."""
        return isinstance(self._table, SockDiagTable)

    def find_peer(self, local: Address, remote: Address) -> Peer | None:
        """Return who owns the client's socket of an accepted connection.

        `local` and `remote` are the accepted socket's getsockname and getpeername. None when
        the client is gone, is in another network namespace, or the kernel cannot tell.
        """
        found = self._find(remote, local)
        if found is None or found.listening or found.owner.inode == 0:
            return None
        exact = (_plain(remote), _plain(local))
        return found.owner if (found.local, found.remote) == exact else None

    def listener_uid(self, address: str, port: int) -> int | None:
        """Return the uid that listens where a connection to this address would arrive."""
        anywhere = "::" if ":" in address else "0.0.0.0"
        found = self._find((address, port), (anywhere, 0))
        return found.owner.uid if found is not None and found.listening else None

    def close(self) -> None:
        """Close the netlink socket."""
        if self._table is not None:
            self._table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _find(self, local: Address, remote: Address) -> SocketEntry | None:
        if self._table is None:
            return None
        try:
            return self._table.find(local, remote)
        except OSError:
            return None


def _first_that_works(tables: tuple[Callable[[], SocketTable], ...]) -> SocketTable | None:
    for make in tables:
        try:
            table = make()
        except (OSError, AttributeError):  # no AF_NETLINK in this Python or this sandbox
            continue
        if _sees_its_own_listener(table):
            return table
        table.close()
    return None


def _sees_its_own_listener(table: SocketTable) -> bool:
    # sock_diag says ENOENT both for "no such socket" and for "no such kernel module".
    with socket.create_server(("127.0.0.1", 0), backlog=1) as probe:
        try:
            found = table.find(probe.getsockname(), ("0.0.0.0", 0))
        except (OSError, ValueError):
            return False
    return found is not None and found.owner.uid == os.geteuid()


def _diag_request(local: Address, remote: Address, *, sequence: int) -> bytes:
    local, remote = _plain(local), _plain(remote)
    family = _family(local[0])
    body = (
        _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
        + _SOCKET_ID.pack(local[1], remote[1], _packed(local[0]), _packed(remote[0]))
        + _SOCKET_ID_TAIL.pack(_LOOPBACK_INDEX, _NO_COOKIE, _NO_COOKIE)
    )
    size = _HEADER.size + len(body)
    return _HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, sequence, 0) + body


def _diag_entry(answer: bytes) -> SocketEntry:
    family, state, _, _, _, _, _, uid, inode = _MESSAGE.unpack_from(answer, _HEADER.size)
    ports_at = _HEADER.size + 4
    local_port, remote_port, local, remote = _SOCKET_ID.unpack_from(answer, ports_at)
    return SocketEntry(
        local=_plain((_text(family, local), local_port)),
        remote=_plain((_text(family, remote), remote_port)),
        listening=state == _LISTEN,
        owner=Peer(uid, inode),
    )


def _proc_entry(fields: list[str]) -> SocketEntry:
    # sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …
    return SocketEntry(
        local=_plain(_proc_address(fields[1])),
        remote=_plain(_proc_address(fields[2])),
        listening=int(fields[3], 16) == _LISTEN,
        owner=Peer(int(fields[7]), int(fields[9])),
    )


def _proc_address(text: str) -> Address:
    digits, _, port = text.partition(":")
    # Each 32-bit word of the address is printed as a number in the machine's byte order.
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    address = struct.pack(f"={len(words)}I", *words)
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, address), int(port, 16)


def _answers(listener: Address, wanted: Address) -> bool:
    # A wildcard IPv6 listener takes IPv4 connections too, unless an IPv4 one stands before it.
    anywhere = ("::",) if ":" in wanted[0] else ("0.0.0.0", "::")
    return listener[1] == wanted[1] and listener[0] in (wanted[0], *anywhere)


def _plain(address: Address) -> Address:
    """Write an address in one way: no scope, IPv4 not as an IPv6 one (RFC 4291, 2.5.5.2)."""
    host, port = address[0].partition("%")[0], address[1]
    return (host.removeprefix("::ffff:") if "." in host else host), port


def _family(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _packed(host: str) -> bytes:
    return socket.inet_pton(_family(host), host).ljust(16, b"\0")


def _text(family: int, address: bytes) -> str:
    size = 4 if family == socket.AF_INET else 16
    return socket.inet_ntop(family, address[:size])
