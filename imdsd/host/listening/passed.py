"""The only module that knows the sockets a service manager hands over (sd_listen_fds(3))."""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsd.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_DESCRIPTOR = 3

_MOST_SOCKETS = 64
_DEVICE_BYTES = 16  # IFNAMSIZ
_ADDRESS = "ADDRESS:PORT, a literal address such as 127.0.0.1:9254"
# By name: not every system has all of them.
_FAMILIES = {
    "AF_UNIX": "a Unix socket",
    "AF_NETLINK": "a netlink socket",
    "AF_VSOCK": "a VSOCK socket",
}


@dataclass(frozen=True, slots=True)
class PassedSocket:
    """A listening TCP socket that somebody else opened; `unit` is what they call it."""

    opened: socket.socket
    unit: str

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; a host of IPv6 without its scope."""
        host, port = self.opened.getsockname()[:2]
        return host, port


class _WrongSocketError(Exception):
    """What a unit says is not what we can serve on: the directive, what was found and expected."""

    def __init__(self, directive: str, found: str, expected: str, *, hint: str = "") -> None:
        self.problem = (directive, found, expected, hint)
        super().__init__(found)


def take_passed(
    environ: Mapping[str, str], *, pid: int, first: int = FIRST_DESCRIPTOR
) -> tuple[PassedSocket, ...]:
    """Return the sockets that were handed to this process, non-blocking and not inherited.

    To be called once: the descriptors are the caller's from then on. Raises ConfigurationError
    with every socket that is not a listening TCP socket, or is open to other machines though its
    address is link-local. Then nothing is closed: where fewer were passed than was said, the
    numbers stand for files of our own by now.
    """
    # What is meant for another process, a parent of ours, is none of our business.
    if environ.get("LISTEN_PID") != str(pid):
        return ()
    units = environ.get("LISTEN_FDNAMES", "").split(":")
    taken: list[PassedSocket] = []
    problems: list[Problem] = []
    for index in range(_count(environ)):
        number = first + index
        unit = units[index] if index < len(units) and units[index] else f"descriptor {number}"
        try:
            taken.append(PassedSocket(_taken(number), unit))
        except _WrongSocketError as wrong:
            problems.append(Problem(unit, *wrong.problem))
    if problems:
        for each in taken:
            each.opened.detach()
        raise ConfigurationError(tuple(problems))
    return tuple(taken)


def _count(environ: Mapping[str, str]) -> int:
    text = environ.get("LISTEN_FDS", "0")
    if text.isascii() and text.isdecimal() and int(text) <= _MOST_SOCKETS:
        return int(text)
    hint = "start imdsd by its unit, or take LISTEN_FDS out of its environment"
    problem = Problem("LISTEN_FDS", "value", repr(text), f"a number up to {_MOST_SOCKETS}", hint)
    raise ConfigurationError((problem,))


def _taken(number: int) -> socket.socket:
    try:
        opened = socket.socket(fileno=number)
    except OSError as error:
        raise _WrongSocketError("ListenStream", _no_socket(number, error), _ADDRESS) from error
    try:
        _check(opened)
        opened.settimeout(0)
        opened.set_inheritable(False)
    except BaseException:
        opened.detach()
        raise
    return opened


def _no_socket(number: int, error: OSError) -> str:
    try:
        os.fstat(number)
    except OSError:
        return f"a descriptor that is not open ({error.strerror})"
    return "a file or FIFO"


def _check(opened: socket.socket) -> None:
    if opened.family not in (socket.AF_INET, socket.AF_INET6):
        name = getattr(opened.family, "name", str(opened.family))
        found = _FAMILIES.get(name, f"a socket of family {name}")
        raise _WrongSocketError("ListenStream", found, _ADDRESS)
    if opened.type != socket.SOCK_STREAM:
        hint = "write ListenStream= in its place"
        raise _WrongSocketError("ListenDatagram", "a UDP socket", "a TCP socket", hint=hint)
    if not opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        hint = "write Accept=no, or leave it out"
        raise _WrongSocketError("Accept", "one connection", "the listening socket", hint=hint)
    _check_device(opened)


def _check_device(opened: socket.socket) -> None:
    """Refuse a link-local address that Linux would answer for on every interface."""
    host = opened.getsockname()[0].partition("%")[0]
    if not ipaddress.ip_address(host).is_link_local:
        return
    raw = opened.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _DEVICE_BYTES)
    device = raw.rstrip(b"\0").decode(errors="replace")
    if device != "lo":
        hint = (
            "write BindToDevice=lo on a line of its own, with no comment at its end;"
            f" else a neighbour with a route reaches {host}"
        )
        raise _WrongSocketError(
            "BindToDevice", repr(device) if device else "nothing", "lo", hint=hint
        )
