"""`imdsd login`: a session of a role, written into ~/.aws/credentials once."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from imdsd.cli._asking import Caller, ask_status, names_of_roles, pick_role, unknown_role, warn
from imdsd.cli._login_roles import Wish, find_role
from imdsd.cli._telling import relative
from imdsd.clock import SystemClock, format_instant
from imdsd.config import add_flags
from imdsd.credentials.model import role_name_of
from imdsd.doctor.sdks.profiles import read_files
from imdsd.errors import (
    ConfigurationError,
    ImdsdError,
    NoCredentialsError,
    NoDaemonError,
    Problem,
    RefreshError,
    UsageError,
)
from imdsd.host.aws_credentials_file import (
    DEFAULT_PROFILE,
    PROFILE_NAME,
    ProfileKeys,
    nearest_profile,
    usual_file,
    usual_profile,
    write_profile,
)
from imdsd.host.memory import close_memory, leave_no_core
from imdsd.secret import Secret

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

    from imdsd.config import Config, RoleConfig

_OF_THE_DAEMON = (
    "role_arn",
    "session_name",
    "duration_seconds",
    "listen",
    "allow_imdsv1",
    "log_format",
    "log_level",
)
_OK = 200
_NOTE = "login"


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the options of `ona idp login aws`, and what says where tokens come from."""
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--role", metavar="NAME", help="a role by its name or alias (default: the default role)"
    )
    chosen.add_argument("--role-arn", metavar="ARN", help="any other role")
    parser.add_argument(
        "--profile",
        metavar="P",
        help="the profile to write (default: imdsd-NAME, with --role-arn the IAM role's name)",
    )
    parser.add_argument(
        "--duration-seconds",
        metavar="N",
        help="length of the session, 900 to 43200 (default: as the role has it, else 3600)",
    )
    parser.add_argument(
        "--role-session-name",
        metavar="S",
        help="how the session is called in CloudTrail; {host} and {CLAIM} are filled in",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace a profile that holds long-lived keys or another source of credentials",
    )
    add_flags(parser, exclude=_OF_THE_DAEMON)


def run(arguments: argparse.Namespace) -> int:
    """Obtain a session of its own, write it, and say how to use it on stderr."""
    leave_no_core()
    close_memory()
    return perform(arguments, Caller.of_this_process())


def perform(arguments: argparse.Namespace, caller: Caller) -> int:
    """Do it on behalf of a caller."""
    wish, profile = Wish.read(arguments), _checked_profile(arguments.profile)
    config, role = find_role(wish, flags=vars(arguments), environ=caller.environ)
    login = _of_daemon(wish, config, caller) if role is None else _minted(role, config, caller)
    if wish.arn is not None:
        login = _Login(role_name_of(wish.arn), login.role_arn, login.region, login.keys)
    path = usual_file(caller.environ, home=caller.home)
    profile = profile or usual_profile(login.name)
    write_profile(
        path, profile, login.keys, uid=caller.uid, pause=caller.clock.pause, force=arguments.force
    )
    _tell(login, profile, path, caller)
    for broken, why in read_files(caller.environ, home=caller.home).broken.items():
        warn(f"SDKs cannot read {broken} ({why}), and fail on it; correct what else stands in it")
    return 0


@dataclass(frozen=True, slots=True)
class _Login:
    """A session, the role it is of, and the region that SDKs should be told, if any."""

    name: str
    role_arn: str
    region: str
    keys: ProfileKeys


def _checked_profile(name: str | None) -> str | None:
    if name is None or re.fullmatch(PROFILE_NAME, name, re.ASCII):
        return name
    fit = nearest_profile(name)
    near = f"; the nearest is {fit}" if fit else ""
    raise UsageError(f"--profile is {name!r}, expected letters, digits and _/.%@:+-{near}")


# A session of its own


def _minted(role: RoleConfig, config: Config, caller: Caller) -> _Login:
    from imdsd.daemon import process
    from imdsd.daemon.once import obtain
    from imdsd.telemetry.log import configure_logging

    configure_logging(level="warning", log_format="text")
    ca_bundle = config.ca_bundle
    try:
        found = process.run(
            lambda: obtain(role, environ=caller.environ, ca_bundle=ca_bundle, clock=SystemClock())
        )
    except RefreshError as error:
        raise NoCredentialsError(f"{error.stage} failed: {error}") from None
    keys = ProfileKeys(
        found.access_key_id, found.secret_access_key, found.session_token, found.expires_at, _NOTE
    )
    region = "" if role.region_source.startswith("default ") else role.region
    return _Login(role.name, found.role_arn, region, keys)


# What only the running daemon knows


def _of_daemon(wish: Wish, config: Config, caller: Caller) -> _Login:
    """Have the daemon refresh a role that no configuration here knows, and take its session."""
    try:
        daemon = caller.find_daemon()
    except NoDaemonError as error:
        raise _no_role(wish.name, config, error) from None
    status = ask_status(daemon)
    known = names_of_roles(status)
    if wish.name is not None and wish.name not in known:
        raise unknown_role(wish.name, tuple(dict.fromkeys((*_names(config), *known))))
    role = pick_role(status, wish.name)
    if wish.changes_terms:
        raise UsageError(
            f"role {role.name!r} is known to the running daemon alone, which has its own terms; "
            "beside --duration-seconds and --role-session-name give "
            f"--role-arn {role.role_arn}"
        )
    path = quote(role.name, safe="")
    # A session of full length, as one that was minted here would be.
    refreshed = daemon.post(f"/refresh/{path}")
    if refreshed.status != _OK:
        warn(f"{refreshed.message}; what the daemon holds is written")
    reply = daemon.get(f"/v1/credentials/{path}")
    if reply.status != _OK:
        raise NoCredentialsError(reply.message)
    return _Login(role.name, role.role_arn, role.region, _keys_in(reply.document))


def _keys_in(document: Mapping[str, object]) -> ProfileKeys:
    try:
        names = ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")
        access_key_id, secret, token, expiration = (str(document[name]) for name in names)
        expires_at = datetime.fromisoformat(expiration)
    except (KeyError, ValueError):
        raise NoCredentialsError("the daemon's answer lacks credentials") from None
    return ProfileKeys(access_key_id, Secret(secret), Secret(token), expires_at, _NOTE)


def _no_role(name: str | None, config: Config, no_daemon: NoDaemonError) -> ImdsdError:
    if config.roles:
        return unknown_role(name or "", _names(config))
    found = f"no role {name!r}" if name else "no role"
    hint = f"give --role-arn ARN, write a [[role]] into the file, or start the daemon: {no_daemon}"
    return ConfigurationError((Problem(config.source, "role", found, "at least one", hint),))


def _names(config: Config) -> tuple[str, ...]:
    return tuple(name for role in config.roles for name in (role.name, *role.aliases))


# What to say of it


def _tell(login: _Login, profile: str, path: Path, caller: Caller) -> None:
    expires_at = login.keys.expires_at
    until = f"{format_instant(expires_at)} ({relative(expires_at, now=caller.clock.now())})"
    _say(f"profile {profile} of {path} has credentials of {login.role_arn} until {until}")
    region = f" AWS_REGION={login.region}" if login.region else ""
    if profile == DEFAULT_PROFILE:
        warn(
            f"the profile {profile} shadows the daemon for every SDK, and nothing refreshes it; "
            "take it out of the file when you are done, or use another --profile"
        )
        return
    _say(f"use it with --profile {profile}, or export AWS_PROFILE={profile}{region}")
    if caller.environ.get("AWS_ACCESS_KEY_ID"):
        warn("AWS_ACCESS_KEY_ID is set, which SDKs take before AWS_PROFILE; unset it")


def _say(text: str) -> None:
    sys.stderr.write(f"imdsd: {text}\n")
