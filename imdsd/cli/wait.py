"""`imdsd wait`: return when the role can be served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsd.cli._asking import Caller, add_role_option, await_role, describe_unserved
from imdsd.errors import NoCredentialsError

if TYPE_CHECKING:
    import argparse

_DEFAULT_SECONDS = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `wait`."""
    add_role_option(parser)
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=_DEFAULT_SECONDS,
        help="give up after this many seconds (default: 60)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Wait until the role can be served."""
    return perform(arguments, Caller.of_this_process())


def perform(arguments: argparse.Namespace, caller: Caller) -> int:
    """Do it on behalf of a caller; raises NoCredentialsError when the time is over."""
    deadline = caller.deadline(arguments.timeout)
    daemon = caller.find_daemon(wait_seconds=arguments.timeout)
    role = await_role(daemon, arguments.role, until=lambda role: role.served, deadline=deadline)
    if not role.served:
        raise NoCredentialsError(f"after {arguments.timeout:g} s {describe_unserved(role)}")
    return 0
