"""The only module that reads, replaces and locks files that other users must not touch."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from typing import TYPE_CHECKING

from imdsd.errors import RuntimeDirectoryError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_READ_LIMIT = 64 * 1024
# struct flock: l_type, l_whence, l_start, l_len, l_pid, padded to the alignment of off_t.
_FLOCK = struct.Struct("hhqqi0q")
# Linux numbers them alike on every architecture (fcntl.h); other kernels answer EINVAL.
_F_OFD_GETLK = 36
_F_OFD_SETLK = 37


def read_private(
    path: Path, *, trusts: Callable[[int], bool], forbidden: int = WRITABLE_BY_OTHERS
) -> bytes:
    """Read a small regular file, not through a symbolic link, whose owner is trusted.

    Raises RuntimeDirectoryError when it is something else, and OSError when it cannot be read.
    """
    # O_NONBLOCK: opening a FIFO must not wait for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        refuse_unsafe(path, os.fstat(descriptor), trusts=trusts, forbidden=forbidden)
        # A file object is made of nothing but a regular file: of a directory it cannot be.
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(_READ_LIMIT + 1)
    finally:
        os.close(descriptor)
    if len(data) > _READ_LIMIT:
        raise RuntimeDirectoryError(f"{path} is over {_READ_LIMIT} bytes; remove it")
    return data


def refuse_unsafe(
    path: Path, found: os.stat_result, *, trusts: Callable[[int], bool], forbidden: int
) -> None:
    """Raise RuntimeDirectoryError when a file's kind, owner or mode lets others interfere."""
    if not stat.S_ISREG(found.st_mode):
        raise RuntimeDirectoryError(f"{path} is not a regular file; remove it")
    if not trusts(found.st_uid):
        raise RuntimeDirectoryError(f"{path} belongs to uid {found.st_uid}; remove it")
    if found.st_mode & forbidden:
        mode = stat.S_IMODE(found.st_mode)
        raise RuntimeDirectoryError(f"{path} has mode {mode:04o}, open to others; remove it")


def write_private(path: Path, data: bytes, *, group: int | None = None) -> None:
    """Replace a file by rename, readable by its owner alone, or by `group` too."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
            share(file.fileno(), group=group)
            file.write(data)
        draft.rename(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def share(descriptor: int, *, group: int | None) -> None:
    """Let a group read an open file, or its owner alone when there is no group."""
    if group is not None:
        os.fchown(descriptor, -1, group)
    os.fchmod(descriptor, 0o600 if group is None else 0o640)


def take_lock(descriptor: int) -> bool:
    """Lock a writable file for as long as it is open; say whether it was free."""
    try:
        if _open_file_description_lock(descriptor, _F_OFD_SETLK) is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(descriptor: int) -> bool:
    """Whether somebody holds the lock; on Linux the question itself takes nothing."""
    conflict = _open_file_description_lock(descriptor, _F_OFD_GETLK)
    if conflict is not None:
        return conflict != fcntl.F_UNLCK
    return _refuses_shared_lock(descriptor)


def _open_file_description_lock(descriptor: int, command: int) -> int | None:
    """Return the lock type the kernel answers with; None where it knows no such locks.

    They belong to the open file, not to the process, as POSIX locks do: closing another
    descriptor of the same file does not drop them, and they can be asked after (fcntl(2)).
    """
    wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        answer = fcntl.fcntl(descriptor, command, wanted)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise
    lock_type: int = _FLOCK.unpack(answer)[0]
    return lock_type


def _refuses_shared_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False
