"""The only module that knows what EC2's values look like: each parser returns one or refuses."""

from __future__ import annotations

import ipaddress
import re

from imdsd.config.parsers import Parser, matching, of_type
from imdsd.config.tables import ExpectedError

_text = of_type(str, "a text in quotes")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MOST_HOST_CHARACTERS = 253  # RFC 1123 section 2.1, and what RFC 1035 leaves of 255 bytes
_MULTICAST_BIT = 1

# 8 digits until 2016, then 17: the EC2 user guide, resource-ids.html.
_HEXADECIMAL = r"[0-9a-f]{8}(?:[0-9a-f]{9})?"


def _id_of(prefix: str) -> Parser[str]:
    example = f"{prefix}0123456789abcdef0"
    return matching(f"{prefix}{_HEXADECIMAL}", f"{prefix} and 8 or 17 digits of 0-9a-f: {example}")


instance_id = _id_of("i-")
ami_id = _id_of("ami-")
interface_id = _id_of("eni-")
subnet_id = _id_of("subnet-")
vpc_id = _id_of("vpc-")
security_group_id = _id_of("sg-")

instance_type = matching(r"[a-z0-9-]+\.[a-z0-9-]+", "an instance type such as t3.micro")
availability_zone = matching(
    r"[a-z]{2,8}(-[a-z]+)+-\d{1,2}([a-z]|(-[a-z0-9]+){1,4})",
    "an availability zone such as eu-central-1a",
)
security_group = matching(r"[!-~](?:[ -~]{0,253}[!-~])?", "1 to 255 printable ASCII characters")

_zone_id = matching(r"[a-z]{2,8}\d{1,2}(-[a-z0-9]+){1,3}", "the id of a zone such as use1-az1")
_mac_digits = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


def availability_zone_id(value: object) -> str:
    """Return the id of a zone; its name is another thing, and differs between accounts."""
    try:
        return _zone_id(value)
    except ExpectedError as refusal:
        try:
            availability_zone(value)
        except ExpectedError:
            raise refusal from None
        hint = "that is the zone's name, which belongs in availability_zone"
        raise ExpectedError(refusal.expected, hint=hint) from None


def mac(value: object) -> str:
    """Return the MAC of one interface, in small letters as EC2 writes it."""
    found = _text(value)
    expected = "six pairs of hexadecimal digits with colons: 0a:1b:2c:3d:4e:5f"
    if not _mac_digits.fullmatch(found):
        digits = re.sub(r"[^0-9A-Fa-f]", "", found)
        spelt = ":".join(digits[at : at + 2] for at in range(0, 12, 2)).lower()
        hint = f'write "{spelt}"' if re.fullmatch(r"[0-9A-Fa-f:.-]{12,17}", found) else ""
        raise ExpectedError(expected, hint=hint if _mac_digits.fullmatch(spelt) else "")
    if int(found[:2], 16) & _MULTICAST_BIT or not found.strip("0:"):
        raise ExpectedError(f"{expected}, of one interface: not of a group, not all zero")
    return found.lower()


def host_name(value: object) -> str:
    """Return a host's name by RFC 1123."""
    found = _text(value)
    if len(found) > _MOST_HOST_CHARACTERS or not re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})*", found):
        hint = "letters, digits and dashes, up to 63 between dots"
        raise ExpectedError("a host name such as ip-10-0-0-5.ec2.internal", hint=hint)
    return found


def ipv4(value: object) -> str:
    """Return the IPv4 address of one interface."""
    return _address(value, ipaddress.IPv4Address, "an IPv4 address such as 10.0.0.5")


def ipv6(value: object) -> str:
    """Return the IPv6 address of one interface, in its shortest form."""
    return _address(value, ipaddress.IPv6Address, "an IPv6 address such as 2001:db8::5")


def ipv4_block(value: object) -> str:
    """Return a block of IPv4 addresses; one with bits set beyond its length is none."""
    found = _text(value)
    expected = "a block of IPv4 addresses such as 10.0.0.0/16"
    address, slash, length = found.partition("/")
    try:
        if not slash or not length.isdecimal():
            raise ValueError
        lenient = ipaddress.IPv4Network((address, int(length)), strict=False)
    except ValueError:
        raise ExpectedError(expected) from None
    if str(lenient.network_address) != address:
        raise ExpectedError(expected, hint=f"did you mean {lenient}?")
    return str(lenient)


def _address(
    value: object, kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address], expected: str
) -> str:
    found = _text(value)
    try:
        address = ipaddress.ip_address(found)
    except ValueError:
        hint = "leave the length of a block away" if "/" in found else ""
        raise ExpectedError(expected, hint=hint) from None
    scoped = isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None
    if not isinstance(address, kind) or scoped:
        raise ExpectedError(expected)
    if address.is_unspecified or address.is_multicast:
        raise ExpectedError(f"{expected}, of one interface")
    return str(address)
