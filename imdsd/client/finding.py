"""The only module that decides which running daemon a verb talks to, and whether to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.client.http import RawReply, Reply, request, request_raw
from imdsd.client.waiting import Deadline
from imdsd.errors import NoDaemonError, RuntimeDirectoryError, UsageError
from imdsd.host.daemon_record import BEARER_NAME, DaemonRecord, FoundDaemon, trusted_by
from imdsd.host.peer import PeerLookup
from imdsd.host.private_files import read_private
from imdsd.host.runtime_directory import survey
from imdsd.secret import Secret

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from imdsd.client.waiting import WaitingClock

# A shell's `imdsd demo & eval "$(imdsd env)"` asks before the daemon has its lock.
GRACE_SECONDS = 3.0
GET_SECONDS = 5.0
"""How long a daemon may take to answer a question about what it knows."""

# A token command may take 10 s and be killed for 5 s, the exchange 10 s, and both be repeated.
_POST_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running daemon that this user may ask, with the bearer it wants to see."""

    record: DaemonRecord
    bearer: Secret
    bearer_file: Path
    address: tuple[str, int]
    uid: int
    clock: WaitingClock

    @property
    def base_url(self) -> str:
        """Where clients reach the daemon; an address literal, for SDKs that resolve no names."""
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def get(self, path: str, *, seconds: float = GET_SECONDS) -> Reply:
        """Ask for a document; raises NoDaemonError when nobody of ours answers in that time."""
        return self._ask("GET", path, seconds=seconds)

    def post(self, path: str, document: Mapping[str, object] | None = None) -> Reply:
        """Ask for something to be done; the daemon answers when it has ended, at most 90 s."""
        return self._ask("POST", path, seconds=_POST_SECONDS, document=document)

    def delete(self, path: str) -> Reply:
        """Ask for something to be forgotten, within 5 s."""
        return self._ask("DELETE", path, seconds=GET_SECONDS)

    def ask_as_client(self, method: str, path: str, headers: Mapping[str, str]) -> RawReply:
        """Ask the metadata service what any client may, without the bearer, within 5 s."""
        _refuse_stranger(self.address, uid=self.uid)
        deadline = Deadline.after(GET_SECONDS, clock=self.clock)
        return request_raw(self.address, method, path, headers=headers, deadline=deadline)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        document: Mapping[str, object] | None = None,
    ) -> Reply:
        deadline = Deadline.after(seconds, clock=self.clock)
        with PeerLookup() as lookup:
            # The daemon may have gone since it was found, and another user have taken the port.
            _judge_listener(lookup, self.address, uid=self.uid)
            return request(
                self.address,
                method,
                path,
                bearer=self.bearer,
                deadline=deadline,
                judge=lambda connection: judge_other_end(lookup, connection, uid=self.uid),
                document=document,
            )


def find_daemon(
    environ: Mapping[str, str],
    *,
    uid: int,
    clock: WaitingClock,
    wait_seconds: float = 0.0,
    grace_seconds: float = GRACE_SECONDS,
    root: Path = Path("/"),
) -> Daemon:
    """Return the one daemon this user may ask.

    A daemon that holds its lock but does not listen yet is waited for; where there is none at
    all, at most `grace_seconds` are given to one that is about to appear. Raises NoDaemonError
    when there is none of ours, UsageError when there are several.
    """
    grace_seconds = min(grace_seconds, wait_seconds)
    deadline = Deadline.after(wait_seconds, clock=clock)
    grace = Deadline.after(grace_seconds, clock=clock)
    while True:
        seen = survey(environ, uid=uid, root=root)
        found = _only_one(seen)
        daemon = _open(found, uid=uid, clock=clock) if found else None
        if daemon is not None:
            return daemon
        limit = deadline if found else grace
        if limit.passed:
            waited = 0.0 if found else grace_seconds
            raise NoDaemonError(_explain(seen, waited_seconds=waited))
        limit.poll()


def reachable_address(listeners: tuple[str, ...]) -> tuple[str, int]:
    """Return the listener that most clients reach: IPv4 loopback before all others.

    The CRT is IPv4-only, and SDKs take plain http on loopback only.
    """
    addresses = sorted(map(_split, listeners), key=lambda each: _rank(each[0]))
    if not addresses:
        raise NoDaemonError("the daemon names no listener in daemon.json")
    host, port = addresses[0]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port


def _split(listener: str) -> tuple[str, int]:
    host, _, port = listener.rpartition(":")
    if not port.isdecimal():
        raise NoDaemonError(f"the daemon's listener is {listener!r}, expected host:port")
    return host.strip("[]"), int(port)


def _rank(host: str) -> int:
    preferred = ("127.0.0.1", "127.", "0.0.0.0", "::1", "::", "169.254.")
    return next(
        (rank for rank, start in enumerate(preferred) if host.startswith(start)), len(preferred)
    )


def _only_one(seen: Mapping[Path, FoundDaemon | str]) -> FoundDaemon | None:
    found = [each for each in seen.values() if isinstance(each, FoundDaemon)]
    if len(found) > 1:
        named = ", ".join(str(each.directory) for each in found)
        raise UsageError(
            f"{len(found)} daemons are running, in {named};"
            f" set IMDSD_RUNTIME_DIR to the one you mean, such as {found[0].directory}"
        )
    return found[0] if found else None


def _open(found: FoundDaemon, *, uid: int, clock: WaitingClock) -> Daemon | None:
    """Return the daemon once it listens and its bearer can be read; None until then."""
    if found.record is None:
        return None
    address = reachable_address(found.record.listeners)
    if not _refuse_stranger(address, uid=uid):
        return None
    path = found.directory / BEARER_NAME
    try:
        bearer = read_private(path, trusts=trusted_by(uid)).decode("ascii")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RuntimeDirectoryError) as error:
        raise NoDaemonError(f"the daemon's bearer cannot be used: {error}") from error
    return Daemon(found.record, Secret(bearer), path, address, uid, clock)


def _refuse_stranger(address: tuple[str, int], *, uid: int) -> bool:
    """Raise NoDaemonError when another user listens there; say whether anybody does.

    Where the kernel cannot tell whose socket it is, the files' owner has to do.
    """
    with PeerLookup() as lookup:
        return _judge_listener(lookup, address, uid=uid) or not lookup.supported


def _judge_listener(lookup: PeerLookup, address: tuple[str, int], *, uid: int) -> bool:
    owner = lookup.listener_uid(*address)
    _refuse_owner(owner, address, uid=uid)
    return owner is not None


def judge_other_end(lookup: PeerLookup, connection: socket.socket, *, uid: int) -> None:
    """Raise NoDaemonError when another user is at the other end, before anything is sent.

    The port may have changed hands between the first look and the connect. Until a connection is
    accepted the kernel names no owner of its other end: then it is the listener's, which was
    looked at just before.
    """
    here, there = connection.getsockname()[:2], connection.getpeername()[:2]
    _judge_listener(lookup, there, uid=uid)
    peer = lookup.find_peer(here, there)
    _refuse_owner(peer.uid if peer else None, there, uid=uid)


def _refuse_owner(owner: int | None, address: tuple[str, int], *, uid: int) -> None:
    if owner is not None and not trusted_by(uid)(owner):
        raise NoDaemonError(
            f"{address[0]} port {address[1]} is held by uid {owner}, which is not this user,"
            " root or imdsd; nothing was sent there: stop that program, or serve on another port"
        )


def _explain(seen: Mapping[Path, FoundDaemon | str], *, waited_seconds: float) -> str:
    places = "; ".join(f"{path}: {_in_words(each)}" for path, each in seen.items())
    waited = f", and none appeared within {waited_seconds:g} s" if waited_seconds else ""
    remedy = "start one with `imdsd serve` or `imdsd demo`"
    if any(isinstance(each, str) and each.startswith("may not be read") for each in seen.values()):
        remedy = (
            "a daemon may serve where you may not look: have root put you into its group, as"
            " `usermod -aG imdsd USER` does, and log in again"
        )
    return f"no daemon is running{waited} ({places}); {remedy}"


def _in_words(each: FoundDaemon | str) -> str:
    if isinstance(each, str):
        return each
    if each.record is None:
        return "a daemon is starting and does not listen yet, or the disk is full there"
    return f"a daemon (pid {each.record.pid}) whose listener is not open"
