"""Every credential body, rendered once per publish."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imdsd.clock import format_instant
from imdsd.endpoints.message import Answer, json_answer
from imdsd.metadata.documents import spaced
from imdsd.metadata.values import RoleFacts

if TYPE_CHECKING:
    from datetime import datetime

    from imdsd.credentials.model import Credentials


@dataclass(frozen=True, slots=True)
class Documents:
    """What is served of one publish; no credential in here prints."""

    container: Answer = field(repr=False)
    imds_role: bytes = field(repr=False)
    facts: RoleFacts


class DocumentRenderer:
    """Render credentials as each protocol words them."""

    def publish(self, credentials: Credentials) -> Documents:
        """Return every document of these credentials."""
        facts = RoleFacts(
            credentials.role_arn,
            credentials.region,
            issued_at=credentials.issued_at,
            environment=credentials.environment,
        )
        return Documents(_container(credentials), _imds_role(credentials), facts)


def refused_role(message: str, *, at: datetime) -> bytes:
    """Return the role document that says why there are no credentials."""
    return spaced(
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
    return spaced(
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
