"""The only module that knows how a running daemon is recognised: a held lock and daemon.json."""

from __future__ import annotations

import json
import os
import pwd
import stat
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from imdsd.errors import RuntimeDirectoryError, tidy
from imdsd.host.private_files import WRITABLE_BY_OTHERS, is_locked, read_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOCK_NAME = "daemon.lock"
RECORD_NAME = "daemon.json"
BEARER_NAME = "bearer"
# Anybody may have made it before the daemon: it is believed by owner and mode alone, as all are.
FIXED_DIRECTORY = "/var/tmp/imdsd"  # noqa: S108
"""Where a daemon serves from whose clients must know the place before it is there."""
# The static user of the installed systemd unit.
UNIT_USER = "imdsd"


@dataclass(frozen=True, slots=True)
class DaemonRecord:
    """Who serves from a run-time directory, and where; written once the listeners are open.

    `listeners` are `host:port`, an IPv6 host in brackets; `sts_endpoint_url` is set by a
    demo only, and clients are sent there.
    """

    pid: int
    uid: int
    listeners: tuple[str, ...]
    version: str
    demo: bool
    region: str
    sts_endpoint_url: str | None
    started_at: str

    def to_json(self) -> bytes:
        """Return the bytes of daemon.json."""
        return json.dumps(asdict(self), indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> DaemonRecord:
        """Read daemon.json; raise RuntimeDirectoryError naming what is missing or wrong.

        Keys of later versions are passed over.
        """
        document = _json_object(text)
        fields = {key: _checked(document, key, kind) for key, kind in _KINDS.items()}
        fields["listeners"] = _texts(fields["listeners"])
        return cls(**fields)


_KINDS: dict[str, tuple[type, ...]] = {
    "pid": (int,),
    "uid": (int,),
    "listeners": (list,),
    "version": (str,),
    "demo": (bool,),
    "region": (str,),
    "sts_endpoint_url": (str, type(None)),
    "started_at": (str,),
}


@dataclass(frozen=True, slots=True)
class FoundDaemon:
    """A run-time directory whose lock is held; no record means that the daemon is starting."""

    directory: Path
    record: DaemonRecord | None


def trusted_by(uid: int) -> Callable[[int], bool]:
    """Return whether a user's daemon may be believed by `uid`: its own, root's, the unit's."""
    return lambda owner: owner in (uid, 0) or owner == _unit_uid()


def inspect(directory: Path, *, uid: int) -> FoundDaemon | str:
    """Return the daemon that serves from a directory, or the reason why there is none."""
    try:
        return _inspect(directory, trusts=trusted_by(uid))
    except FileNotFoundError:
        return "no daemon"
    except PermissionError:
        return f"may not be read by uid {uid}"
    except (OSError, RuntimeDirectoryError) as error:
        return str(error)


def _inspect(directory: Path, *, trusts: Callable[[int], bool]) -> FoundDaemon | str:
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return "not a directory"
    if not trusts(found.st_uid):
        return f"belongs to uid {found.st_uid}, not to this user, root or {UNIT_USER}"
    if found.st_mode & WRITABLE_BY_OTHERS:
        return f"has mode {stat.S_IMODE(found.st_mode):04o}, writable by others"
    if not _lock_is_held(directory / LOCK_NAME):
        return "no daemon"
    return FoundDaemon(directory, _read_record(directory / RECORD_NAME, trusts=trusts))


def _lock_is_held(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return is_locked(descriptor)
    finally:
        os.close(descriptor)


def _read_record(path: Path, *, trusts: Callable[[int], bool]) -> DaemonRecord | None:
    try:
        return DaemonRecord.from_json(read_private(path, trusts=trusts))
    except FileNotFoundError:
        return None


def _unit_uid() -> int | None:
    try:
        return pwd.getpwnam(UNIT_USER).pw_uid
    except KeyError:
        return None


def _json_object(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise RuntimeDirectoryError(f"{RECORD_NAME} is not JSON: {error}") from None
    except RecursionError:
        raise RuntimeDirectoryError(f"{RECORD_NAME} is nested too deeply") from None
    if not isinstance(document, dict):
        raise RuntimeDirectoryError(f"{RECORD_NAME} is not a JSON object")
    return document


def _checked(document: dict[str, Any], key: str, kind: tuple[type, ...]) -> Any:  # noqa: ANN401  # the kind is checked here
    value = document.get(key)
    # bool is an int to isinstance; a pid of `true` is not meant.
    if type(value) not in kind or (key not in document):
        expected = " or ".join(each.__name__ for each in kind)
        raise RuntimeDirectoryError(f"{RECORD_NAME}: {key} is {_shown(value)}, expected {expected}")
    return value


def _shown(value: object) -> str:
    """Return a value that anybody may have written as part of a line for a person."""
    return tidy(repr(value), most=200)


def _texts(values: list[object]) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise RuntimeDirectoryError(
            f"{RECORD_NAME}: listeners are {_shown(values)}, expected texts"
        )
    return tuple(str(value) for value in values)
