"""The only module that reads, replaces and removes the files of an installation."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsd.errors import InstallError
from imdsd.install.disk.places import hops, resolve_own, writable_by_others

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 1024 * 1024
_REMEDIES = {
    errno.ENOSPC: "free some space there and run it again",
    errno.EDQUOT: "free some space there and run it again",
    errno.EROFS: "the file system is read-only: mount it writable and run it again",
    errno.EACCES: "see who may write there",
    errno.EPERM: "see who may write there, and whether lsattr shows it as immutable",
}


@dataclass(frozen=True, slots=True)
class Disk:
    """The files of a user, or of the system when `guarded`: then nobody else may write the way."""

    uid: int
    guarded: bool = False

    def locate(self, path: Path) -> Path:
        """Return where a path really leads; raises InstallError where somebody else decides that.

        Links of this user and of root are followed, so that the files of a shell may be kept
        elsewhere.
        """
        with _told(path):
            found = resolve_own(path, uid=self.uid)
            if self.guarded:
                self._refuse_unguarded(path)
            return found

    def read(self, path: Path) -> bytes | None:
        """Return what stands in a regular file, not through a link; None for no file.

        Raises InstallError for one that somebody else made, or could put in its place.
        """
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with _told(path):
            self._refuse_folder_of_others(path)
            try:
                descriptor = os.open(path, flags)
            except (FileNotFoundError, NotADirectoryError):
                return None
            try:
                self._refuse_odd(path, os.fstat(descriptor))
                with os.fdopen(descriptor, "rb", closefd=False) as file:
                    content = file.read(MOST_BYTES + 1)
            finally:
                os.close(descriptor)
        if len(content) > MOST_BYTES:
            raise InstallError(f"{path} is over {MOST_BYTES} bytes, too large to be what it should")
        return content

    def missing_folders(self, path: Path) -> list[Path]:
        """Return the folders above a path that are not there, the outer ones first."""
        with _told(path):
            return [each for each in reversed(path.parents) if not each.is_dir()]

    def hides(self, path: Path) -> bool:  # noqa: ARG002  # of somebody else, who only plans
        """Whether it cannot be told what stands at a path; see Glimpse."""
        return False

    def make_folder(self, path: Path, *, mode: int) -> None:
        """Make one folder, with this mode whatever the umask."""
        with _told(path), contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            path.chmod(mode)

    def replace(self, path: Path, content: bytes, *, mode: int) -> None:
        """Put content in the place of a file, all of it or nothing; owner and mode stay.

        `mode` is that of a file that was not there.
        """
        draft = path.with_name(f"{_draft_name(path)}{os.getpid()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with _told(path):
            _remove_drafts(path)
            try:
                with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
                    _take_over(file.fileno(), path, mode=mode)
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                draft.rename(path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise

    def remove(self, path: Path) -> None:
        """Take a file away."""
        with _told(path):
            path.unlink(missing_ok=True)
            _remove_drafts(path)

    def remove_folder(self, path: Path) -> None:
        """Take a folder away if nothing is in it."""
        with _told(path):
            try:
                path.rmdir()
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR):
                    raise

    def _refuse_odd(self, path: Path, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise InstallError(f"{path} is not a regular file; move it away")
        if found.st_uid not in (0, self.uid):
            raise InstallError(f"{path} belongs to uid {found.st_uid}, expected {self.uid}")

    def _refuse_folder_of_others(self, path: Path) -> None:
        folder = next(each for each in path.absolute().parents if each.is_dir())
        if (owner := folder.stat().st_uid) not in (0, self.uid):
            raise InstallError(
                f"{folder} belongs to uid {owner}, expected {self.uid}: run this as that user"
            )

    def _refuse_unguarded(self, path: Path) -> None:
        for each in hops(path):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if why := writable_by_others(each, allowed=lambda uid: uid in (0, self.uid)):
                    raise InstallError(f"{path} cannot be trusted: {each} {why}; mend that first")


def _draft_name(path: Path) -> str:
    return f".{path.name}.imdsd-"


def _remove_drafts(path: Path) -> None:
    """Remove what a run that was killed left beside a file."""
    for draft in path.parent.glob(f"{glob.escape(_draft_name(path))}*"):
        draft.unlink(missing_ok=True)


def _take_over(descriptor: int, path: Path, *, mode: int) -> None:
    """Give a draft the owner and mode of the file that it replaces."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        os.fchmod(descriptor, mode)
        return
    draft = os.fstat(descriptor)
    if (found.st_uid, found.st_gid) != (draft.st_uid, draft.st_gid):
        os.fchown(descriptor, found.st_uid, found.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(found.st_mode))


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Have the kernel's refusal told with the path and what to do."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "mend that and run it again")
        where = error.filename if isinstance(error.filename, str) else path
        raise InstallError(f"{where}: {error.strerror}; {remedy}") from error
