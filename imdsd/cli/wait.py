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
from imdsd.errors import NoCredentialsError, NoDaemonError

if TYPE_CHECKING:
    import argparse

    from imdsd.client import Deadline, RoleStatus

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
    role = _await(arguments, caller, caller.deadline(arguments.timeout))
    if not role.served:
        raise NoCredentialsError(f"after {arguments.timeout:g} s {describe_unserved(role)}")
    return 0


def _await(arguments: argparse.Namespace, caller: Caller, deadline: Deadline) -> RoleStatus:
    """Return the role once it is served, or as it is in the end."""
    while True:
        # A script may start the daemon beside this verb: all the time there is, not a moment's
        # grace.
        daemon = find_daemon(
            caller.environ,
            uid=caller.uid,
            clock=caller.clock,
            wait_seconds=deadline.remaining_seconds,
            grace_seconds=deadline.remaining_seconds,
            root=caller.root,
        )
        try:
            return await_role(
                daemon, arguments.role, until=lambda role: role.served, deadline=deadline
            )
        except NoDaemonError:
            # Too busy with its start to answer, or started anew: neither is the end of waiting.
            if deadline.passed:
                raise
            deadline.poll()
