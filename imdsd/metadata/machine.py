"""The only module that knows what machine this is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.metadata.interfaces import read_interfaces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imdsd.metadata.interfaces import Interface

# As EC2 names architectures (DescribeImages, `architecture`).
_ARCHITECTURES = {
    "aarch64": "arm64",
    "amd64": "x86_64",
    "i486": "i386",
    "i586": "i386",
    "i686": "i386",
}
# route.h: in use; says that there is no way.
_RTF_UP, _RTF_REJECT = 0x1, 0x200
_IPV4_FIELDS, _IPV6_FIELDS = 8, 10


@dataclass(frozen=True, slots=True)
class MachineInterface:
    """The network interface by which the machine reaches the rest of the world."""

    mac: str
    local_ipv4s: tuple[str, ...]
    ipv6s: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine's own facts; a host name that cannot be served is empty."""

    hostname: str
    architecture: str
    interface: MachineInterface | None


def read_machine(
    root: Path = Path("/"),
    *,
    uname: Callable[[], os.uname_result] = os.uname,
    interfaces: Callable[[], tuple[Interface, ...]] = read_interfaces,
) -> Machine:
    """Return what this machine is, without a look-up by name; what cannot be read is absent.

    The interface is that of the default route: bridges, tunnels and containers' ends of a wire
    are not the machine's own. One without an Ethernet address gives way to the next.
    """
    system = uname()
    servable = system.nodename.isascii() and system.nodename.isprintable()
    return Machine(
        hostname=system.nodename if servable else "",
        architecture=_ARCHITECTURES.get(system.machine.lower(), system.machine.lower()),
        interface=_own_interface(root, interfaces),
    )


def _own_interface(
    root: Path, interfaces: Callable[[], tuple[Interface, ...]]
) -> MachineInterface | None:
    # Not /proc/net, which is a link to this and not there for a service with ProcSubset=pid.
    names = list(_default_routes(root / "proc/self/net"))
    known = {each.name: each for each in interfaces()} if names else {}
    for name in names:
        found = known.get(name)
        if found is not None and found.mac is not None:
            return MachineInterface(found.mac, found.local_ipv4s, found.ipv6s)
    return None


def _default_routes(directory: Path) -> Iterator[str]:
    """Yield the interfaces of the default routes, IPv4 before IPv6, the lowest metric first."""
    for routes in (
        _ipv4_defaults(directory / "route"),
        _ipv6_defaults(directory / "ipv6_route"),
    ):
        # Of equal ones the kernel takes the first.
        yield from (name for _, name in sorted(routes, key=lambda route: route[0]))


def _ipv4_defaults(path: Path) -> Iterator[tuple[int, str]]:
    # Iface Destination Gateway Flags RefCnt Use Metric Mask …
    for fields in _lines(path, least=_IPV4_FIELDS):
        name, destination, _, flags, _, _, metric, mask = fields[:_IPV4_FIELDS]
        if destination == mask == "0" * 8 and metric.isdecimal() and _leads_on(flags):
            yield int(metric), name


def _ipv6_defaults(path: Path) -> Iterator[tuple[int, str]]:
    # destination its-length source its-length gateway metric refcnt use flags iface
    for fields in _lines(path, least=_IPV6_FIELDS):
        destination, length, _, source_length, _, metric, _, _, flags, name = fields[:_IPV6_FIELDS]
        whole = destination == "0" * 32 and length == source_length == "00"
        if whole and _is_hexadecimal(metric) and _leads_on(flags):
            yield int(metric, 16), name


def _leads_on(flags: str) -> bool:
    return _is_hexadecimal(flags) and int(flags, 16) & (_RTF_UP | _RTF_REJECT) == _RTF_UP


def _is_hexadecimal(text: str) -> bool:
    return bool(text) and not text.strip("0123456789abcdefABCDEF")


def _lines(path: Path, *, least: int) -> Iterator[list[str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= least:
            yield fields
