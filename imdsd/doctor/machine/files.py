"""Whether anybody else could read or write what the daemon lives by."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from imdsd.doctor.finding import Diagnosis, Level, Step
from imdsd.host.daemon_record import BEARER_NAME, LOCK_NAME, RECORD_NAME
from imdsd.host.private_files import WRITABLE_BY_OTHERS

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imdsd.doctor.finding import Finding

_STEP = Step.FILES
_ANYBODY = stat.S_IRWXO

SOUND = Diagnosis(_STEP, Level.OK, "sound", "owners and modes keep others out")
ABSENT = Diagnosis(_STEP, Level.OK, "absent", "there is no file yet to look at")
WRITABLE = Diagnosis(
    _STEP,
    Level.FAILURE,
    "writable",
    "others may write to a file or directory that is trusted",
    "chmod go-w {path}",
)
READABLE = Diagnosis(
    _STEP,
    Level.FAILURE,
    "readable",
    "everybody may read the bearer, or enter the run-time directory",
    "chmod o-rwx {path}; of a bearer that others may have read, have a new one made: "
    "remove the file and start the daemon again",
)
# The kubelet leaves a projected token to everybody where the pod says nothing of users or groups.
TOKEN_READABLE = Diagnosis(
    _STEP,
    Level.WARNING,
    "token-readable",
    "everybody here may read the web identity token",
    "chmod o-rwx {path}; in a pod, whose files only its own containers see, set fsGroup or "
    "runAsUser for it",
)
OWNER = Diagnosis(
    _STEP,
    Level.FAILURE,
    "owner",
    "a file belongs to a user who is neither the daemon's own nor root",
    "as root, `chown` {path} to the daemon's user, or remove it",
)
LINK = Diagnosis(
    _STEP,
    Level.FAILURE,
    "link",
    "a symbolic link or no regular file stands where the daemon keeps its own",
    "see who made it, and remove {path}",
)


def judge_files(
    directory: Path | None,
    *,
    trusts: Callable[[int], bool],
    config: Path | None = None,
    token: Path | None = None,
) -> Iterator[Finding]:
    """Look at the run-time directory, the configuration and a token file, as far as they are there.

    `trusts` says whose files the daemon, or this user, would take.
    """
    found = [
        *(_directory(directory, trusts) if directory else ()),
        *(_file(config, trusts, readable=None) if config else ()),
        *(_file(token, trusts, readable=TOKEN_READABLE) if token else ()),
    ]
    looked = [path for path in (directory, config, token) if path and is_there(path)]
    yield from found
    if found:
        return
    if looked:
        yield SOUND(", ".join(map(str, looked)))
    else:
        yield ABSENT("neither run-time directory, configuration nor token file is there")


def _directory(path: Path, trusts: Callable[[int], bool]) -> Iterator[Finding]:
    found = _lstat(path)
    if found is None:
        return
    if not stat.S_ISDIR(found.st_mode):
        yield LINK(f"{path} is no directory", path=str(path))
        return
    yield from _judge(path, found, trusts, readable=READABLE)
    for name in (BEARER_NAME, RECORD_NAME, LOCK_NAME):
        inside = path / name
        seen = _lstat(inside)
        if seen is None:
            continue
        if not stat.S_ISREG(seen.st_mode):
            yield LINK(f"{inside} is no regular file", path=str(inside))
        else:
            readable = READABLE if name == BEARER_NAME else None
            yield from _judge(inside, seen, trusts, readable=readable)


def _file(
    path: Path, trusts: Callable[[int], bool], *, readable: Diagnosis | None
) -> Iterator[Finding]:
    # A projected token's own link is fine: what it leads to counts.
    try:
        found = path.stat()
    except OSError:
        return
    if stat.S_ISREG(found.st_mode):
        yield from _judge(path, found, trusts, readable=readable)


def _judge(
    path: Path,
    found: os.stat_result,
    trusts: Callable[[int], bool],
    *,
    readable: Diagnosis | None,
) -> Iterator[Finding]:
    """Judge what is private where `readable` says what it is that everybody may read it."""
    mode = f"{stat.S_IMODE(found.st_mode):04o}"
    told = {"path": str(path), "mode": mode, "uid": found.st_uid}
    if not trusts(found.st_uid):
        yield OWNER(
            f"{path} belongs to uid {found.st_uid}, not to this user, root or imdsd", **told
        )
    if found.st_mode & (WRITABLE_BY_OTHERS if readable else stat.S_IWOTH):
        yield WRITABLE(f"{path} has mode {mode}: others may write to it", **told)
    elif readable and found.st_mode & _ANYBODY:
        yield readable(f"{path} has mode {mode}: everybody may read it", **told)


def is_there(path: Path) -> bool:
    """Whether anything is there that this user may look at."""
    return _lstat(path) is not None


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None
