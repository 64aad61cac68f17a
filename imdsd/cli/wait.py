"""`imdsd wait`: return when the role can be served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsd.cli._asking import (
    Caller,
    add_role_option,
    await_role,
    describe_unserved,
    patience,
)
from imdsd.client import find_daemon
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
        type=patience,
        default=_DEFAULT_SECONDS,
        help="give up after this many seconds (default: 60)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Wait until the role can be served."""
    return perform(arguments, Caller.of_this_process())


def perform(arguments: argparse.Namespace, caller: Caller) -> int:
    """Do it on behalf of a caller.

    When the time is over: raises NoDaemonError where none listened, else NoCredentialsError.
    """
    deadline = caller.deadline(arguments.timeout)
    # A script may start the daemon beside this verb: all the time there is, not a moment's grace.
    daemon = find_daemon(
        caller.environ,
        uid=caller.uid,
        clock=caller.clock,
        wait_seconds=arguments.timeout,
        grace_seconds=arguments.timeout,
        root=caller.root,
    )
    role = await_role(daemon, arguments.role, until=lambda role: role.served, deadline=deadline)
    if not role.served:
        raise NoCredentialsError(f"after {arguments.timeout:g} s {describe_unserved(role)}")
    return 0
