"""`imdsd check-config`: every problem at once, or what would be used and where it stands."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from imdsd.config import add_flags, build_source, load
from imdsd.host.accounts import gid_of, uids_of
from imdsd.host.listening.ec2 import ec2_evidence

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from imdsd.config import Config, ListenConfig, RoleConfig


def configure(parser: argparse.ArgumentParser) -> None:
    """Take all flags of the configuration, so that the same words check what `serve` would run."""
    add_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print a summary of a sound configuration; raise with every problem of another."""
    config = load(flags=vars(arguments), environ=os.environ)
    uids_of(config.allow_users, config.allow_groups)
    gid_of(config.bearer_group)
    for warning in config.warnings:
        _warn(warning)
    _refuse_hiding(config)
    sys.stdout.writelines(f"{line}\n" for line in summary(config, environ=os.environ))
    return 0


def _warn(text: object) -> None:
    sys.stderr.write(f"imdsd: warning: {text}\n")


def _refuse_hiding(config: Config) -> None:
    """Raise ConfigurationError for what the daemon would not serve on this machine, if on EC2."""
    evidence = "" if config.hide_ec2_services else ec2_evidence()
    if evidence:
        from imdsd.daemon.listeners import without_hiding

        without_hiding(config.listen, ec2_evidence=evidence, source=config.source, tell=_warn)


def summary(config: Config, *, environ: Mapping[str, str]) -> Iterator[str]:
    """Return the lines that say what would be used."""
    count = len(config.roles)
    yield f"configuration is sound: {config.source}, {count} role{'s' if count > 1 else ''}"
    yield _line("listen", ", ".join(map(_listener, config.listen)))
    yield _line("logs", f"{config.log_level}, {config.log_format}")
    if config.ca_bundle is not None:
        yield _line("ca bundle", str(config.ca_bundle))
    if told := ", ".join(_metadata(config)):
        yield _line("metadata", told)
    for role in config.roles:
        yield ""
        yield from _role(role, is_default=role.name == config.default_role)
        source = _source(role, environ=environ, ca_bundle=config.ca_bundle)
        yield _line("token", f"{source}, audience {role.token.audience}")


def _source(role: RoleConfig, *, environ: Mapping[str, str], ca_bundle: Path | None) -> str:
    """Say where tokens come from; of `auto`, what this environment offers now."""
    if role.token.source != "auto":
        return build_source(role.token, environ=environ, ca_bundle=ca_bundle).description
    from imdsd.tokens.ambient import FindingKind, survey

    for finding in survey(environ, audience=role.token.audience):
        if finding.kind is not FindingKind.ABSENT:
            return f"auto: {finding.name} is {finding.kind}: {finding.detail}"
    return "auto: this environment offers no token source now"


def _role(role: RoleConfig, *, is_default: bool) -> Iterator[str]:
    yield f"role {role.name}{' (default)' if is_default else ''}"
    if role.aliases:
        yield _line("aliases", ", ".join(role.aliases))
    yield _line("arn", f"{role.arn} ({role.arn_source})")
    for link in role.chain:
        yield _line("then", link)
    yield _line("region", f"{role.region} ({role.region_source})")
    yield _line("session", f"{role.session_name}, {_duration(role)}")
    if role.sts_endpoint_url is not None:
        yield _line("sts", role.sts_endpoint_url)
    if role.files is not None:
        yield _line("files", f"profile {role.files.profile} of {role.files.credentials_file}")


def _duration(role: RoleConfig) -> str:
    if role.duration_seconds is not None:
        return f"{role.duration_seconds} s"
    return "3600 s, or 43200 s where the web identity token cannot be minted again"


def _metadata(config: Config) -> Iterator[str]:
    """Say how much of the metadata tree is configured."""
    if leaves := len(config.metadata.settings.leaves):
        yield _counted(leaves, "leaf", "leaves")
    if events := len(config.metadata.events):
        yield _counted(events, "event", "events")
    if config.upstream is not None:
        yield f"{_counted(len(config.upstream.paths), 'path', 'paths')} from {config.upstream.url}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _listener(listener: ListenConfig) -> str:
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    optional = ", optional" if listener.optional else ""
    return f"{host}:{listener.port} (imds {listener.imds}{optional})"


def _line(label: str, value: str) -> str:
    return f"  {label:10}{value}"
