"""What a role asks for, what it holds, and what state it is in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from imdsd.credentials.schedule import SERVE_MARGIN_SECONDS

if TYPE_CHECKING:
    from imdsd.errors import RefreshError
    from imdsd.secret import Secret

_SERVE_MARGIN = timedelta(seconds=SERVE_MARGIN_SECONDS)

D = TypeVar("D")
D_co = TypeVar("D_co", covariant=True)


class RoleState(StrEnum):
    """How a role fares."""

    STARTING = "starting"
    OK = "ok"
    DEGRADED = "degraded"
    DENIED = "denied"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class RoleTerms:
    """What is asked of STS for a role. Credentials belong to these terms, not to a role's name.

    `session_name` is a template over claims and host name; `source` says where the web identity
    token comes from; durations are in seconds.
    """

    role_arn: str
    chain: tuple[str, ...]
    session_name: str
    duration_seconds: int
    policy: str | None
    policy_arns: tuple[str, ...]
    region: str
    sts_endpoint_url: str | None
    source: str
    audience: str
    allowed_account_ids: tuple[str, ...] = ()

    @property
    def final_arn(self) -> str:
        """The role whose credentials are served: the last of the chain."""
        return self.chain[-1] if self.chain else self.role_arn

    def may_serve_what(self, other: RoleTerms) -> bool:
        """Whether credentials obtained on `other` terms may be served until these are met."""
        return (
            (self.role_arn, self.chain, self.policy, self.policy_arns)
            == (other.role_arn, other.chain, other.policy, other.policy_arns)
            and self._allows(other.final_arn)
        )  # fmt: skip

    def _allows(self, arn: str) -> bool:
        return not self.allowed_account_ids or account_of(arn) in self.allowed_account_ids


class IssuedSession(Protocol):
    """What an exchange gives: the temporary set and the role that STS says it belongs to."""

    @property
    def access_key_id(self) -> str: ...  # noqa: D102  # the class says it
    @property
    def secret_access_key(self) -> Secret: ...  # noqa: D102
    @property
    def session_token(self) -> Secret: ...  # noqa: D102
    @property
    def expires_at(self) -> datetime: ...  # noqa: D102
    @property
    def assumed_role_arn(self) -> str: ...  # noqa: D102


class TokenSource(Protocol):
    """Where web identity tokens come from."""

    @property
    def description(self) -> str:
        """One line for people, without a secret."""
        ...

    @property
    def renewable(self) -> bool:
        """Whether another token can be minted when this one has run out."""
        ...

    @property
    def minted_on_demand(self) -> bool:
        """Whether a token is made when it is asked for; if not, its age says nothing of clocks."""
        ...

    async def mint(self) -> Secret:
        """Return a web identity token; raise `MintError`."""
        ...


class Exchange(Protocol):
    """Who turns a web identity token into credentials."""

    async def exchange(  # noqa: D102  # the class says it
        self,
        token: Secret,
        *,
        role_arn: str,
        chain: tuple[str, ...],
        session_name: str,
        duration_seconds: int,
        policy: str | None,
        policy_arns: tuple[str, ...],
    ) -> IssuedSession: ...


class Publisher(Protocol[D_co]):
    """Who renders credentials into the documents that are served."""

    def publish(self, credentials: Credentials) -> D_co:
        """Return every document of these credentials, rendered once."""
        ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """A temporary set, the role it belongs to, and the environment it was minted for."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret
    issued_at: datetime
    expires_at: datetime
    role_arn: str
    assumed_role_arn: str
    environment: str
    region: str

    @property
    def account_id(self) -> str:
        """The twelve digits of the account that the role is in."""
        return account_of(self.role_arn)


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[D]):
    """Credentials in service, and their documents.

    Life is counted on two clocks, and the shorter wins: the wall knows of a suspended machine, the
    monotonic clock cannot be set back.
    """

    credentials: Credentials
    documents: D
    session_seconds: float
    dead_at: float

    def remaining_seconds(self, now: datetime, monotonic: float) -> float:
        """Return the life that is left, by the stricter clock."""
        wall = (self.credentials.expires_at - now).total_seconds()
        return min(wall, self.dead_at - monotonic)

    def servable(self, now: datetime, monotonic: float) -> bool:
        """Whether enough life is left to hand these credentials out."""
        # Not by what remains: every request asks.
        return (
            self.dead_at - monotonic > SERVE_MARGIN_SECONDS
            and self.credentials.expires_at - now > _SERVE_MARGIN
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """A refresh that failed, and when."""

    error: RefreshError
    at: datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant on both clocks: it has come when either says so."""

    at: datetime
    monotonic: float

    @classmethod
    def after(cls, seconds: float, *, now: datetime, monotonic: float) -> Moment:
        """Return the instant `seconds` from now."""
        return cls(now + timedelta(seconds=seconds), monotonic + seconds)

    def remaining_seconds(self, now: datetime, monotonic: float) -> float:
        """Return the seconds until the earlier of the two, negative when it has passed."""
        return min((self.at - now).total_seconds(), self.monotonic - monotonic)


NEVER = Moment(datetime.max.replace(tzinfo=UTC), math.inf)
"""The moment that does not come."""


def account_of(arn: str) -> str:
    """Return the account in an ARN, empty where there is none."""
    parts = arn.split(":", 5)
    return parts[4] if len(parts) == 6 else ""  # noqa: PLR2004  # an ARN has six parts


def role_name_of(role_arn: str) -> str:
    """Return the last element of a role's path: the name IAM knows it by."""
    return role_arn.rsplit("/", 1)[-1]


def belongs_to(assumed_role_arn: str, role_arn: str) -> bool:
    """Whether STS assumed the role that was asked for.

    Partition, account and role name are compared: an assumed-role ARN leaves the path out.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
    """
    _, partition, _, _, account, _ = role_arn.split(":", 5)
    prefix = f"arn:{partition}:sts::{account}:assumed-role/{role_name_of(role_arn)}/"
    return assumed_role_arn.startswith(prefix) and len(assumed_role_arn) > len(prefix)
