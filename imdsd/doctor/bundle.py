"""A report for a ticket: what the doctor found and what it looked at, without a secret."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from imdsd import __version__
from imdsd.clock import format_instant
from imdsd.doctor.rendering import as_document
from imdsd.errors import ImdsdError, UsageError
from imdsd.host.private_files import write_private
from imdsd.tokens.shape import show_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from imdsd.client import DaemonStatus
    from imdsd.config import Config
    from imdsd.doctor.finding import Finding, Surroundings

KIND = "imdsd doctor bundle"
_LIBRARIES = (
    "aiobotocore", "aiohttp", "botocore", "cryptography", "msgspec", "PyJWT", "structlog",
)  # fmt: skip
# Whose names alone are told: which are set says much, their values may be anything.
_OF_INTEREST = re.compile(
    r"AWS_\w+|IMDSD_\w+|(?i:(?:https?|all|no)_proxy)|CODESPACES|GITPOD_\w+|GITHUB_ACTIONS|ACTIONS_\w+"
    r"|REMOTE_CONTAINERS|VSCODE_\w+|XDG_RUNTIME_DIR|RUNTIME_DIRECTORY|INVOCATION_ID"
)
_JWT = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]+)*", re.ASCII)
_USER_OF_URL = re.compile(r"//[^/\s\"@]+@")
_SHORTEST_SECRET = 6


def write_bundle(
    path: Path,
    findings: Sequence[Finding],
    around: Surroundings,
    *,
    config: Config | None,
    status: DaemonStatus | None,
    force: bool,
) -> None:
    """Write it for its owner alone.

    Raises UsageError for a file that is something else, ImdsdError for what cannot be written.
    """
    if not force and not _may_be_replaced(path):
        raise UsageError(f"{path} exists and is no bundle of ours; choose another, or --force")
    report = {
        "kind": KIND,
        "imdsd": __version__,
        "written_at": format_instant(around.clock.now()),
        "machine": _machine(),
        "variables": sorted(name for name in around.environ if _OF_INTEREST.fullmatch(name)),
        "configuration": None if config is None else _configuration(config),
        "daemon": None if status is None else _daemon(status),
        "doctor": as_document(findings),
    }
    text = json.dumps(report, indent=2, ensure_ascii=False, default=str)
    if config is not None:
        text = _without_arguments(text, config)
    try:
        write_private(path, f"{redacted(text, around)}\n".encode("utf-8", "replace"))
    except OSError as error:
        raise ImdsdError(f"{path} cannot be written: {error.strerror}") from error
    except ValueError:  # a path without a last name
        raise UsageError(f"{path} cannot be written: it is no file") from None


def redacted(text: str, around: Surroundings) -> str:
    """Return the text without tokens, users of URLs, and what secret variables hold.

    None of these should be in it; this is for what nobody thought of. The home is written ~.
    """
    text = _USER_OF_URL.sub("//…@", _JWT.sub("…", text))
    secrets = (value for name, value in around.environ.items() if _is_secret(name))
    # The longest first: one may begin as another does, whose end would stay.
    for value in sorted(secrets, key=len, reverse=True):
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "…").replace(json.dumps(value)[1:-1], "…")
    home = str(around.home)
    return text.replace(home, "~") if len(home) > 1 else text


def _without_arguments(text: str, config: Config) -> str:
    """Return the text with token commands by their names alone, also where a finding tells one."""
    for token in (config.token, *(role.token for role in config.roles)):
        if token.command:
            words = [word.replace("{audience}", token.audience) for word in token.command]
            told = json.dumps(show_arguments(words), ensure_ascii=False)[1:-1]
            name = json.dumps(show_arguments(words[:1]), ensure_ascii=False)[1:-1]
            text = text.replace(told, f"{name} …" if words[1:] else name)
    return text


def _is_secret(name: str) -> bool:
    words = ("TOKEN", "SECRET", "PASSW", "CREDENTIAL", "_KEY", "AUTH")
    harmless = name.endswith(("_FILE", "_URI", "_URL", "_DIR", "_PATH"))
    return not harmless and any(word in name.upper() for word in words)


def _may_be_replaced(path: Path) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return True
    except OSError as error:
        raise ImdsdError(f"{path} cannot be written: {error.strerror}") from error
    if found.st_uid != os.geteuid() or not path.is_file() or path.is_symlink():
        return False
    try:
        with path.open(encoding="utf-8") as file:
            return f'"kind": "{KIND}"' in file.read(200)
    except (OSError, UnicodeError):
        return False


def _machine() -> dict[str, object]:
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "root": os.geteuid() == 0,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _configuration(config: Config) -> dict[str, object]:
    return {
        "source": config.source,
        "listen": [f"{each.host} {each.port} imds {each.imds}" for each in config.listen],
        "allow_imdsv1": config.allow_imdsv1,
        "bearer_group": config.bearer_group,
        "ca_bundle": config.ca_bundle and str(config.ca_bundle),
        "warnings": list(config.warnings),
        "roles": [
            {
                "name": role.name,
                "default": role.name == config.default_role,
                "arn": role.arn,
                "chain": list(role.chain),
                "region": role.region,
                "duration_seconds": role.duration_seconds,
                "session_name": role.session_name,
                "sts_endpoint_url": role.sts_endpoint_url,
                # Not the command, the URL or a header: they may hold what is secret.
                "token": {"source": role.token.source, "audience": role.token.audience},
            }
            for role in config.roles
        ],
    }


def _daemon(status: DaemonStatus) -> Mapping[str, object]:
    return {
        "version": status.version,
        "started_at": status.started_at and format_instant(status.started_at),
        "demo": status.demo,
        "listeners": list(status.listeners),
        "warnings": list(status.warnings),
        "roles": [
            {
                "name": role.name,
                "state": role.state,
                "served": role.served,
                "expires_at": role.expires_at and format_instant(role.expires_at),
                "refresh_at": role.refresh_at and format_instant(role.refresh_at),
                "refreshes": role.refreshes,
                "failures": role.failures,
                "last_error": role.last_error and str(role.last_error),
            }
            for role in status.roles
        ],
    }
