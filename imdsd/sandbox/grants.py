"""What the sandbox STS demands before it lets a caller into a role, and what it then grants."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import jwt

from imdsd.clock import format_instant
from imdsd.sandbox.issuer import ALGORITHM, SUBJECTS_OF_THE_ORGANIZATION, Issuer
from imdsd.sandbox.sessions import (
    RoleName,
    SandboxRole,
    Session,
    open_session,
    parse_role_arn,
)
from imdsd.sandbox.wire import (
    TOO_LONG_FOR_CHAIN,
    TOO_LONG_FOR_ROLE,
    StsError,
    Tree,
    packed_policy_size,
)
from imdsd.trust import (
    PrincipalKind,
    TrustRequest,
    is_like,
    judge,
    provider_arn,
    provider_name,
    web_identity_request,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jwt.types import Options

DEFAULT_SECONDS = 3600
# "Role chaining limits your role session to a maximum of one hour" (IAM User Guide).
MOST_CHAINED_SECONDS = 3600
NOT_A_TOKEN = (
    "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
)
NOT_VALIDATED = "The web identity token that was passed could not be validated"


@dataclass(frozen=True, slots=True)
class Grant:
    """A session that a caller may have, and what the answer says about it."""

    session: Session | None
    assumed_role_arn: str
    assumed_role_id: str
    packed_policy_size: int | None = None
    subject: str = ""
    audience: str = ""
    provider: str = ""

    def result(self) -> Tree:
        """Return the elements of the answer."""
        texts = {
            "SubjectFromWebIdentityToken": self.subject,
            "Audience": self.audience,
            "Provider": self.provider,
            "PackedPolicySize": self.packed_policy_size,
        }
        user = {"Arn": self.assumed_role_arn, "AssumedRoleId": self.assumed_role_id}
        return {
            **{name: str(text) for name, text in texts.items() if text not in ("", None)},
            "AssumedRoleUser": user,
            **({} if self.session is None else {"Credentials": _credentials(self.session)}),
        }


def _credentials(session: Session) -> Tree:
    return {
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key.reveal(),
        "SessionToken": session.session_token.reveal(),
        "Expiration": format_instant(session.expires_at),
    }


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may have which role; `session_seconds` overrules every length that is asked for."""

    issuer: Issuer
    roles: Mapping[str, SandboxRole]
    session_seconds: int | None = None

    def by_web_identity(self, parameters: Mapping[str, str], *, now: datetime) -> Grant:
        """Grant AssumeRoleWithWebIdentity, or raise the StsError that says why not."""
        name = _role_name(parameters)
        size = packed_policy_size(parameters)
        claims = self._verify(parameters["WebIdentityToken"], now=now)
        role = self.roles.get(name.arn)
        if role is None or not self._trusts_token(role, name, claims):
            raise StsError("AccessDenied")
        grant = self._grant(name, parameters, now=now, seconds=_duration(parameters, role))
        return replace(
            grant,
            packed_policy_size=size,
            subject=str(claims["sub"]),
            audience=self.issuer.audience,
            provider=provider_arn(self.issuer.url, account=name.account, partition=name.partition),
        )

    def by_chaining(
        self, parameters: Mapping[str, str], *, caller: Session, now: datetime
    ) -> Grant:
        """Grant AssumeRole to the session that signed, or raise the StsError that says why not."""
        name = _role_name(parameters)
        size = packed_policy_size(parameters)
        role = self.roles.get(name.arn)
        if role is None or not _trusts_session(role, name, caller, parameters):
            text = (
                f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: "
                f"{name.arn}"
            )
            raise StsError("AccessDenied", text)
        seconds = _duration(parameters, role)
        if seconds > MOST_CHAINED_SECONDS:
            raise StsError("ValidationError", TOO_LONG_FOR_CHAIN)
        grant = self._grant(name, parameters, now=now, seconds=seconds)
        return replace(grant, packed_policy_size=size)

    def _grant(
        self, role: RoleName, parameters: Mapping[str, str], *, now: datetime, seconds: int
    ) -> Grant:
        length = self.session_seconds or seconds
        session = open_session(
            role, parameters["RoleSessionName"], now=now, duration_seconds=length
        )
        return Grant(session, session.arn, session.user_id)

    def _verify(self, token: str, *, now: datetime) -> Mapping[str, object]:
        claims = self._read(token)
        expires_at = claims.get("exp")
        instant = int(now.timestamp())
        if not isinstance(expires_at, int | float) or expires_at <= instant:
            text = (
                f"Token expired: current date/time {instant} must be before the expiration "
                f"date/time {expires_at}"
            )
            raise StsError("ExpiredTokenException", text)
        audiences = claims.get("aud")
        listed = audiences if isinstance(audiences, list) else [audiences]
        if self.issuer.audience not in listed:
            raise StsError("InvalidIdentityToken", "Incorrect token audience")
        return claims

    def _read(self, token: str) -> Mapping[str, object]:
        try:
            header = jwt.get_unverified_header(token)
            # Only read to find the issuer, as STS does; the signature is checked right below.
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except jwt.InvalidTokenError:
            raise StsError("InvalidIdentityToken", NOT_A_TOKEN) from None
        if issuer != self.issuer.url:
            text = f"No OpenIDConnect provider found in your account for {issuer}"
            raise StsError("InvalidIdentityToken", text)
        if header.get("kid") != self.issuer.key_id:
            raise StsError("InvalidIdentityToken")
        return self._check_signature(token)

    def _check_signature(self, token: str) -> Mapping[str, object]:
        # The instants are judged by the sandbox's own clock, which PyJWT cannot be handed.
        options: Options = {
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
            "verify_aud": False,
            "require": ["sub", "aud", "exp"],
        }
        try:
            claims: Mapping[str, object] = jwt.decode(
                token, self.issuer.public_key, algorithms=[ALGORITHM], options=options
            )
        except jwt.InvalidTokenError:
            raise StsError("InvalidIdentityToken", NOT_VALIDATED) from None
        return claims

    def _trusts_token(
        self, role: SandboxRole, name: RoleName, claims: Mapping[str, object]
    ) -> bool:
        request = web_identity_request(
            self.issuer.url, claims, account=name.account, partition=name.partition
        )
        if role.trust_policy is not None:
            return judge(role.trust_policy, request).allowed
        subjects = request.values(f"{provider_name(self.issuer.url)}:sub")
        return any(
            is_like(subject, pattern)
            for subject in subjects
            for pattern in SUBJECTS_OF_THE_ORGANIZATION
        )


def _role_name(parameters: Mapping[str, str]) -> RoleName:
    name = parse_role_arn(parameters["RoleArn"])
    if name is None:
        raise StsError("ValidationError", "Request ARN is invalid")
    return name


def _duration(parameters: Mapping[str, str], role: SandboxRole) -> int:
    seconds = int(parameters.get("DurationSeconds", DEFAULT_SECONDS))
    if seconds > role.max_session_seconds:
        raise StsError("ValidationError", TOO_LONG_FOR_ROLE)
    return seconds


def _trusts_session(
    role: SandboxRole, name: RoleName, caller: Session, parameters: Mapping[str, str]
) -> bool:
    if caller.role.partition != name.partition:
        return False
    if role.trust_policy is None:
        return True
    account = caller.role.account
    root = f"arn:{caller.role.partition}:iam::{account}:root"
    external_id = parameters.get("ExternalId")
    request = TrustRequest(
        action="sts:AssumeRole",
        kind=PrincipalKind.AWS,
        names=(caller.arn, caller.role.arn, root, account),
        context={"sts:ExternalId": () if external_id is None else (external_id,)},
    )
    return judge(role.trust_policy, request).allowed
