"""What an administrator creates for one environment's tokens: identity provider, role, policy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsd.errors import ClaimsError
from imdsd.trust.document import policy_document
from imdsd.trust.policy import WEB_IDENTITY_ACTION, provider_arn, provider_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imdsd.trust.scopes import SubjectRule

NO_ACCOUNT = "ACCOUNT_ID"
"""What stands in a policy for an account that nobody named."""

# Claims by which a token asks for more than a session, and the action that must be allowed beside
# (IAM User Guide, "Pass session tags in AWS STS", "Monitor and control actions taken with assumed
# roles"). The first may be a prefix: tags can stand in claims of their own.
_TAGS = "https://aws.amazon.com/tags"
_SOURCE_IDENTITY = "https://aws.amazon.com/source_identity"

# CreateOpenIDConnectProvider: "must begin with https://", 255 characters, no query.
_ISSUER = re.compile(r"https://[\w.-]+(?P<port>:\d+)?(?:/[\w.~%@+=-]*)*", re.ASCII)
_MOST_CHARACTERS = 255


def actions_of(claims: Iterable[str]) -> tuple[str, ...]:
    """Return the actions that a token with claims of these names needs to be allowed."""
    names = tuple(claims)
    tagged = any(name == _TAGS or name.startswith(f"{_TAGS}/") for name in names)
    return (
        WEB_IDENTITY_ACTION,
        *(("sts:TagSession",) if tagged else ()),
        *(("sts:SetSourceIdentity",) if _SOURCE_IDENTITY in names else ()),
    )


def check_issuer(issuer: str) -> str:
    """Return a warning about an issuer that AWS may not take, or nothing.

    Raises ClaimsError for one that cannot be an identity provider of IAM.
    """
    match = _ISSUER.fullmatch(issuer)
    if match is None or len(issuer) > _MOST_CHARACTERS:
        raise ClaimsError(
            "iss",
            found=repr(issuer),
            expected="an https URL without a query, of at most 255 characters",
            remedy="IAM takes no other issuer as an identity provider",
        )
    if match["port"]:
        return f"iss is {issuer!r}: IAM asks for an issuer without a port"
    return ""


@dataclass(frozen=True, slots=True)
class TrustSetup:
    """A role and whom it trusts; `account` is None where nobody named one.

    `max_session_seconds` is IAM's MaxSessionDuration, 3600 to 43200; `actions` are what the trust
    policy allows.
    """

    issuer: str
    audience: str
    subject: SubjectRule
    role_name: str
    role_path: str = "/"
    max_session_seconds: int = 3600
    account: str | None = None
    partition: str = "aws"
    actions: tuple[str, ...] = (WEB_IDENTITY_ACTION,)

    @property
    def name(self) -> str:
        """The issuer as IAM names it."""
        return provider_name(self.issuer)

    @property
    def provider_arn(self) -> str:
        """The ARN of the identity provider."""
        account = self.account or NO_ACCOUNT
        return provider_arn(self.issuer, account=account, partition=self.partition)

    @property
    def role_arn(self) -> str:
        """The ARN of the role."""
        account = self.account or NO_ACCOUNT
        return f"arn:{self.partition}:iam::{account}:role{self.role_path}{self.role_name}"

    def policy(self, provider: object) -> dict[str, object]:
        """Return the trust policy; `provider` is what stands for the provider's ARN in it."""
        return policy_document(
            provider=provider,
            name=self.name,
            audience=self.audience,
            subject=self.subject.condition,
            actions=self.actions,
        )

    @property
    def provider_input(self) -> dict[str, object]:
        """What CreateOpenIDConnectProvider takes.

        Without a ThumbprintList, which has been optional since 2024: IAM trusts the public
        authorities, and looks a thumbprint up by itself for any other.
        """
        return {"Url": self.issuer, "ClientIDList": [self.audience]}

    @property
    def role_input(self) -> dict[str, object]:
        """What CreateRole takes, beside the trust policy."""
        return {
            "RoleName": self.role_name,
            "Path": self.role_path,
            "MaxSessionDuration": self.max_session_seconds,
        }
