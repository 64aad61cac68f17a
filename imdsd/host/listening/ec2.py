"""The only module that knows an EC2 instance, and the addresses that AWS's services have there."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# The last two: DNS, time, licences, and whatever comes next. All are of the instance itself, and
# an address on `lo` hides every port of it.
_SERVICES = tuple(
    (ipaddress.ip_network(network), name)
    for network, name in (
        ("169.254.169.254", "the metadata service of the instance"),
        ("fd00:ec2::254", "the metadata service of the instance"),
        ("169.254.170.2", "the credentials and metadata of ECS tasks"),
        ("169.254.170.23", "the credentials of EKS pods"),
        ("fd00:ec2::23", "the credentials of EKS pods"),
        ("169.254.169.0/24", "a service of the instance, such as DNS and time"),
        ("fd00:ec2::/32", "a service of the instance, such as DNS and time"),
    )
)
_DMI = "sys/class/dmi/id"
_INSTANCE_ID = re.compile(r"i-[0-9a-f]{8}(?:[0-9a-f]{9})?", re.ASCII)
# "EC2" at the beginning of a UUID, or where SMBIOS wrote its first four bytes in reverse.
_UUID = re.compile(r"ec2|[0-9a-f]{4}2[0-9a-f]ec-", re.ASCII | re.IGNORECASE)


def ec2_evidence(root: Path = Path("/")) -> str:
    """Return what says that this machine is an EC2 instance; empty where nothing does.

    What cannot be read says nothing. Nitro and bare metal name Amazon as the vendor and the
    instance as the board; Xen has the version of its hypervisor and a UUID, which the kernel may
    show to root alone.
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html
    """
    return next(_evidence(root), "")


def service_at(host: str) -> str:
    """Return which service of AWS an EC2 instance has at an address; empty where it has none."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return next((name for network, name in _SERVICES if address in network), "")


def _evidence(root: Path) -> Iterator[str]:
    vendor = _read(root / _DMI / "sys_vendor")
    if vendor == "Amazon EC2":
        yield f"/{_DMI}/sys_vendor is {vendor}"
    if _INSTANCE_ID.fullmatch(tag := _read(root / _DMI / "board_asset_tag")):
        yield f"/{_DMI}/board_asset_tag is {tag}"
    if (version := _read(root / _DMI / "bios_version")).endswith(".amazon"):
        yield f"/{_DMI}/bios_version is {version}"
    # Any machine may have such a UUID by chance, one of 4096: it counts on Xen alone.
    for path in ("sys/hypervisor/uuid", *([f"{_DMI}/product_uuid"] if vendor == "Xen" else [])):
        if _UUID.match(uuid := _read(root / path)):
            yield f"/{path} is {uuid}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
