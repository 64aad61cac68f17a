"""`imdsd credential-process`: print what `credential_process` in ~/.aws/config wants."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from imdsd.cli._asking import (
    Caller,
    add_role_option,
    ask_status,
    names_of_roles,
    unknown_role,
)
from imdsd.errors import NoCredentialsError
from imdsd.host.memory import leave_no_core

if TYPE_CHECKING:
    import argparse

    from imdsd.client import Daemon, Reply

_OK, _NOT_FOUND = 200, 404
# The container endpoint's names → those of the SDK reference guide, "Process credential provider".
_KEYS = {
    "AccessKeyId": "AccessKeyId",
    "SecretAccessKey": "SecretAccessKey",
    "Token": "SessionToken",
    "Expiration": "Expiration",
    "AccountId": "AccountId",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `credential-process`."""
    add_role_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the credentials of a role as one JSON document."""
    # Not what keeps other processes out, which takes milliseconds: an SDK waits for this at every
    # start, and the same process may ask the daemon itself.
    leave_no_core()
    return perform(arguments, Caller.of_this_process())


def perform(arguments: argparse.Namespace, caller: Caller) -> int:
    """Do it on behalf of a caller; raises NoCredentialsError when there are none."""
    daemon = caller.find_daemon()
    path = "/v1/credentials" + (f"/{quote(arguments.role, safe='')}" if arguments.role else "")
    reply = daemon.get(path)
    if reply.status != _OK:
        raise _refusal(reply, daemon, arguments.role)
    sys.stdout.write(json.dumps(_document(reply.document)) + "\n")
    return 0


def _document(credentials: dict[str, Any]) -> dict[str, Any]:
    found = {ours: credentials[key] for key, ours in _KEYS.items() if credentials.get(key)}
    lacking = [key for key in _KEYS.values() if key not in found and key != "AccountId"]
    if lacking:
        raise NoCredentialsError(f"the daemon's answer lacks {', '.join(lacking)}")
    return {"Version": 1, **found}


def _refusal(reply: Reply, daemon: Daemon, role: str | None) -> Exception:
    if reply.status == _NOT_FOUND and role is not None:
        return unknown_role(role, names_of_roles(ask_status(daemon)))
    return NoCredentialsError(reply.message)
