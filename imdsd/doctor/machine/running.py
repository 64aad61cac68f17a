"""Whether a daemon runs that this user may ask, whose and which it is, and how its roles fare."""

from __future__ import annotations

import pwd
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imdsd import __version__
from imdsd.client import DaemonStatus, find_daemon
from imdsd.clock import format_instant
from imdsd.doctor.finding import Diagnosis, Level, Step
from imdsd.errors import NoDaemonError
from imdsd.host.daemon_record import FoundDaemon
from imdsd.host.peer import PeerLookup
from imdsd.host.runtime_directory import survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from imdsd.client import Daemon, RoleStatus
    from imdsd.doctor.finding import Finding, Surroundings

_OK = 200
_STEP = Step.DAEMON

_failure = partial(Diagnosis, _STEP, Level.FAILURE)
_warning = partial(Diagnosis, _STEP, Level.WARNING)

RUNNING = Diagnosis(_STEP, Level.OK, "running", "a daemon that this user may ask answers")
NONE = _failure(
    "none",
    "no daemon runs that this user could ask",
    "start one: `imdsd serve --role-arn ARN`, or where the unit is installed "
    "`sudo systemctl start imdsd`",
)
STARTING = _warning(
    "starting",
    "a daemon holds its directory and does not listen yet",
    "ask again in a few seconds; if it stays, see its log",
)
SEVERAL = _failure(
    "several",
    "several daemons run, and verbs cannot tell which is meant",
    "stop all but one, or set IMDSD_RUNTIME_DIR to the one you mean: {first}",
)
FORBIDDEN = _failure(
    "forbidden",
    "a daemon may run, and this user may not read its directory",
    "as root, add this user to the daemon's group, `usermod -aG imdsd {user}`, and log in again",
)
STRANGER = _failure(
    "stranger",
    "another user's program holds the daemon's port",
    "see who with `sudo ss -ltnp 'sport = :{port}'`; stop that program, or serve elsewhere with "
    "--listen",
)
PORT_TAKEN = _failure(
    "port-taken",
    "no daemon runs, and the port it would take is taken",
    "see who with `sudo ss -ltnp 'sport = :{port}'`; if it is a daemon, set IMDSD_RUNTIME_DIR here "
    "as it has it; else, as for an editor that forwards ports, stop it, or choose another port "
    "with --listen; if it is systemd itself, for imdsd.socket, see why the service does not run: "
    "`systemctl status imdsd`",
)
UNREACHABLE = _failure(
    "unreachable",
    "a daemon runs, and does not answer as it should",
    "see its log, then start it again",
)
OTHER_VERSION = _warning(
    "other-version",
    "the daemon is of another version than this program",
    "start the daemon again, so that it runs what is installed",
)
WARNED = _warning(
    "warned",
    "the daemon itself warns",
    "correct what it was started with; a file is read anew at SIGHUP, `kill -HUP PID`",
)
ROLE_OK = Diagnosis(_STEP, Level.OK, "role-ok", "the role is served")
ROLE_STARTING = _warning(
    "role-starting",
    "the role has not been served yet, and may be soon",
    "ask again in a few seconds",
)
ROLE_FAILING = _failure(
    "role-failing", "the role has not been served yet, since every attempt failed", "{remedy}"
)
ROLE_DEGRADED = _warning("role-degraded", "the role is served, and its refresh fails", "{remedy}")
ROLE_DENIED = _failure("role-denied", "AWS refuses the role, a person is needed", "{remedy}")
ROLE_EXPIRED = _failure("role-expired", "the role's credentials have run out", "{remedy}")

_BY_STATE = {
    "ok": ROLE_OK,
    "starting": ROLE_STARTING,
    "degraded": ROLE_DEGRADED,
    "denied": ROLE_DENIED,
    "expired": ROLE_EXPIRED,
}


@dataclass(frozen=True, slots=True)
class Encounter:
    """The daemon that was met, what it says of itself, and what was found."""

    daemon: Daemon | None
    status: DaemonStatus | None
    findings: tuple[Finding, ...]

    @property
    def addresses(self) -> frozenset[tuple[str, int]]:
        """Where the daemon listens, by its own word."""
        named = self.daemon.record.listeners if self.daemon else ()
        split = (each.rpartition(":") for each in named)
        return frozenset((host.strip("[]"), int(port)) for host, _, port in split)


def meet(around: Surroundings, *, listen: Sequence[tuple[str, int]]) -> Encounter:
    """Find the daemon and ask it how it fares; it is asked for nothing else.

    `listen` is where one would listen by the configuration of this shell.
    """
    seen = survey(around.environ, uid=around.uid, root=around.root)
    found = [each for each in seen.values() if isinstance(each, FoundDaemon)]
    if len(found) > 1:
        return Encounter(None, None, (_several(found),))
    try:
        daemon = find_daemon(around.environ, uid=around.uid, clock=around.clock, root=around.root)
        reply = daemon.get("/status")
        if reply.status != _OK:
            raise NoDaemonError(f"/status is answered with {reply.status}: {reply.message}")
        status = DaemonStatus.parse(reply.document)
    except NoDaemonError as error:
        return Encounter(None, None, (_absent(seen, error, around, listen),))
    return Encounter(daemon, status, tuple(_describe(daemon, status)))


def _several(found: Sequence[FoundDaemon]) -> Finding:
    places = [str(each.directory) for each in found]
    return SEVERAL(f"daemons serve from {', '.join(places)}", first=places[0], directories=places)


def _absent(
    seen: dict[Path, FoundDaemon | str],
    error: NoDaemonError,
    around: Surroundings,
    listen: Sequence[tuple[str, int]],
) -> Finding:
    held = next((each for each in seen.values() if isinstance(each, FoundDaemon)), None)
    if held is not None:
        return _does_not_answer(held, error)
    for path, why in seen.items():
        if isinstance(why, str) and why.startswith("may not be read"):
            user = name_of(around.uid)
            return FORBIDDEN(f"{path} {why}", directory=str(path), user=user)
    with PeerLookup() as lookup:
        for host, port in listen:
            owner = lookup.listener_uid(host, port)
            if owner is not None:
                user = name_of(owner)
                return PORT_TAKEN(f"{host}:{port} is held by {user}", port=port, user=user)
    places = "; ".join(f"{path}: {why}" for path, why in seen.items())
    return NONE(f"none of this user's, root's or the installed unit's ({places})")


def _does_not_answer(held: FoundDaemon, error: NoDaemonError) -> Finding:
    if held.record is None:
        return STARTING(f"{held.directory} is held by a daemon that does not listen yet")
    if "is held by uid" in str(error):
        port = held.record.listeners[0].rpartition(":")[2] if held.record.listeners else "9254"
        return STRANGER(str(error), port=port)
    return UNREACHABLE(f"pid {held.record.pid}, {held.directory}: {error}", pid=held.record.pid)


def _describe(daemon: Daemon, status: DaemonStatus) -> Iterator[Finding]:
    record = daemon.record
    whose = name_of(record.uid)
    yield RUNNING(
        f"imdsd {status.version} of {whose}, pid {record.pid}, {', '.join(status.listeners)}"
        f"{', a demo' if status.demo else ''}",
        version=status.version,
        user=whose,
        pid=record.pid,
        listeners=list(status.listeners),
        directory=str(daemon.bearer_file.parent),
        demo=status.demo,
    )
    if status.version != __version__:
        yield OTHER_VERSION(f"the daemon is {status.version}, this program {__version__}")
    for warning in status.warnings:
        yield WARNED(warning)
    for role in status.roles:
        yield _role(role)


def _role(role: RoleStatus) -> Finding:
    until = f", until {format_instant(role.expires_at)}" if role.expires_at else ""
    error = role.last_error if role.state != "ok" else None
    why = f": {error.stage} failed: {error.reason} ({error.code})" if error else ""
    remedy = (error.remedy if error else "") or "see `imdsd status`, and the daemon's log"
    kind = _BY_STATE.get(role.state, ROLE_DEGRADED)
    if kind is ROLE_STARTING and error:
        kind = ROLE_FAILING
    return kind(
        f"role {role.name} is {role.state}{until}{why}",
        remedy=remedy,
        role=role.name,
        state=role.state,
        served=role.served,
        role_arn=role.role_arn,
        error=error.code if error else None,
    )


def name_of(uid: int) -> str:
    """Return the user's name, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
