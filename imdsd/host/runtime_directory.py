"""The only module that knows where run-time files live and how a daemon claims the place."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from imdsd.errors import AlreadyRunningError, NoRoomError, RuntimeDirectoryError
from imdsd.host.accounts import names_of
from imdsd.host.daemon_record import (
    BEARER_NAME,
    FIXED_DIRECTORY,
    LOCK_NAME,
    RECORD_NAME,
    DaemonRecord,
    FoundDaemon,
    inspect,
)
from imdsd.host.private_files import (
    WRITABLE_BY_OTHERS,
    read_private,
    share,
    take_lock,
    write_private,
)
from imdsd.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

# At most 13 first mints in a minute, however often the daemon is killed (docs/refresh.md).
MINT_GAP_SECONDS = 5.0
_STAMP_NAME = "last-mint"
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_BEARER = re.compile(r"[A-Za-z0-9_-]{32,256}", re.ASCII)
_ROOT = Path("/")
# The mode of a directory whose group may find the daemon.
_SHARED = 0o750


def candidates(environ: Mapping[str, str], *, uid: int, root: Path = _ROOT) -> tuple[Path, ...]:
    """Return the directories a daemon tries, the preferred one first.

    `IMDSD_RUNTIME_DIR` alone when it is set; else `$RUNTIME_DIRECTORY` (systemd.exec(5)),
    `$XDG_RUNTIME_DIR/imdsd`, `/run/imdsd` for root, `imdsd-UID` under the temporary directory.
    """
    if chosen := environ.get("IMDSD_RUNTIME_DIR"):
        return (Path(chosen).absolute(),)
    found = []
    if from_unit := environ.get("RUNTIME_DIRECTORY"):
        found.append(Path(from_unit.split(":")[0]))
    if from_session := environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(from_session) / "imdsd")
    if uid == 0:
        found.append(root / "run/imdsd")
    temporary = environ.get("TMPDIR") or root / "tmp"
    found.append(Path(temporary) / f"imdsd-{uid}")
    return tuple(dict.fromkeys(path.absolute() for path in found))


def search_path(environ: Mapping[str, str], *, uid: int, root: Path = _ROOT) -> tuple[Path, ...]:
    """Return the directories a client looks in: also those a daemon had by other variables."""
    first = candidates(environ, uid=uid, root=root)
    if environ.get("IMDSD_RUNTIME_DIR"):
        return first
    session = root / f"run/user/{uid}/imdsd"
    # Of the unit imdsd@USER.service.
    own = (root / "run/imdsd-user" / name for name in names_of([uid]).values())
    system, temporary = root / "run/imdsd", root / f"tmp/imdsd-{uid}"
    fixed = root / FIXED_DIRECTORY.lstrip("/")
    return tuple(dict.fromkeys((*first, session, *own, system, temporary, fixed)))


def survey(
    environ: Mapping[str, str], *, uid: int, root: Path = _ROOT
) -> dict[Path, FoundDaemon | str]:
    """Return, for each directory a client looks in, its daemon or why there is none."""
    places = search_path(environ, uid=uid, root=root)
    return {place: inspect(place, uid=uid) for place in places}


def find_daemons(
    environ: Mapping[str, str], *, uid: int, root: Path = _ROOT
) -> tuple[FoundDaemon, ...]:
    """Return the running daemons whose files `uid` may read and trust."""
    seen = survey(environ, uid=uid, root=root).values()
    return tuple(each for each in seen if isinstance(each, FoundDaemon))


class RuntimeDirectory:
    """A locked run-time directory; leaving it drops the lock and daemon.json, not the bearer."""

    def __init__(self, path: Path, *, uid: int, lock: int) -> None:
        self.path = path
        self._uid = uid
        self._lock = lock
        self._shield = _shield_from_cleaning(path)
        self._group: int | None = None

    @classmethod
    def acquire(cls, environ: Mapping[str, str], *, uid: int, root: Path = _ROOT) -> Self:
        """Lock the first usable candidate.

        Raises AlreadyRunningError when a daemon serves from it, and RuntimeDirectoryError
        when no candidate is usable, with the reason for each.
        """
        reasons = []
        for path in candidates(environ, uid=uid, root=root):
            try:
                return cls._claim(path, uid=uid)
            except RuntimeDirectoryError as error:
                reasons.append(str(error))
            except OSError as error:
                reasons.append(f"{path}: {error.strerror}")
        tried = "; ".join(reasons)
        raise RuntimeDirectoryError(
            f"no run-time directory can be used: {tried};"
            " set IMDSD_RUNTIME_DIR to a directory that only you can write to"
        )

    @classmethod
    def _claim(cls, path: Path, *, uid: int) -> Self:
        _make_private(path, uid=uid)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(path / LOCK_NAME, flags, 0o600)
        try:
            _lock_or_refuse(lock, path)
            # A daemon that was killed left its record; nobody may read it as ours.
            (path / RECORD_NAME).unlink(missing_ok=True)
            return cls(path, uid=uid, lock=lock)
        except BaseException:
            os.close(lock)
            raise

    def bearer(self, *, group: int | None = None) -> Secret:
        """Return the bearer that clients present, the same one across restarts.

        A file that others could have read or written is not believed: a new bearer replaces
        it. With `group`, its members may read the bearer and find the daemon; what another
        group may have read before is replaced too.
        """
        path = self.path / BEARER_NAME
        kept = self._kept_bearer(path, group)
        value = kept or _new_bearer()
        try:
            try:
                self._admit(group)
            except PermissionError as error:
                raise RuntimeDirectoryError(
                    f"{self.path} cannot be given to the group {group}, which is bearer_group:"
                    f" uid {self._uid} is not in it; take bearer_group out of the configuration of"
                    " this daemon, or add its user to the group"
                ) from error
            write_private(path, value.encode(), group=group)
        except OSError as error:
            # A full disk must not stop the restart of a daemon whose bearer is there.
            if kept is None or error.errno not in _FULL_DISK:
                raise _unwritten(path, error) from error
        return Secret(value)

    def announce(self, record: DaemonRecord) -> None:
        """Say who serves and where, once the listeners are open; NoRoomError on a full disk."""
        path = self.path / RECORD_NAME
        try:
            write_private(path, record.to_json(), group=self._group)
        except OSError as error:
            raise _unwritten(path, error) from error

    def seconds_until_mint(self, now: datetime) -> float:
        """Return how long the first mint of a start must wait, 0 to 5 seconds."""
        try:
            text = read_private(self.path / _STAMP_NAME, trusts=self._owns).decode()
            passed = (now - datetime.fromisoformat(text)).total_seconds()
        except (OSError, ValueError, TypeError, RuntimeDirectoryError):
            return 0.0
        return min(MINT_GAP_SECONDS, max(0.0, MINT_GAP_SECONDS - passed))

    def stamp_mint(self, now: datetime) -> None:
        """Remember that a mint begins; a full disk only loses the memory."""
        with suppress(OSError):
            write_private(self.path / _STAMP_NAME, now.isoformat().encode())

    def close(self) -> None:
        """Take daemon.json away and release the lock."""
        if self._lock < 0:
            return
        with suppress(OSError):
            (self.path / RECORD_NAME).unlink(missing_ok=True)
        os.close(self._shield)
        os.close(self._lock)
        self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            # Stopped in order: whoever starts the next daemon is no restart loop.
            with suppress(OSError):
                (self.path / _STAMP_NAME).unlink(missing_ok=True)
        self.close()

    def _owns(self, owner: int) -> bool:
        return owner == self._uid

    def _admit(self, group: int | None) -> None:
        self._group = group
        share(self._lock, group=group)
        if group is not None:
            os.chown(self.path, -1, group)
            self.path.chmod(_SHARED)
        elif stat.S_IMODE(self.path.stat().st_mode) == _SHARED:
            self.path.chmod(0o700)

    def _kept_bearer(self, path: Path, group: int | None) -> str | None:
        exposed = WRITABLE_BY_OTHERS | stat.S_IRWXO
        try:
            text = read_private(path, trusts=self._owns, forbidden=exposed).decode()
            found = path.lstat()
        except (OSError, ValueError, RuntimeDirectoryError):
            return None
        if found.st_mode & stat.S_IRGRP and found.st_gid != group:
            _tell_of_replacement(found.st_gid)
            return None
        return text if _BEARER.fullmatch(text) else None


def _make_private(path: Path, *, uid: int) -> None:
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise RuntimeDirectoryError(f"{path} is not a directory (symbolic links are refused)")
    if found.st_uid != uid:
        raise RuntimeDirectoryError(f"{path} belongs to uid {found.st_uid}, expected {uid}")
    if found.st_mode & WRITABLE_BY_OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise RuntimeDirectoryError(f"{path} has mode {mode:04o}, writable by others: chmod go-w")


def _lock_or_refuse(lock: int, path: Path) -> None:
    if not take_lock(lock):
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
        raise AlreadyRunningError(
            f"a daemon (pid {holder or 'unknown'}) already serves from {path};"
            " stop it, or set IMDSD_RUNTIME_DIR to another directory for a second one"
        )
    pid = str(os.getpid()).encode()
    # Over what is there: a full disk has no other room, and the next daemon only tells of it.
    with suppress(OSError):
        os.pwrite(lock, pid, 0)
        os.ftruncate(lock, len(pid))


def _shield_from_cleaning(path: Path) -> int:
    """Return a descriptor that, while open, keeps old files here from being cleaned away.

    systemd-tmpfiles passes over a directory with a BSD lock (tmpfiles.d(5), "Age").
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _unwritten(path: Path, error: OSError) -> RuntimeDirectoryError:
    """Return what to say of a file without which no client finds the daemon."""
    elsewhere = "set IMDSD_RUNTIME_DIR to a directory elsewhere"
    full = error.errno in _FULL_DISK
    remedy = "free space or inodes there" if full else "see who may write there"
    kind = NoRoomError if full else RuntimeDirectoryError
    return kind(f"{path} cannot be written: {error.strerror}; {remedy}, or {elsewhere}")


def _tell_of_replacement(group: int) -> None:
    import structlog  # noqa: PLC0415  # clients, who only look here, need not spend its import

    log = structlog.get_logger(__name__)
    reason = f"group {group}, which is no longer bearer_group, may have read the old one"
    log.info("bearer_replaced", reason=reason)


def _new_bearer() -> str:
    import secrets  # noqa: PLC0415  # 10 ms that clients, who only look here, need not spend

    return secrets.token_urlsafe(32)
