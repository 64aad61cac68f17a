"""The only module that knows which setting wins: flags, variables, the file, then AWS's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsd.config import arn, options, parsers
from imdsd.config.document import Document, find_document, usual_files
from imdsd.config.listeners import read_listeners
from imdsd.config.metadata import read_metadata, read_upstream
from imdsd.config.model import Config, MetadataConfig, RoleConfig
from imdsd.config.roles import RoleSettings, Shared, check_files, check_names, read_role
from imdsd.config.tables import Setting, Settings, Table, settings_in
from imdsd.config.tokens import overlay, read_token
from imdsd.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from imdsd.config.options import Layer

_account_name = parsers.matching(r"[\w.][\w.@$-]{0,255}", "the name of an account or group")
_log_level = parsers.choice("debug", "info", "warning", "error")
_log_format = parsers.choice("auto", "json", "text")
_starting_seconds = parsers.seconds(0, 3600)


def load(
    *,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    usual: Sequence[Path] | None = None,
    require_role: bool = True,
) -> Config:
    """Return the whole configuration, checked.

    `flags` are what `add_flags` collects, by name, None where not given; `usual` are the files
    looked for when none is named. Raises ConfigurationError with every problem there is.
    """
    strong = _over(options.variable_layer(environ), options.flag_layer(flags))
    named = strong.get("", {}).get("config")
    document = find_document(named, usual=usual_files(environ) if usual is None else usual)
    problems = options.unknown_variables(environ)
    if document.problem is not None:
        raise ConfigurationError((document.problem, *problems))
    layers = _Layers(document, strong, options.aws_layer(environ), environ, problems)
    config = _read(layers, require_role=require_role)
    if problems:
        # Roles share the common source: what is wrong with it was found once for each of them.
        raise ConfigurationError(tuple(dict.fromkeys(problems)))
    return config


def _over(weaker: Layer, stronger: Layer) -> Layer:
    kinds = weaker.keys() | stronger.keys()
    merged = {kind: {**weaker.get(kind, {}), **stronger.get(kind, {})} for kind in kinds}
    merged["token"] = overlay(weaker.get("token", {}), stronger.get("token", {}))
    return merged


@dataclass(frozen=True, slots=True)
class _Layers:
    """All that can set something: `strong` (variables and flags) wins over the file, `aws` not."""

    document: Document
    strong: Layer
    aws: Layer
    environ: Mapping[str, str]
    problems: list[Problem]

    def in_file(self, table: Mapping[str, object], *, kind: str, prefix: str) -> Settings:
        """Return a table of the file, its unknown keys noted."""
        source = self.document.source
        return settings_in(table, kind=kind, source=source, prefix=prefix, problems=self.problems)

    def merged(self, kind: str, in_file: Settings) -> Settings:
        """Return a table of the file with what is weaker below it and what is stronger above."""
        return {**self.aws.get(kind, {}), **in_file, **self.strong.get(kind, {})}

    def token_table(self, owner: Table, *, prefix: str) -> Settings:
        """Return the settings of the `token` table of the file, or of one role."""
        table = owner.read("token", parsers.table, {})
        return self.in_file(table, kind="token", prefix=prefix)

    def files_table(self, role: Table, *, prefix: str) -> Settings | None:
        """Return the settings of [role.files], None where the role has no such table."""
        table = role.read("files", parsers.table, None)
        if table is None:
            return None
        return self.in_file(table, kind="files", prefix=prefix)

    def metadata_table(self, top: Table) -> Table:
        """Return the settings of [metadata], which the file alone can give."""
        table = top.read("metadata", parsers.table, {})
        return Table(self.in_file(table, kind="metadata", prefix="metadata."), self.problems)


@dataclass(frozen=True, slots=True)
class _FileRole:
    """One [[role]] of the file, its own [role.token], and its [role.files] if there is one."""

    place: Setting
    settings: Settings
    token: Settings
    files: Settings | None = None


def _read(layers: _Layers, *, require_role: bool) -> Config:
    environ, problems = layers.environ, layers.problems
    top = Table(
        layers.merged("", layers.in_file(layers.document.tables, kind="", prefix="")), problems
    )
    top.read("region", arn.region, None)  # checked even where every role has its own
    in_file = layers.token_table(top, prefix="token.")
    shared = Shared(top.setting("region"), environ, problems, [])
    roles, default_role = _read_roles(layers, top, in_file, shared, require_role=require_role)
    common = overlay(in_file, layers.strong.get("token", {}))
    listen = read_listeners(top, problems)
    metadata = layers.metadata_table(top)
    return Config(
        roles=roles,
        default_role=default_role,
        listen=listen,
        listen_is_set="listen" in top,
        allow_users=top.read_each("allow_users", _account_name),
        allow_groups=top.read_each("allow_groups", _account_name),
        allow_imdsv1=top.read("allow_imdsv1", parsers.boolean, default=False),
        hide_ec2_services=top.read("hide_ec2_services", parsers.boolean, default=False),
        bearer_group=top.read("bearer_group", _account_name, None),
        ca_bundle=top.read("ca_bundle", parsers.existing_file(environ.get("HOME")), None),
        startup_grace_seconds=top.read("startup_grace_seconds", _starting_seconds, 20.0),
        startup_spread_seconds=top.read("startup_spread_seconds", _starting_seconds, 0.0),
        log_level=top.read("log_level", _log_level, "info"),
        log_format=top.read("log_format", _log_format, "auto"),
        source=layers.document.source,
        token=read_token(common, environ=environ, problems=problems),
        upstream=read_upstream(metadata, listen=listen),
        metadata=_read_metadata(metadata, shared, roles, default_role),
        # Last, when all the above have noted theirs.
        warnings=tuple(dict.fromkeys(shared.warnings)),
    )


def _read_metadata(
    table: Table, shared: Shared, roles: Sequence[RoleConfig], default_role: str
) -> MetadataConfig:
    region = next((role.region for role in roles if role.name == default_role), "")
    home = shared.environ.get("HOME")
    return read_metadata(
        table, region=region, home=home, problems=shared.problems, warnings=shared.warnings
    )


def _read_roles(
    layers: _Layers, top: Table, common: Settings, shared: Shared, *, require_role: bool
) -> tuple[tuple[RoleConfig, ...], str]:
    """Return the roles and the name of the default one."""
    in_file = _file_roles(layers, top)
    if not in_file:
        nameless = layers.merged("role", {})
        if "arn" not in nameless:
            _note_no_role(layers, required=require_role)
            return (), ""
        in_file = [_FileRole(Setting(None, layers.document.source, "role"), {}, {})]
    default = _default_index(in_file, layers.problems)
    roles = [
        read_role(
            _settings_of(role, layers, common, is_default=index == default),
            shared=shared,
            alone=len(in_file) == 1,
        )
        for index, role in enumerate(in_file)
    ]
    layers.problems.extend(check_names(roles, [role.place for role in in_file]))
    layers.problems.extend(check_files(roles, [role.place for role in in_file]))
    return tuple(roles), roles[default].name


def _note_no_role(layers: _Layers, *, required: bool) -> None:
    if required:
        source = layers.document.source
        hint = "give --role-arn ARN, set IMDSD_ROLE_ARN, or write a [[role]] into the file"
        if source == os.devnull:
            source, hint = "flags and variables", "give --role-arn ARN, or set IMDSD_ROLE_ARN"
        problem = Problem(source, "role", "no role", "at least one", hint)
        layers.problems.append(problem)


def _file_roles(layers: _Layers, top: Table) -> list[_FileRole]:
    found: list[_FileRole] = []
    for index, table in enumerate(top.read("role", parsers.tables, ())):
        key = f"role[{index}]"
        settings = layers.in_file(table, kind="role", prefix=f"{key}.")
        role = Table(settings, layers.problems)
        token = layers.token_table(role, prefix=f"{key}.token.")
        files = layers.files_table(role, prefix=f"{key}.files.")
        place = Setting(None, layers.document.source, key)
        found.append(_FileRole(place, settings, token, files))
    return found


def _default_index(roles: Sequence[_FileRole], problems: list[Problem]) -> int:
    """Return which role is the default: the only one, or the one that says so."""
    marked = [
        index
        for index, role in enumerate(roles)
        if Table(role.settings, problems).read("default", parsers.boolean, default=False)
    ]
    if len(roles) > 1 and len(marked) != 1:
        place = roles[marked[1] if marked else 0].place
        found = f"{len(marked)} default roles" if marked else "no default role"
        hint = "write default = true into one [[role]]"
        problems.append(Problem(place.source, f"{place.key}.default", found, "exactly one", hint))
    return marked[0] if marked else 0


def _settings_of(
    role: _FileRole, layers: _Layers, common: Settings, *, is_default: bool
) -> RoleSettings:
    """Return what all layers say of a role: flags and variables speak of the default one.

    Where tokens come from they say for every role that has no source of its own.
    """
    strong = layers.strong.get("token", {})
    if not is_default:
        token = overlay(overlay(common, strong), role.token)
        return RoleSettings(role.place, role.settings, token, role.files)
    token = overlay(overlay(common, role.token), strong)
    return RoleSettings(role.place, layers.merged("role", role.settings), token, role.files)
