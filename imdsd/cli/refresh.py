"""`imdsd refresh`: have the daemon obtain new credentials now and say what happened."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

from imdsd.cli._asking import Caller, ask_status, names_of_roles, unknown_role
from imdsd.cli._telling import relative
from imdsd.client.status import RoleStatus, parse_roles
from imdsd.errors import NoCredentialsError

if TYPE_CHECKING:
    import argparse
    from datetime import datetime

_NOT_FOUND = 404
_NO_CREDENTIALS = 4


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `refresh`."""
    parser.add_argument("role", metavar="ROLE", nargs="?", help="one role (default: all roles)")


def run(arguments: argparse.Namespace) -> int:
    """Refresh and print one line per role."""
    return perform(arguments, Caller.of_this_process())


def perform(arguments: argparse.Namespace, caller: Caller) -> int:
    """Do it on behalf of a caller; 4 when a role was not refreshed."""
    daemon = caller.find_daemon()
    path = "/refresh" + (f"/{quote(arguments.role, safe='')}" if arguments.role else "")
    reply = daemon.post(path)
    if reply.status == _NOT_FOUND and arguments.role:
        raise unknown_role(arguments.role, names_of_roles(ask_status(daemon)))
    roles = parse_roles(reply.document)
    if not roles:
        raise NoCredentialsError(reply.message)
    now = caller.clock.now()
    sys.stdout.writelines(_line(role, now) + "\n" for role in roles)
    return 0 if all(role.refreshed for role in roles) else _NO_CREDENTIALS


def _line(role: RoleStatus, now: datetime) -> str:
    until = f"expires {relative(role.expires_at, now=now)}"
    if role.refreshed:
        return f"{role.name}: refreshed; {until}, next refresh {relative(role.refresh_at, now=now)}"
    why = role.last_error or "no reason given"
    held = f"what is held {until}" if role.served else "nothing is held that can be served"
    return f"{role.name}: not refreshed: {why} ({held})"
