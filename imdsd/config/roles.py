"""The only module that knows what a [[role]] table means, and what roles may not share."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.config import arn, parsers
from imdsd.config.model import DEFAULT_SESSION_NAME, FilesConfig, RoleConfig
from imdsd.config.tables import ExpectedError, Setting, Settings, Table, missing
from imdsd.config.tokens import read_token
from imdsd.credentials.session_name import template_fields
from imdsd.errors import Problem
from imdsd.host.aws_credentials_file import (
    DEFAULT_PROFILE,
    PROFILE_NAME,
    nearest_profile,
    usual_file,
    usual_profile,
)

if TYPE_CHECKING:
    from imdsd.config.arn import RoleArn

# AWS's limits: AssumeRoleWithWebIdentity's parameters, and an hour for a chained role.
_SHORTEST_SECONDS, _LONGEST_SECONDS, _LONGEST_CHAINED_SECONDS = 900, 43200, 3600
_MOST_POLICY_CHARACTERS = 2048
_MOST_POLICY_ARNS = 10

# The C++, Java and .NET SDKs fetch anew, or warn, when so little is left of a session.
_COMFORTABLE_SECONDS = 1800

_name = parsers.matching(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
    "1 to 64 letters, digits, dots, underscores or dashes, the first a letter or digit",
)


@dataclass(frozen=True, slots=True)
class RoleSettings:
    """What the layers say of one role, its token source apart; `place` is the role itself.

    `files` is None where the role has no [role.files].
    """

    place: Setting
    role: Settings
    token: Settings
    files: Settings | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """What all roles may fall back to, and where they note what is wrong."""

    region: Setting | None
    environ: Mapping[str, str]
    problems: list[Problem]
    warnings: list[str]


def read_role(settings: RoleSettings, *, shared: Shared, alone: bool) -> RoleConfig:
    """Return the role as far as it can be read; what is wrong is noted."""
    table = Table(settings.role, shared.problems)
    found = _read_arn(table, settings.place, shared.problems)
    chain = table.read_each("chain", arn.role_arn)
    region, region_source = _read_region(table, found, shared)
    name = _read_name(table, settings.place, shared.problems, alone=alone)
    role = RoleConfig(
        name=name,
        aliases=table.read_each("aliases", _name),
        arn=found.text if found else "",
        duration_seconds=_read_duration(table, chained=bool(chain)),
        session_name=table.read("session_name", _session_name, DEFAULT_SESSION_NAME),
        policy=table.read("policy", _policy, None),
        policy_arns=table.read_each("policy_arns", arn.policy_arn, most=_MOST_POLICY_ARNS),
        region=region,
        region_source=region_source,
        sts_endpoint_url=table.read("sts_endpoint_url", parsers.url, None),
        token=read_token(settings.token, environ=shared.environ, problems=shared.problems),
        chain=tuple(link.text for link in chain),
        allowed_account_ids=table.read_each("allowed_account_ids", arn.account_id),
        arn_source=place_of(table.setting("arn")),
        files=_read_files(settings, name, shared),
    )
    _check_account(table, (*((found,) if found else ()), *chain), role.allowed_account_ids)
    _warn_of_short_session(role, shared.warnings)
    return role


def _read_arn(table: Table, place: Setting, problems: list[Problem]) -> RoleArn | None:
    if "arn" not in table:
        hint = "--role-arn and IMDSD_ROLE_ARN give the default role's only"
        problems.append(missing(place, "arn", f"the ARN of a role, {arn.EXAMPLE}", hint=hint))
    return table.read("arn", arn.role_arn, None)


def _read_name(table: Table, place: Setting, problems: list[Problem], *, alone: bool) -> str:
    if "name" not in table and not alone:
        problems.append(missing(place, "name", "a name, as there are several roles", hint=""))
    return table.read("name", _name, "default" if alone else "")


def _read_duration(table: Table, *, chained: bool) -> int | None:
    limits = parsers.whole_seconds(_SHORTEST_SECONDS, _LONGEST_SECONDS)
    duration = table.read("duration_seconds", limits, None)
    if not chained:
        return duration
    if duration is not None and duration > _LONGEST_CHAINED_SECONDS:
        expected = f"at most {_LONGEST_CHAINED_SECONDS} with a chain, AWS's limit"
        table.refuse("duration_seconds", ExpectedError(expected))
    return duration or _LONGEST_CHAINED_SECONDS


def _read_region(table: Table, found: RoleArn | None, shared: Shared) -> tuple[str, str]:
    """Return a role's region and where it comes from: its own, the common one, or a default."""
    setting = table.setting("region") or shared.region
    partition = found.partition if found else "aws"
    if setting is None:
        return _default_region(table, partition, shared)
    where = Table({"region": setting}, shared.problems)
    region = where.read("region", arn.region, "")
    own_endpoint = "sts_endpoint_url" in table
    if found and region and not own_endpoint and arn.partition_of(region) != partition:
        hint = f"set region in the role, as {found.text} lies in {partition}"
        where.refuse("region", ExpectedError(f"a region of the partition {partition}", hint=hint))
    return region, place_of(setting)


def _default_region(table: Table, partition: str, shared: Shared) -> tuple[str, str]:
    region = arn.default_region(partition)
    if region is None:
        refusal = ExpectedError(f"a region beside it, as {partition} has no default", found="none")
        table.refuse("arn", refusal)
        return "", ""
    shared.warnings.append(
        f"no region is set for a role of the partition {partition}: STS is asked in {region}; "
        "set region, --region or AWS_REGION"
    )
    return region, f"default of the partition {partition}"


def _session_name(value: object) -> str:
    template = parsers.text(value)
    try:
        template_fields(template)
    except ValueError as error:
        expected = "a template such as imdsd-{host} or {sub}"
        raise ExpectedError(expected, hint=str(error)) from None
    return template


def _policy(value: object) -> str:
    """Return a session policy, written as JSON text or as a TOML table, as JSON text."""
    expected = "an IAM policy: a table, or the text of a JSON object"
    try:
        document = json.loads(value) if isinstance(value, str) else value
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError) as error:
        raise ExpectedError(expected, hint=f"it is no JSON: {error}") from None
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise ExpectedError(f"{expected} with a Statement")
    if len(text) > _MOST_POLICY_CHARACTERS:
        found = f"{len(text)} characters"
        raise ExpectedError(f"at most {_MOST_POLICY_CHARACTERS} characters", found=found)
    return text


def _check_account(table: Table, links: Sequence[RoleArn], allowed: Sequence[str]) -> None:
    """Refuse a role whose credentials would be of another account than is allowed."""
    if not links or not allowed or links[-1].account in allowed:
        return
    key = "chain" if len(links) > 1 else "arn"
    found = f"account {links[-1].account}"
    table.refuse(
        key, ExpectedError(f"one of allowed_account_ids: {', '.join(allowed)}", found=found)
    )


def _read_files(settings: RoleSettings, role: str, shared: Shared) -> FilesConfig | None:
    if settings.files is None:
        return None
    table = Table(settings.files, shared.problems)
    home = shared.environ.get("HOME")
    place = Setting(None, settings.place.source, f"{settings.place.key}.files")
    if "credentials_file" not in table and not home:
        hint = "the usual one is in a home, and HOME is not set"
        shared.problems.append(missing(place, "credentials_file", "an absolute path", hint=hint))
    usual = usual_file(shared.environ, home=Path(home or "/"))
    files = FilesConfig(
        credentials_file=table.read("credentials_file", parsers.path(home), usual),
        profile=table.read("profile", _profile, usual_profile(role)),
    )
    if files.profile == DEFAULT_PROFILE:
        shared.warnings.append(
            f"role {role} keeps the profile {DEFAULT_PROFILE} of {files.credentials_file} fresh, "
            "which SDKs take before the daemon; another profile would not shadow it"
        )
    return files


def _profile(value: object) -> str:
    found = parsers.text(value)
    if re.fullmatch(PROFILE_NAME, found, re.ASCII) is None:
        near = nearest_profile(found)
        hint = f"the nearest is {near}" if near else ""
        raise ExpectedError("1 to 128 letters, digits and _/.%@:+-", hint=hint)
    return found


def check_files(roles: Sequence[RoleConfig], places: Sequence[Setting]) -> list[Problem]:
    """Return a problem for each profile that an earlier role keeps fresh already."""
    seen: dict[FilesConfig, str] = {}
    problems = []
    for role, place in zip(roles, places, strict=True):
        if role.files is None:
            continue
        first = seen.setdefault(role.files, role.name)
        if first != role.name:
            found = f"the profile of role {first}, {role.files.profile!r}"
            expected = "a profile of one role alone"
            key = f"{place.key}.files.profile"
            problems.append(Problem(place.source, key, found, expected))
    return problems


def _warn_of_short_session(role: RoleConfig, warnings: list[str]) -> None:
    if role.duration_seconds is not None and role.duration_seconds < _COMFORTABLE_SECONDS:
        warnings.append(
            f"role {role.name} asks for sessions of {role.duration_seconds} s: several SDKs fetch "
            f"at every call when so little is left; {_COMFORTABLE_SECONDS} or more is kinder"
        )


def check_names(roles: Sequence[RoleConfig], places: Sequence[Setting]) -> list[Problem]:
    """Return a problem for each name or alias that does not belong to one role alone."""
    counts = Counter(name for role in roles for name in (role.name, *role.aliases) if name)
    refusal = "a name or alias of one role alone"
    return [
        Problem(place.source, f"{place.key}.{key}", f"{name!r}, which is used twice", refusal)
        for role, place in zip(roles, places, strict=True)
        for key, name in (("name", role.name), *(("aliases", alias) for alias in role.aliases))
        if counts[name] > 1
    ]


def place_of(setting: Setting | None) -> str:
    """Return where a setting stands, for people: a flag or variable, or a file and its key."""
    if setting is None:
        return ""
    given_by_name = setting.source.startswith("--") or setting.source.isidentifier()
    return setting.source if given_by_name else f"{setting.source}: {setting.key}"
