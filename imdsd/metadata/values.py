"""Which value each leaf has: the configuration's, the machine's, the role's, or a derived one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsd.credentials.model import account_of, role_name_of
from imdsd.metadata.documents import account_info, iam_info, identity_document, instance_id
from imdsd.metadata.machine import MachineInterface

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from imdsd.metadata.machine import Machine
    from imdsd.metadata.settings import Leaves, MetadataSettings

Found = dict[str, bytes | None]

IDENTITY_DOCUMENT = "dynamic/instance-identity/document"
_INTERFACES = "meta-data/network/interfaces/macs/"
_NO_INTERFACE = MachineInterface("", (), ())

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html names the partitions;
# the domains are those of the endpoints in each.
_DOMAINS = {
    "aws": "amazonaws.com",
    "aws-cn": "amazonaws.com.cn",
    "aws-us-gov": "amazonaws.com",
    "aws-iso": "c2s.ic.gov",
    "aws-iso-b": "sc2s.sgov.gov",
    "aws-iso-e": "cloud.adc-e.uk",
    "aws-iso-f": "csp.hci.ic.gov",
    "aws-eusc": "amazonaws.eu",
}


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """What is known of the role that IMDS serves; the last two from its first credentials on."""

    role_arn: str
    region: str
    issued_at: datetime | None = None
    environment: str | None = None


def leaves_of(facts: RoleFacts, machine: Machine, settings: MetadataSettings) -> Leaves:
    """Return every leaf that is known, the stronger source over the weaker.

    None stands for what only the first credentials tell.
    """
    interface = machine.interface or _NO_INTERFACE
    found: Found = {
        "meta-data/instance-action": b"none",
        **_of_role(facts),
        **_of_machine(machine, interface),
        **settings.leaves,
    }
    _derive_placement(found)
    _derive_host_name(found)
    found |= _interface(found, interface, account_of(facts.role_arn))
    found.setdefault(IDENTITY_DOCUMENT, _identity(found, facts, machine.architecture))
    return found


def _of_role(facts: RoleFacts) -> Found:
    partition = facts.role_arn.split(":", 2)[1]
    return {
        "meta-data/placement/region": facts.region.encode(),
        "meta-data/services/partition": partition.encode(),
        **_known("meta-data/services/domain", _DOMAINS.get(partition)),
        f"meta-data/iam/security-credentials/{role_name_of(facts.role_arn)}": None,
        **_of_credentials(facts),
    }


def _of_credentials(facts: RoleFacts) -> Found:
    info = account = identity = None
    if facts.issued_at is not None:
        info = iam_info(facts.role_arn, issued_at=facts.issued_at)
        account = account_info(facts.role_arn, issued_at=facts.issued_at)
    if facts.environment is not None:
        identity = instance_id(facts.environment).encode()
    return {
        "meta-data/iam/info": info,
        "meta-data/identity-credentials/ec2/info": account,
        "meta-data/instance-id": identity,
    }


def _of_machine(machine: Machine, interface: MachineInterface) -> Found:
    return {
        **_known("meta-data/hostname", machine.hostname),
        **_known("meta-data/mac", interface.mac),
        **_known("meta-data/local-ipv4", next(iter(interface.local_ipv4s), None)),
        **_known("meta-data/ipv6", next(iter(interface.ipv6s), None)),
    }


def _derive_placement(found: Found) -> None:
    """Name the zone `a`: clients cannot do without one.

    botocore cuts its last letter off to learn the region.
    """
    region = found["meta-data/placement/region"] or b""
    found.setdefault("meta-data/placement/availability-zone", region + b"a")


def _derive_host_name(found: Found) -> None:
    if "meta-data/hostname" in found:
        found.setdefault("meta-data/local-hostname", found["meta-data/hostname"])


def _interface(found: Found, interface: MachineInterface, account_id: str) -> Found:
    """Return the machine's one interface, unless the configuration describes them all."""
    mac = found.get("meta-data/mac")
    if mac is None or any(path.startswith(_INTERFACES) for path in found):
        return {}
    top = {
        "device-number": b"0",
        "local-hostname": found.get("meta-data/local-hostname"),
        "local-ipv4s": _all(found.get("meta-data/local-ipv4"), interface.local_ipv4s),
        "ipv6s": _all(found.get("meta-data/ipv6"), interface.ipv6s),
        "mac": mac,
        "owner-id": account_id.encode(),
        "public-hostname": found.get("meta-data/public-hostname"),
        "public-ipv4s": found.get("meta-data/public-ipv4"),
    }
    place = _INTERFACES + mac.decode()
    return {f"{place}/{name}": value for name, value in top.items() if value is not None}


def _all(first: bytes | None, of_machine: tuple[str, ...]) -> bytes | None:
    """Return the machine's addresses, one a line, unless the first is not its own."""
    if not of_machine or first != of_machine[0].encode():
        return first
    return "\n".join(of_machine).encode()


def _identity(found: Found, facts: RoleFacts, architecture: str) -> bytes | None:
    if found["meta-data/instance-id"] is None:
        return None
    account_id = account_of(facts.role_arn)
    return identity_document(found, account_id=account_id, architecture=architecture)


def _known(path: str, value: str | None) -> Mapping[str, bytes]:
    return {path: value.encode()} if value else {}
