"""The only module that judges whether the system may start an interpreter, by whose it is."""

from __future__ import annotations

import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.errors import InstallError
from imdsd.install.disk.places import hops, may_be_used_by_all, tree, writable_by_others

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_REMEDY = (
    "install imdsd where root alone may write, and run that one:\n"
    "  sudo python3 -m venv /opt/imdsd\n"
    "  sudo /opt/imdsd/bin/pip install git+URL\n"
    "  sudo /opt/imdsd/bin/imdsd install --system …"
)
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/run/user")  # noqa: S108  # to be refused
_UNREADABLE = "may not be read by other users, as the daemon is"
_HOMES = ("/home", "/root")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python by its path, and the folders that it imports from."""

    executable: Path
    search_path: tuple[Path, ...]


def private_places(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders that belong to a user or to nobody for long."""
    # The homes of system users are folders such as / and /bin.
    homes = {user.pw_dir for user in pwd.getpwall() if user.pw_uid == 0 or user.pw_uid >= 1000}  # noqa: PLR2004  # the first of a person (login.defs)
    chosen = environ.get("TMPDIR", "")
    named = (*_TEMPORARY, *_HOMES, *homes, chosen)
    return tuple(Path(each) for each in named if each.startswith("/") and each.strip("/"))


def check_interpreter(interpreter: Interpreter, *, private: Sequence[Path]) -> None:
    """Raise InstallError where another user could have the daemon run what he likes.

    Everything on the way counts, links too, and every file that may be imported. So does what the
    daemon's own user could not read.
    """
    try:
        _check(interpreter, private=private)
    except PermissionError as error:  # of who is not root, and sees a plan
        raise _refusal(interpreter, f"{error.filename} {_UNREADABLE}") from error


def _check(interpreter: Interpreter, *, private: Sequence[Path]) -> None:
    def is_root(uid: int) -> bool:
        return uid == 0

    ways = list(_ways(interpreter))
    for path in ways:
        for folder in private:
            if path.is_relative_to(folder):
                reason = f"it leads into {folder}, a home or temporary directory"
                raise _refusal(interpreter, reason)
    for path in (*ways, *_imported(interpreter)):
        if why := writable_by_others(path, allowed=is_root):
            raise _refusal(interpreter, f"{path} {why}")
    for path in ways:
        if not may_be_used_by_all(path):
            raise _refusal(interpreter, f"{path} {_UNREADABLE}")


def _ways(interpreter: Interpreter) -> Iterator[Path]:
    for path in (interpreter.executable, *interpreter.search_path):
        yield from (hop for hop in hops(path) if hop.exists())


def _imported(interpreter: Interpreter) -> Iterator[Path]:
    for path in interpreter.search_path:
        if path.is_dir():
            yield from tree(path.resolve())


def _refusal(interpreter: Interpreter, reason: str) -> InstallError:
    return InstallError(
        f"the system cannot start {interpreter.executable} as a service: {reason}; {_REMEDY}"
    )
