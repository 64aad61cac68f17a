"""Whether the configuration can be used, and of which role the rest of the chain is walked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsd.config import load
from imdsd.doctor.finding import Diagnosis, Level, Step
from imdsd.errors import ConfigurationError, UsageError
from imdsd.host.accounts import gid_of, uids_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from imdsd.config import Config, RoleConfig, TokenConfig
    from imdsd.doctor.finding import Finding

_STEP = Step.CONFIGURATION

SOUND = Diagnosis(_STEP, Level.OK, "sound", "every setting can be used")
PROBLEM = Diagnosis(
    _STEP, Level.FAILURE, "problem", "a setting, or the file itself, cannot be used", "{remedy}"
)
WARNED = Diagnosis(
    _STEP,
    Level.WARNING,
    "warned",
    "a setting can be used and is probably not meant",
    "change that setting; docs/configuration.md tells what each one is for",
)
NO_ROLE = Diagnosis(
    _STEP,
    Level.WARNING,
    "no-role",
    "neither file, variable nor flag names a role, so the exchange cannot be tried",
    "give --role-arn ARN, set IMDSD_ROLE_ARN, or write a [[role]] into the file",
)

_CORRECT = "correct it, then see `imdsd check-config`"


@dataclass(frozen=True, slots=True)
class Subject:
    """The configuration, and the role that is walked through: None where there is none."""

    config: Config
    role: RoleConfig | None

    @property
    def token(self) -> TokenConfig:
        """Where its web identity tokens come from."""
        return self.config.token if self.role is None else self.role.token


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading the configuration: no subject where it cannot be used."""

    subject: Subject | None
    findings: tuple[Finding, ...]


def read_configuration(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    role_name: str | None,
    usual: Sequence[Path] | None = None,
) -> Reading:
    """Read it as `serve` would; raises UsageError for a role that it does not have."""
    try:
        config = load(flags=flags, environ=environ, usual=usual, require_role=False)
        subject = Subject(config, _role(config, role_name))
        uids_of(config.allow_users, config.allow_groups)
        gid_of(config.bearer_group)
    except ConfigurationError as error:
        return Reading(None, tuple(_problems(error)))
    return Reading(subject, tuple(_judge(subject)))


def _role(config: Config, name: str | None) -> RoleConfig | None:
    wanted = config.default_role if name is None else name
    for role in config.roles:
        if wanted in (role.name, *role.aliases):
            return role
    if name is None:
        return None
    known = ", ".join(role.name for role in config.roles) or "none"
    raise UsageError(f"the configuration has no role {name!r}, expected one of {known}")


def _problems(error: ConfigurationError) -> Iterator[Finding]:
    for each in error.problems:
        found = f"{each.source}: {each.key}: found {each.found}, expected {each.expected}"
        yield PROBLEM(found, source=each.source, key=each.key, remedy=each.hint or _CORRECT)


def _judge(subject: Subject) -> Iterator[Finding]:
    config = subject.config
    count = len(config.roles)
    roles = f"{count} role{'' if count == 1 else 's'}"
    yield SOUND(f"{config.source}, {roles}", source=config.source, roles=count)
    for warning in config.warnings:
        yield WARNED(warning)
    if subject.role is None:
        yield NO_ROLE(f"no role in {config.source}, the variables or the flags")
