"""The roles that the sandbox STS knows and the sessions that it has handed out."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsd.errors import UsageError
from imdsd.secret import Secret

if TYPE_CHECKING:
    from datetime import datetime

    from imdsd.trust import TrustPolicy

_ROLE_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):iam::(?P<account>\d{12}):role/(?P<path>(?:[!-~]+/)?)"
    r"(?P<name>[\w+=,.@-]{1,64})",
    re.ASCII,
)
_ID_ALPHABET = string.ascii_uppercase + "234567"
# So that a demo which runs for weeks stays small.
MOST_SESSIONS = 10_000


@dataclass(frozen=True, slots=True)
class RoleName:
    """A role's ARN, taken apart."""

    arn: str
    partition: str
    account: str
    name: str

    @property
    def unique_id(self) -> str:
        """The AROA… id that IAM gives a role; here always the same for the same ARN."""
        digest = hashlib.sha256(self.arn.encode()).digest()
        return "AROA" + "".join(_ID_ALPHABET[byte % 32] for byte in digest[:17])

    def session_arn(self, session_name: str) -> str:
        """Return the ARN of a session; the role's path is left out, as STS does."""
        return f"arn:{self.partition}:sts::{self.account}:assumed-role/{self.name}/{session_name}"


def parse_role_arn(arn: str) -> RoleName | None:
    """Take a role's ARN apart, or return None when it is none."""
    parts = _ROLE_ARN.fullmatch(arn)
    if parts is None:
        return None
    return RoleName(arn, parts["partition"], parts["account"], parts["name"])


@dataclass(frozen=True, slots=True)
class SandboxRole:
    """A role that exists in the sandbox.

    Without a trust policy, the issuer's audience and organisation are enough, and so is any
    session that this STS handed out in the same partition. Raises UsageError for no role ARN.
    """

    arn: str
    max_session_seconds: int = 3600
    trust_policy: TrustPolicy | None = None

    def __post_init__(self) -> None:
        if parse_role_arn(self.arn) is None:
            raise UsageError(
                f"the role's ARN is {self.arn!r}, expected arn:aws:iam::123456789012:role/NAME"
            )


@dataclass(frozen=True, slots=True)
class Session:
    """A session of a role, with the credentials that prove it."""

    role: RoleName
    name: str
    access_key_id: str
    secret_access_key: Secret
    session_token: Secret
    expires_at: datetime

    @property
    def arn(self) -> str:
        """The ARN that GetCallerIdentity answers."""
        return self.role.session_arn(self.name)

    @property
    def user_id(self) -> str:
        """The id that GetCallerIdentity answers."""
        return f"{self.role.unique_id}:{self.name}"


def open_session(role: RoleName, name: str, *, now: datetime, duration_seconds: int) -> Session:
    """Make new credentials for a session; nobody can use them until they are remembered."""
    return Session(
        role=role,
        name=name,
        access_key_id="ASIA" + "".join(secrets.choice(_ID_ALPHABET) for _ in range(16)),
        secret_access_key=Secret(_base64ish(40)),
        # Real ones have no fixed length, and all of base64's alphabet.
        session_token=Secret("IQoJb3JpZ2luX2Vj" + _base64ish(340) + "=="),
        expires_at=now + timedelta(seconds=duration_seconds),
    )


def _base64ish(length: int) -> str:
    alphabet = string.ascii_letters + string.digits + "+/"
    return "".join(secrets.choice(alphabet) for _ in range(length))


class Sessions:
    """The sessions that were handed out, by access key id; past `most`, the oldest is forgotten."""

    def __init__(self, *, most: int = MOST_SESSIONS) -> None:
        self._most = most
        self._by_access_key_id: dict[str, Session] = {}

    def remember(self, session: Session) -> None:
        """Let a session's credentials sign requests from now on."""
        if len(self._by_access_key_id) >= self._most:
            del self._by_access_key_id[next(iter(self._by_access_key_id))]
        self._by_access_key_id[session.access_key_id] = session

    def find(self, access_key_id: str) -> Session | None:
        """Return the session of an access key id, over or not."""
        return self._by_access_key_id.get(access_key_id)
