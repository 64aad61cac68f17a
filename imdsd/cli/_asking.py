"""What the verbs that ask a running daemon have in common: who asks, which role, how long."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from imdsd.client import (
    GET_SECONDS,
    Daemon,
    DaemonStatus,
    Deadline,
    RoleStatus,
    find_daemon,
)
from imdsd.clock import SystemClock
from imdsd.errors import NoCredentialsError, NoDaemonError, UsageError, nearest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from imdsd.client import WaitingClock
    from imdsd.host.sdk_environment import SdkTarget

# How long `env` and `exec` give a daemon that is starting, until its first role has a state.
START_SECONDS = 10.0
_POLL_SECONDS = 0.2
# What an answer is given even where there is no time: a busy machine is not a frozen daemon.
_LEAST_SECONDS = 1.0


def home_of_this_process() -> Path:
    """Return the home directory; one that is not there for a number without a name and `HOME`."""
    try:
        return Path("~").expanduser()
    except RuntimeError:
        return Path("/nonexistent")


@dataclass(frozen=True, slots=True)
class Caller:
    """The process a verb runs in: its variables, user, home and clock."""

    environ: Mapping[str, str]
    uid: int
    home: Path
    clock: WaitingClock
    root: Path = Path("/")

    @classmethod
    def of_this_process(cls) -> Self:
        """Return the real one."""
        home, clock = home_of_this_process(), SystemClock()
        return cls(environ=os.environ, uid=os.geteuid(), home=home, clock=clock)

    def find_daemon(self, *, wait_seconds: float = 0.0) -> Daemon:
        """Return the daemon this caller may ask; see `imdsd.client.find_daemon`."""
        return find_daemon(
            self.environ,
            uid=self.uid,
            clock=self.clock,
            wait_seconds=wait_seconds,
            root=self.root,
        )

    def deadline(self, seconds: float) -> Deadline:
        """Return the moment that is `seconds` away on this caller's clock."""
        return Deadline.after(seconds, clock=self.clock)


def add_role_option(parser: argparse.ArgumentParser) -> None:
    """Add `--role`, which every verb about one role has."""
    parser.add_argument(
        "--role", metavar="NAME", help="a role by its name or alias (default: the default role)"
    )


def patience(text: str) -> float:
    """Return the seconds of a `--timeout`; raises ArgumentTypeError for what is no such number."""
    import argparse  # the parser that calls has it already

    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:  # so written, it refuses NaN too
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number of seconds, 0 or more")
    return seconds


def warn(text: str) -> None:
    """Tell a person something that does not stop the verb."""
    sys.stderr.write(f"imdsd: warning: {text}\n")


def ask_status(daemon: Daemon, *, seconds: float = GET_SECONDS) -> DaemonStatus:
    """Return what /status says; raises NoDaemonError when it is not said."""
    reply = daemon.get("/status", seconds=seconds)
    if reply.status != 200:  # noqa: PLR2004  # the one status that means success
        raise NoDaemonError(f"the daemon answers /status with {reply.status}: {reply.message}")
    return DaemonStatus.parse(reply.document)


def pick_role(status: DaemonStatus, name: str | None) -> RoleStatus:
    """Return the role of that name or alias, or the default one.

    Raises UsageError that names the nearest role, NoCredentialsError when there is no role.
    """
    for role in status.roles:
        if role.default if name is None else name in (role.name, *role.aliases):
            return role
    if name is None:
        raise NoCredentialsError("the daemon has no default role")
    raise unknown_role(name, names_of_roles(status))


def names_of_roles(status: DaemonStatus) -> tuple[str, ...]:
    """Return every name and alias that the daemon's roles answer to."""
    return tuple(each for role in status.roles for each in (role.name, *role.aliases))


def unknown_role(name: str, known: Sequence[str]) -> UsageError:
    """Return the error for a name that no role has, with the nearest one that there is."""
    near = nearest(name, known)
    hint = f"; did you mean {near!r}?" if near else ""
    return UsageError(f"no role {name!r}, expected one of {', '.join(known) or 'none'}{hint}")


def await_role(
    daemon: Daemon, name: str | None, *, until: Callable[[RoleStatus], bool], deadline: Deadline
) -> RoleStatus:
    """Return the role as soon as `until` holds, or as it is at the deadline.

    A first attempt that `startup_spread_seconds` puts off is made at once: somebody waits.
    """
    hurried = False
    while True:
        # A daemon that is frozen must not hold every shell that opens for as long as it may.
        seconds = min(GET_SECONDS, max(_LEAST_SECONDS, deadline.remaining_seconds))
        role = pick_role(ask_status(daemon, seconds=seconds), name)
        if until(role) or deadline.passed:
            return role
        if not hurried and _is_put_off(role, deadline.clock.now()):
            hurried = True
            # As an SDK does, so that no limit is passed over; what came of it, the next look tells.
            with contextlib.suppress(NoDaemonError):
                daemon.get(f"/v1/credentials/{quote(role.name, safe='')}", seconds=seconds)
        else:
            deadline.poll(_POLL_SECONDS)


def _is_put_off(role: RoleStatus, now: datetime) -> bool:
    """Whether the first attempt of a role is yet to come."""
    return not _has_tried(role) and role.refresh_at is not None and role.refresh_at > now


def aim(name: str | None, caller: Caller, *, wait_seconds: float = START_SECONDS) -> SdkTarget:
    """Return where SDKs shall go for a role, once its first attempt has ended; waits up to 10 s.

    A role that cannot be served yet is a warning: SDKs try again by themselves, and a shell that
    opens must not wait for a person to log in.
    """
    deadline = caller.deadline(wait_seconds)
    daemon = caller.find_daemon(wait_seconds=wait_seconds)
    role = await_role(daemon, name, until=_has_tried, deadline=deadline)
    if not role.served:
        warn(describe_unserved(role))
    from imdsd.host.sdk_environment import SdkTarget  # of few verbs

    return SdkTarget(
        base_url=daemon.base_url,
        bearer=daemon.bearer,
        bearer_file=daemon.bearer_file,
        role=name and role.name,
        on_imds=role.default,
        region=role.region or daemon.record.region,
        sts_endpoint_url=daemon.record.sts_endpoint_url,
    )


def _has_tried(role: RoleStatus) -> bool:
    return role.state != "starting" or role.last_error is not None


def describe_unserved(role: RoleStatus) -> str:
    """Say why a role has nothing to serve."""
    why = f": {role.last_error}" if role.last_error else ""
    return f"role {role.name!r} is {role.state} and has no credentials to serve{why}"
