"""What these tests need of the machine beyond programs: privileges, other users, patience."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from tests.support import lack, need

PATIENCE_SECONDS = 30.0
"""How long a condition is waited for: machines are noisy, and this is no measurement."""

NOBODY = 65534
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


def need_file(path: Path) -> Path:
    if not path.exists():
        lack(str(path))
    return path


def need_root() -> None:
    if os.geteuid() != 0:
        lack("root, to act as several users")


def as_user(uid: int, argv: list[str]) -> list[str]:
    """Return a command that runs as another user who may read every file.

    The interpreter may stand in a private directory; who may connect is decided by the uid.
    """
    need_root()
    identity = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    reading = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return [need("setpriv"), *identity, *reading, *argv]


async def eventually(condition, *, what, within=PATIENCE_SECONDS):
    """Return what `condition`, plain or asynchronous, gives as soon as that is true.

    What is refused or not there yet counts as false: daemons come and go.
    """
    deadline = time.monotonic() + within
    while True:
        found = await _look(condition)
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"{what() if callable(what) else what}: not within {within:g} s")
        await asyncio.sleep(0.02)


async def _look(condition):
    try:
        found = condition()
        return await found if asyncio.iscoroutine(found) else found
    except (OSError, EOFError, asyncio.IncompleteReadError):
        return None


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def descendants(pid: int) -> set[int]:
    """Every process below this one, however it detached itself from its parent's group."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}
