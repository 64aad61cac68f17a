"""Every credential body, rendered once per publish."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imdsd.clock import format_instant
from imdsd.credentials.model import role_name_of
from imdsd.endpoints.message import Answer, json_answer
from imdsd.endpoints.metadata import MetadataTree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from imdsd.credentials.model import Credentials

_ARCHITECTURES = {"aarch64": "arm64", "amd64": "x86_64"}


@dataclass(frozen=True, slots=True)
class Documents:
    """What is served of one publish; nothing here prints."""

    container: Answer = field(repr=False)
    imds_role: bytes = field(repr=False)
    tree: MetadataTree = field(repr=False)


class DocumentRenderer:
    """Render credentials as each protocol words them."""

    def __init__(self, machine: str) -> None:
        """Take the machine's architecture as `uname -m` has it."""
        self._architecture = _ARCHITECTURES.get(machine, machine)

    def publish(self, credentials: Credentials) -> Documents:
        """Return every document of these credentials."""
        return Documents(
            container=_container(credentials),
            imds_role=_imds_role(credentials),
            tree=MetadataTree(self._leaves(credentials)),
        )

    def _leaves(self, credentials: Credentials) -> dict[str, bytes | None]:
        known: dict[str, bytes | None] = {
            "meta-data/iam/info": _spaced(_iam_info(credentials)),
            "meta-data/instance-id": instance_id(credentials.environment).encode(),
            "dynamic/instance-identity/document": _spaced(self._identity(credentials)),
        }
        return {**leaves_before_credentials(credentials.role_arn, credentials.region), **known}

    def _identity(self, credentials: Credentials) -> dict[str, object]:
        return {
            "accountId": credentials.account_id,
            "architecture": self._architecture,
            "availabilityZone": f"{credentials.region}a",
            "billingProducts": None,
            "devpayProductCodes": None,
            "marketplaceProductCodes": None,
            "imageId": None,
            "instanceId": instance_id(credentials.environment),
            "instanceType": None,
            "kernelId": None,
            "pendingTime": None,
            "privateIp": None,
            "ramdiskId": None,
            "region": credentials.region,
            "version": "2017-09-30",
        }


def leaves_before_credentials(role_arn: str, region: str) -> dict[str, bytes | None]:
    """Return the tree's leaves for a role that has nothing yet: None stands for "not yet"."""
    return {
        "meta-data/iam/info": None,
        f"meta-data/iam/security-credentials/{role_name_of(role_arn)}": None,
        "meta-data/instance-id": None,
        # Clients cannot do without a zone, and botocore cuts its last letter off for the region.
        "meta-data/placement/availability-zone": f"{region}a".encode(),
        "meta-data/placement/region": region.encode(),
        "dynamic/instance-identity/document": None,
    }


def instance_id(environment: str) -> str:
    """Return the id an environment keeps for life, in the form of EC2's."""
    return f"i-{_stable_hash(environment)[:17]}"


def refused_role(message: str, *, at: datetime) -> bytes:
    """Return the role document that says why there are no credentials."""
    return _spaced(
        {
            "Code": "AssumeRoleUnauthorizedAccess",
            "Message": message,
            "LastUpdated": format_instant(at),
        }
    )


def _container(credentials: Credentials) -> Answer:
    return json_answer(
        200,
        {
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key.reveal(),
            "Token": credentials.session_token.reveal(),
            "Expiration": format_instant(credentials.expires_at),
            "AccountId": credentials.account_id,
            "RoleArn": credentials.role_arn,
        },
    )


def _imds_role(credentials: Credentials) -> bytes:
    return _spaced(
        {
            "Code": "Success",
            "LastUpdated": format_instant(credentials.issued_at),
            "Type": "AWS-HMAC",
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key.reveal(),
            "Token": credentials.session_token.reveal(),
            "Expiration": format_instant(credentials.expires_at),
            "AccountId": credentials.account_id,
        }
    )


def _iam_info(credentials: Credentials) -> dict[str, object]:
    partition = credentials.role_arn.split(":", 2)[1]
    account, role = credentials.account_id, role_name_of(credentials.role_arn)
    return {
        "Code": "Success",
        "LastUpdated": format_instant(credentials.issued_at),
        "InstanceProfileArn": f"arn:{partition}:iam::{account}:instance-profile/{role}",
        "InstanceProfileId": f"AIPA{_stable_hash(credentials.role_arn)[:17].upper()}",
    }


def _spaced(document: Mapping[str, object]) -> bytes:
    # One key a line, a space on both sides of the colon: some clients read it by expression.
    return json.dumps(document, indent=2, separators=(",", " : ")).encode()


def _stable_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
