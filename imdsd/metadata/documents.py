"""The JSON documents of the metadata tree, as EC2 spaces and orders them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from imdsd.clock import format_instant
from imdsd.credentials.model import account_of, role_name_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


def spaced(document: Mapping[str, object]) -> bytes:
    """Return JSON with one key a line and a space on both sides of the colon.

    Some clients read it by regular expression.
    """
    return json.dumps(document, indent=2, separators=(",", " : ")).encode()


def iam_info(role_arn: str, *, issued_at: datetime) -> bytes:
    """Return `iam/info`: the instance profile is called as the role, its id is a stable hash."""
    partition, account = role_arn.split(":", 2)[1], account_of(role_arn)
    return spaced(
        {
            "Code": "Success",
            "LastUpdated": format_instant(issued_at),
            "InstanceProfileArn": (
                f"arn:{partition}:iam::{account}:instance-profile/{role_name_of(role_arn)}"
            ),
            "InstanceProfileId": f"AIPA{stable_hash(role_arn)[:17].upper()}",
        }
    )


def account_info(role_arn: str, *, issued_at: datetime) -> bytes:
    """Return `identity-credentials/ec2/info`: the account, and since when."""
    return spaced(
        {
            "Code": "Success",
            "LastUpdated": format_instant(issued_at),
            "AccountId": account_of(role_arn),
        }
    )


def identity_document(
    known: Mapping[str, bytes | None], *, account_id: str, architecture: str
) -> bytes:
    """Return the instance identity document of the leaves in `known`; null is what is not there.

    Keys and version as in
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html
    """

    def value_of(name: str) -> str | None:
        value = known.get(f"meta-data/{name}")
        return None if value is None else value.decode()

    return spaced(
        {
            "accountId": account_id,
            "architecture": architecture,
            "availabilityZone": value_of("placement/availability-zone"),
            "billingProducts": None,
            "devpayProductCodes": None,
            "marketplaceProductCodes": None,
            "imageId": value_of("ami-id"),
            "instanceId": value_of("instance-id"),
            "instanceType": value_of("instance-type"),
            "kernelId": value_of("kernel-id"),
            "pendingTime": None,
            "privateIp": value_of("local-ipv4"),
            "ramdiskId": value_of("ramdisk-id"),
            "region": value_of("placement/region"),
            "version": "2017-09-30",
        }
    )


def instance_id(environment: str) -> str:
    """Return the id an environment keeps for life, in the form of EC2's."""
    return f"i-{stable_hash(environment)[:17]}"


def stable_hash(text: str) -> str:
    """Return 64 hexadecimal digits that the same text always gives."""
    return hashlib.sha256(text.encode()).hexdigest()
