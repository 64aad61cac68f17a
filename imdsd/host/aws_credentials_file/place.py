"""The only module that knows how a file in somebody's home is changed safely, and for good.

A symbolic link of the user's own leads on, as managers of dotfiles lay them; nobody else's does.
The file is replaced as a whole, so that a reader sees the old one or the new one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsd.errors import CredentialsFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_MOST_BYTES = 1024 * 1024
_MOST_LINKS = 40  # as many as Linux follows (path_resolution(7))
_TRIES = 20
# A writer of ours holds the lock for milliseconds. Whoever holds it for longer is none, and what
# is replaced is compared once more anyway.
_LOCK_PAUSES, _LOCK_PAUSE_SECONDS = 100, 0.05
_ELSEWHERE = (
    "name another file by AWS_SHARED_CREDENTIALS_FILE=PATH (in [role.files]: credentials_file)"
)
_REMEDIES = {
    errno.ENOSPC: "free space or inodes there",
    errno.EDQUOT: "free space there, or raise the quota",
    errno.EFBIG: "raise the limit on the size of files",
    errno.EROFS: f"{_ELSEWHERE}; a unit of systemd may need ReadWritePaths= for this one",
    errno.ENOENT: "make the directory that holds it",
}


def change_file(
    path: Path,
    change: Callable[[bytes], bytes],
    *,
    uid: int,
    pause: Callable[[float], None],
) -> None:
    """Replace what a file holds by what `change` makes of it; an absent one holds nothing.

    Its directory is made if that alone is missing. `change` may be called again where others
    write too. Raises CredentialsFileError; then the file is as it was, and nothing lies beside it.
    """
    try:
        with _opened(path, uid) as place, place.locked(pause):
            for _ in range(_TRIES):
                before = place.read()
                after = change(before or b"")
                if after == (before or b"") or place.replace(before, after):
                    return
    except OSError as error:
        raise _refused(path, error) from error
    raise CredentialsFileError(
        f"{path} is changed by others all the time", remedy="see which program writes it"
    )


def read_file(path: Path, *, uid: int) -> bytes:
    """Return what a file holds that is safe to change; nothing for an absent one.

    Raises CredentialsFileError.
    """
    try:
        if not path.exists():
            return b""
        with _opened(path, uid) as place:
            return place.read() or b""
    except OSError as error:
        raise CredentialsFileError(
            f"{path} cannot be read: {error.strerror}", remedy="see who may read there"
        ) from error


@dataclass(frozen=True, slots=True)
class _Place:
    """An open directory that is ours, and the name of the file in it."""

    path: Path
    directory: int
    name: str
    uid: int

    @property
    def _draft(self) -> str:
        # One name: what a writer that was killed left behind, the next one removes.
        return f".{self.name}.imdsd"

    @contextmanager
    def locked(self, pause: Callable[[float], None]) -> Iterator[None]:
        """Keep other writers of ours out; the directory is locked, as the file is replaced."""
        for _ in range(_LOCK_PAUSES):
            try:
                fcntl.flock(self.directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pause(_LOCK_PAUSE_SECONDS)
            except OSError:  # a file system without locks
                break
            else:
                break
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(self.directory, fcntl.LOCK_UN)

    def read(self) -> bytes | None:
        """Return what the file holds, None where there is none."""
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self.name, flags, dir_fd=self.directory)
        except FileNotFoundError:
            return None
        try:
            _check_file(self.path, os.fstat(descriptor), self.uid)
            # The descriptor stays ours: Python leaves one open that turns out to be a directory.
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(_MOST_BYTES + 1)
        finally:
            os.close(descriptor)
        if len(data) > _MOST_BYTES:
            raise CredentialsFileError(
                f"{self.path} has more than {_MOST_BYTES} bytes, expected a few profiles",
                remedy=_ELSEWHERE,
            )
        return data

    def replace(self, before: bytes | None, after: bytes) -> bool:
        """Put `after` into the file's place, unless it holds something else than `before` now."""
        with suppress(FileNotFoundError):
            os.unlink(self._draft, dir_fd=self.directory)
        try:
            self._write_draft(after)
            # AWS's own tools take no lock: what they wrote in the meantime must not be lost.
            unchanged = self.read() == before
            if unchanged:
                os.rename(
                    self._draft, self.name, src_dir_fd=self.directory, dst_dir_fd=self.directory
                )
        finally:
            with suppress(FileNotFoundError):
                os.unlink(self._draft, dir_fd=self.directory)
        return unchanged

    def _write_draft(self, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._draft, flags, 0o600, dir_fd=self.directory)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            file.write(data)
            file.flush()
            # The other profiles must outlive a crash between the rename and the disk.
            os.fsync(descriptor)


@contextmanager
def _opened(path: Path, uid: int) -> Iterator[_Place]:
    """Walk to the directory that really holds a file, whoever renames what in the meantime."""
    steps = deque(path.parts)
    directory = os.open(steps.popleft(), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    links = 0
    try:
        while True:
            # Nothing is left where a path or a link ends at the root: no file, as will be seen.
            name = steps.popleft() if steps else "."
            target = _link(path, name, directory, uid)
            if target is not None:
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                if target.startswith("/"):
                    directory = _entered(directory, "/")
                steps.extendleft(reversed([part for part in target.split("/") if part]))
            elif steps:
                _make_last(name, directory, steps)
                directory = _entered(directory, name)
            else:
                break
        directory = _entered(directory, ".", os.O_RDONLY)
        _check_directory(path, os.fstat(directory), uid)
        yield _Place(path, directory, name, uid)
    finally:
        os.close(directory)


def _link(path: Path, name: str, directory: int, uid: int) -> str | None:
    """Return where a symbolic link leads, None for what is none."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(found.st_mode):
        return None
    if found.st_uid not in (0, uid):
        raise CredentialsFileError(
            f"{path}: on the way to it, {name} is a symbolic link of uid {found.st_uid}, "
            f"expected one of uid {uid} or root",
            remedy=_ELSEWHERE,
        )
    return os.readlink(name, dir_fd=directory)


def _make_last(name: str, directory: int, steps: deque[str]) -> None:
    """Make the directory that the file stands in, private, as AWS's own tools do."""
    if len(steps) == 1:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=directory)


def _entered(directory: int, name: str, access: int = os.O_PATH) -> int:
    flags = access | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    entered = os.open(name, flags, dir_fd=directory)
    os.close(directory)
    return entered


def _check_directory(path: Path, found: os.stat_result, uid: int) -> None:
    if found.st_uid not in (0, uid):
        raise CredentialsFileError(
            f"{path}: its directory belongs to uid {found.st_uid}, expected {uid}",
            remedy=f"run imdsd as that user, or {_ELSEWHERE}",
        )
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        mode = stat.S_IMODE(found.st_mode)
        raise CredentialsFileError(
            f"{path}: its directory has mode {mode:04o}, writable by everybody",
            remedy="chmod o-w that directory",
        )


def _check_file(path: Path, found: os.stat_result, uid: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise CredentialsFileError(f"{path} is not a regular file", remedy=_ELSEWHERE)
    if found.st_uid != uid:
        raise CredentialsFileError(
            f"{path} belongs to uid {found.st_uid}, expected {uid}",
            remedy=f"run imdsd as that user, or {_ELSEWHERE}",
        )


def _refused(path: Path, error: OSError) -> CredentialsFileError:
    remedy = _REMEDIES.get(error.errno or 0, f"see who may write there, or {_ELSEWHERE}")
    return CredentialsFileError(f"{path} cannot be written: {error.strerror}", remedy=remedy)
