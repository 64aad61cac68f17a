"""Which role `imdsd login` is about, and on which terms: options first, then the configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from imdsd.config import load
from imdsd.config.arn import default_region, partition_of, role_arn
from imdsd.config.tables import ExpectedError
from imdsd.credentials.model import role_name_of
from imdsd.credentials.session_name import template_fields
from imdsd.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from imdsd.config import Config, RoleConfig

# AWS's limits: AssumeRoleWithWebIdentity's DurationSeconds, and an hour for a chained role.
_SHORTEST_SECONDS, _LONGEST_SECONDS, _LONGEST_CHAINED_SECONDS = 900, 43200, 3600
_UNFIT_IN_A_SESSION_NAME = re.compile(r"[^\w+=,.@-]+", re.ASCII)
_LONGEST_SESSION_NAME = 64
_OF_THE_ROLE = ("role_arn", "duration_seconds", "session_name")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options say of a role, checked."""

    name: str | None
    arn: str | None
    duration_seconds: int | None
    session_name: str | None

    @classmethod
    def read(cls, arguments: argparse.Namespace) -> Self:
        """Return what was asked for; raise UsageError with what was found and expected."""
        wanted = arguments.duration_seconds
        return cls(
            name=arguments.role,
            arn=None if arguments.role_arn is None else _arn(arguments.role_arn),
            duration_seconds=None if wanted is None else _seconds(wanted, _LONGEST_SECONDS),
            session_name=_session_name(arguments.role_session_name),
        )

    @property
    def changes_terms(self) -> bool:
        """Whether a session on the role's own terms would not do."""
        return self.duration_seconds is not None or self.session_name is not None

    def applied_to(self, role: RoleConfig) -> RoleConfig:
        """Return the role with the duration and the session name that were asked for."""
        if self.session_name is not None:
            role = replace(role, session_name=self.session_name)
        if self.duration_seconds is None:
            return role
        most = _LONGEST_CHAINED_SECONDS if role.chain else _LONGEST_SECONDS
        return replace(role, duration_seconds=_seconds(str(self.duration_seconds), most))


def find_role(
    wish: Wish, *, flags: Mapping[str, object], environ: Mapping[str, str]
) -> tuple[Config, RoleConfig | None]:
    """Return the configuration and the role in it, None where it knows of no such role.

    A role of another ARN than all configured ones is asked for as the default role would be, but
    for what belongs to that role alone: its chain and its session policies.
    """
    flags = {key: value for key, value in flags.items() if key not in _OF_THE_ROLE}
    config = load(flags=flags, environ=environ, require_role=False)
    if wish.arn is not None and not config.roles:
        config = load(flags={**flags, "role_arn": wish.arn}, environ=environ)
    found = _in(config, wish)
    return config, None if found is None else wish.applied_to(found)


def _in(config: Config, wish: Wish) -> RoleConfig | None:
    by_name = {name: role for role in config.roles for name in (role.name, *role.aliases)}
    if wish.arn is None:
        return by_name.get(config.default_role if wish.name is None else wish.name)
    # The default role last, so that it comes first.
    ordered = sorted(config.roles, key=lambda role: role.name == config.default_role)
    by_arn = {role.chain[-1] if role.chain else role.arn: role for role in ordered}
    return by_arn.get(wish.arn) or _like(by_name[config.default_role], wish.arn)


def _like(default: RoleConfig, arn: str) -> RoleConfig:
    partition = role_arn(arn).partition
    region, source = default.region, default.region_source
    if partition_of(region) != partition and default.sts_endpoint_url is None:
        region, source = default_region(partition) or "", f"default of the partition {partition}"
    if not region:
        raise UsageError(f"--role-arn is {arn}, whose partition {partition} needs --region")
    return replace(
        default,
        name=role_name_of(arn),
        aliases=(),
        arn=arn,
        arn_source="--role-arn",
        chain=(),
        policy=None,
        policy_arns=(),
        region=region,
        region_source=source,
        files=None,
    )


def _arn(text: str) -> str:
    try:
        return role_arn(text).text
    except ExpectedError as error:
        hint = f"; {error.hint}" if error.hint else ""
        raise UsageError(f"--role-arn is {text!r}, expected {error.expected}{hint}") from None


def _seconds(text: str, most: int) -> int:
    expected = f"expected a whole number of seconds from {_SHORTEST_SECONDS} to {most}"
    if re.fullmatch(r"-?\d{1,18}", text, re.ASCII) is None:
        raise UsageError(f"--duration-seconds is {text!r}, {expected}")
    nearest = min(max(int(text), _SHORTEST_SECONDS), most)
    if nearest != int(text):
        raise UsageError(f"--duration-seconds is {text}, {expected}; the nearest is {nearest}")
    return nearest


def _session_name(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        template_fields(text)
    except ValueError as error:
        fit = _UNFIT_IN_A_SESSION_NAME.sub("-", text).strip("-")[:_LONGEST_SESSION_NAME]
        near = f"; the nearest is {fit}" if len(fit) > 1 and "{" not in text else ""
        expected = "expected 2 to 64 letters, digits and _+=,.@-, {host} and {CLAIM} filled in"
        raise UsageError(f"--role-session-name is {text!r}, {expected} ({error}){near}") from None
    return text
