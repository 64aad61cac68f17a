"""The only module that knows what a [[metadata.interface]] means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsd.config import arn
from imdsd.config.metadata import values
from imdsd.config.metadata.entries import mapping_in, tables_of
from imdsd.config.metadata.friendly import MAC, SECURITY_GROUPS
from imdsd.config.parsers import whole_number
from imdsd.config.tables import ExpectedError, Setting, Table, missing, problem_of, settings_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imdsd.config.metadata.placing import Placing
    from imdsd.errors import Problem

_PLACE = "meta-data/network/interfaces/macs"
_MOST = 64

_ONE: Mapping[str, tuple[str, Callable[[object], str]]] = {
    "interface_id": ("interface-id", values.interface_id),
    "local_hostname": ("local-hostname", values.host_name),
    "public_hostname": ("public-hostname", values.host_name),
    "owner_id": ("owner-id", arn.account_id),
    "subnet_id": ("subnet-id", values.subnet_id),
    "subnet_ipv4_cidr_block": ("subnet-ipv4-cidr-block", values.ipv4_block),
    "vpc_id": ("vpc-id", values.vpc_id),
    "vpc_ipv4_cidr_block": ("vpc-ipv4-cidr-block", values.ipv4_block),
}
_MANY: Mapping[str, tuple[str, Callable[[object], str]]] = {
    "local_ipv4s": ("local-ipv4s", values.ipv4),
    "ipv6s": ("ipv6s", values.ipv6),
    "public_ipv4s": ("public-ipv4s", values.ipv4),
    "security_groups": ("security-groups", values.security_group),
    "security_group_ids": ("security-group-ids", values.security_group_id),
    "vpc_ipv4_cidr_blocks": ("vpc-ipv4-cidr-blocks", values.ipv4_block),
}

_AT_THE_TOP = {
    "mac": MAC,
    "local-hostname": "meta-data/local-hostname",
    "local-ipv4s": "meta-data/local-ipv4",
    "ipv6s": "meta-data/ipv6",
    "public-hostname": "meta-data/public-hostname",
    "public-ipv4s": "meta-data/public-ipv4",
    "security-groups": SECURITY_GROUPS,
}
"""What the interface with the device number 0 says of the whole instance."""

_device_number = whole_number(0, 255)


@dataclass(frozen=True, slots=True)
class _Interface:
    """One interface: where it stands in the file, and its values, each a list, by their names."""

    place: Setting
    mac: str
    device_number: int
    found: Mapping[str, tuple[str, ...]]


def place_interfaces(table: Table, placing: Placing, problems: list[Problem]) -> None:
    """Put the leaves of every interface, and those that the first of them gives the instance.

    What the instance's own keys say is put before, and stands.
    """
    places = tables_of(table, "interface", most=_MOST)
    read = [_read(index, place, problems) for index, place in enumerate(places)]
    interfaces = [interface for interface in read if interface is not None]
    _refuse_repeated(interfaces, problems)
    for interface in interfaces:
        _place(interface, placing)
        if interface.device_number == 0:
            _place_at_the_top(interface, placing)
    if interfaces and len(interfaces) == len(places):
        _check_mac(interfaces, placing, problems)


def _read(index: int, place: Setting, problems: list[Problem]) -> _Interface | None:
    settings = settings_in(
        mapping_in(place),
        kind="interface",
        source=place.source,
        prefix=f"{place.key}.",
        problems=problems,
    )
    table = Table(settings, problems)
    if "mac" not in table:
        problems.append(missing(place, "mac", "the MAC that names the interface", hint=""))
    mac = table.read("mac", values.mac, None)
    number = table.read("device_number", _device_number, index)
    one = {name: table.read(key, parse, None) for key, (name, parse) in _ONE.items()}
    many = {name: table.read_each(key, parse) for key, (name, parse) in _MANY.items()}
    found = {**many, **{name: (value,) for name, value in one.items() if value is not None}}
    return None if mac is None else _Interface(place, mac, number, found)


def _place(interface: _Interface, placing: Placing) -> None:
    place = f"{_PLACE}/{interface.mac}"
    placing.put(f"{place}/mac", interface.mac.encode(), interface.place)
    number = str(interface.device_number).encode()
    placing.put(f"{place}/device-number", number, interface.place)
    for name, found in interface.found.items():
        if found:
            placing.put(f"{place}/{name}", "\n".join(found).encode(), interface.place)
    for public, private in _associations(interface.found):
        placing.put(f"{place}/ipv4-associations/{public}", private.encode(), interface.place)


def _associations(found: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Return which public address stands for which private one, where the two lists pair up.

    As in the user guide's ec2-instance-metadata.html, ipv4-associations/public-ip.
    """
    public, private = found["public-ipv4s"], found["local-ipv4s"]
    if len(public) != len(private):
        return []
    return list(dict(zip(public, private, strict=True)).items())


def _place_at_the_top(interface: _Interface, placing: Placing) -> None:
    found = {**interface.found, "mac": (interface.mac,)}
    for name, path in _AT_THE_TOP.items():
        of_it = found.get(name, ())
        value = "\n".join(of_it) if path == SECURITY_GROUPS else "".join(of_it[:1])
        if value:
            placing.put_below(path, value.encode(), interface.place)


def _refuse_repeated(interfaces: list[_Interface], problems: list[Problem]) -> None:
    macs: set[str] = set()
    primaries = 0
    for interface in interfaces:
        if interface.mac in macs:
            refusal = ExpectedError("each MAC once", found=f"{interface.mac} twice")
            problems.append(problem_of(interface.place, refusal))
        macs.add(interface.mac)
        primaries += interface.device_number == 0
    if interfaces and primaries != 1:
        found = f"{primaries} interfaces with device_number 0"
        hint = "it is the instance's own; leave device_number away to count from 0"
        place = interfaces[0].place
        refusal = ExpectedError("exactly one", found=found, hint=hint)
        problems.append(problem_of(Setting(None, place.source, "metadata.interface"), refusal))


def _check_mac(interfaces: list[_Interface], placing: Placing, problems: list[Problem]) -> None:
    """Refuse a `mac` of the instance under which clients would find no interface."""
    found, giver = placing.leaves.get(MAC, b"").decode(), placing.giver(MAC)
    macs = [interface.mac for interface in interfaces]
    if giver is not None and found not in macs:
        refusal = ExpectedError(f"an interface's: {', '.join(macs)}", found=repr(found))
        problems.append(problem_of(giver, refusal))
