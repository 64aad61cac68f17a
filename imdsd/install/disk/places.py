"""The only module that knows by whom a path could be changed, link by link and folder by folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.errors import InstallError
from imdsd.host.accounts import members_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# As many as the kernel follows (path_resolution(7)).
_MOST_LINKS = 40


def hops(path: Path) -> Iterator[Path]:
    """Yield every folder, link and file that is looked at on the way to a path, none twice.

    The last one is the path itself with all links resolved, which need not be there.
    """
    seen: set[Path] = set()
    for each in _walk(path.absolute(), links=0):
        if each not in seen:
            seen.add(each)
            yield each


def _walk(path: Path, *, links: int) -> Iterator[Path]:
    here = Path(path.anchor)
    yield here
    parts = path.parts[1:]
    for index, part in enumerate(parts):
        here = here.parent if part == ".." else here / part
        yield here
        if here.is_symlink():
            if links == _MOST_LINKS:
                raise InstallError(f"{path} leads through more than {_MOST_LINKS} links")
            target = here.parent / here.readlink()
            yield from _walk(target.joinpath(*parts[index + 1 :]), links=links + 1)
            return


def resolve_own(path: Path, *, uid: int) -> Path:
    """Return where a file of this user really stands.

    A link counts when this user or root made it: people keep the files of their shells elsewhere.
    Raises InstallError for a link of somebody else.
    """
    last = path
    for last in hops(path):
        try:
            found = last.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISLNK(found.st_mode) and found.st_uid not in (0, uid):
            raise InstallError(
                f"{path} leads through {last}, a link that belongs to uid {found.st_uid}; remove it"
            )
    return last


def writable_by_others(path: Path, *, allowed: Callable[[int], bool]) -> str:
    """Say who else may change what stands at a path, as `belongs to uid 7`; empty for nobody.

    A link's own mode means nothing; that a group may write counts for nothing where all its
    members are allowed anyway.
    """
    found = path.lstat()
    if not allowed(found.st_uid):
        return f"belongs to uid {found.st_uid}"
    if stat.S_ISLNK(found.st_mode):
        return ""
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        return f"has mode {stat.S_IMODE(found.st_mode):04o}, writable by everybody"
    if found.st_mode & stat.S_IWGRP:
        others = sorted(uid for uid in members_of(found.st_gid) if not allowed(uid))
        if others:
            return f"may be written by the group {found.st_gid}, to which uid {others[0]} belongs"
    return ""


def may_be_used_by_all(path: Path) -> bool:
    """Whether every user may enter a folder or read a file."""
    mode = path.stat().st_mode
    needed = stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH
    return bool(mode & needed)


def tree(folder: Path) -> Iterator[Path]:
    """Yield a folder and all that is below it, links not followed."""
    yield folder
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *files))
