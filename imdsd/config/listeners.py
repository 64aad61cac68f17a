"""The only module that knows which addresses may be listened on, and who is answered there."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from imdsd.config.model import DEFAULT_HOP_LIMIT, DEFAULT_PORT, ListenConfig
from imdsd.config.parsers import boolean, choice, whole_number
from imdsd.config.tables import (
    ExpectedError,
    Setting,
    Table,
    missing,
    problem_of,
    settings_in,
    shown,
)
from imdsd.errors import ConfigurationError, Problem

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_HIGHEST_PORT = 65535
_DEFAULT = ListenConfig("127.0.0.1", DEFAULT_PORT)

# What AWS itself uses over IPv6: IMDS, and the pod identity agent of EKS.
_AWS_IPV6 = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "fd00:ec2::23")))

# All that AWS keeps for services of the machine itself; no router has business with it.
_AWS_LOCAL = ipaddress.ip_network("fd00:ec2::/32")
# EC2's own default for IMDSv2 (HttpPutResponseHopLimit).
_LOCAL_HOP_LIMIT = 1

_EXPECTED = "ADDRESS:PORT with a literal IP address, such as 127.0.0.1:9254"

# No suggestion: "open" is near to many a slip, and serves whoever reaches the address.
_imds = choice("attested", "open", "off", suggest=False)
_hop_limit = whole_number(1, 255)  # the field has eight bits, and with 0 nothing leaves


def read_listeners(table: Table, problems: list[Problem]) -> tuple[ListenConfig, ...]:
    """Return the listeners; the default one where none is given."""
    setting = table.setting("listen")
    if setting is None:
        return (_DEFAULT,)
    if not isinstance(setting.value, list) or not setting.value:
        refusal = ExpectedError(
            "a list with at least one address", hint='listen = ["127.0.0.1:9254"]'
        )
        problems.append(problem_of(setting, refusal))
        return (_DEFAULT,)
    items = [setting.item(index, value) for index, value in enumerate(setting.value)]
    read = [(item, _read_one(item, problems)) for item in items]
    _refuse_repeated([(item, found) for item, found in read if found], problems)
    return tuple(found for _, found in read if found)


def listener_at(host: str, port: int, *, source: str) -> ListenConfig:
    """Return what counts for an address that only a socket unit names, `source`.

    Raises ConfigurationError for one that would be refused without a word about it under `listen`.
    """
    try:
        address = _host(host)
        if not _may_attest(address):
            raise _beyond_this_machine(address)
    except ExpectedError as refusal:
        setting = Setting(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}", source, "ListenStream"
        )
        raise ConfigurationError((problem_of(setting, refusal),)) from None
    return ListenConfig(host, port, hop_limit=_usual_hop_limit(address))


def _read_one(setting: Setting, problems: list[Problem]) -> ListenConfig | None:
    if not isinstance(setting.value, Mapping):
        settings = {"address": setting}
    else:
        settings = settings_in(
            setting.value,
            kind="listen",
            source=setting.source,
            prefix=f"{setting.key}.",
            problems=problems,
        )
    if "address" not in settings:
        problems.append(missing(setting, "address", "an address and a port", hint=""))
        return None
    return _listener(Table(settings, problems))


def _listener(table: Table) -> ListenConfig | None:
    address = table.read("address", _address, None)
    imds = table.read("imds", _imds, "attested")
    optional = table.read("optional", boolean, default=False)
    hop_limit = table.read("hop_limit", _hop_limit, None)
    if address is None:
        return None
    if imds == "attested" and not _may_attest(address[0]):
        table.refuse("address", _beyond_this_machine(address[0]))
        return None
    hops = hop_limit or _usual_hop_limit(address[0])
    return ListenConfig(str(address[0]), address[1], imds, optional, hops)


def _address(value: object) -> tuple[IpAddress, int]:
    if not isinstance(value, str):
        raise ExpectedError(_EXPECTED)
    match = re.fullmatch(r"(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})", value, re.ASCII)
    if match is None:
        raise ExpectedError(_EXPECTED, hint=_address_hint(value))
    host = _host(match[1] if match[2] is None else match[2])
    port = int(match[3])
    if port > _HIGHEST_PORT:
        raise ExpectedError(f"a port from 0 to {_HIGHEST_PORT}")
    return host, port


def _address_hint(value: str) -> str:
    if value.isdecimal():
        return f"write 127.0.0.1:{value}"
    if value.count(":") > 1:
        return "an IPv6 address stands in brackets: [::1]:9254"
    return f"add a port, such as :{DEFAULT_PORT}" if ":" not in value else ""


def _host(text: str) -> IpAddress:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        hint = "write 127.0.0.1" if text in {"localhost", ""} else ""
        raise ExpectedError(_EXPECTED, hint=hint) from None
    if address.is_unspecified or address.is_multicast:
        hint = "name each address by itself; credentials are not for the whole network"
        raise ExpectedError("the address of one interface", hint=hint)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        raise ExpectedError(_EXPECTED, hint=f"write {address.ipv4_mapped}")
    return address


def _may_attest(address: IpAddress) -> bool:
    """Whether the kernel can say who is at the other end: only where clients are local."""
    return address.is_loopback or address.is_link_local or address in _AWS_IPV6


def _usual_hop_limit(address: IpAddress) -> int:
    local = address.is_link_local or address in _AWS_LOCAL
    return _LOCAL_HOP_LIMIT if local else DEFAULT_HOP_LIMIT


def _beyond_this_machine(address: IpAddress) -> ExpectedError:
    return ExpectedError(
        "a loopback or link-local address",
        found=f"{shown(str(address))}, which other machines may reach",
        hint='for a bridge, write { address = "…", imds = "off" } or, if all who reach it '
        'may use the default role, imds = "open"',
    )


def _refuse_repeated(
    listeners: list[tuple[Setting, ListenConfig]], problems: list[Problem]
) -> None:
    seen: set[tuple[str, int]] = set()
    for setting, listener in listeners:
        place = (listener.host, listener.port)
        if place in seen and listener.port:
            refusal = ExpectedError("each address once", found=f"{listener.host} twice")
            problems.append(problem_of(setting, refusal))
        seen.add(place)
