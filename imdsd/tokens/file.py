"""A web identity token that somebody else keeps in a file, read so that no file can hurt."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imdsd.clock import Clock, SystemClock
from imdsd.errors import MintError
from imdsd.tokens.shape import TOKEN_CAP_BYTES, fault, token_from

if TYPE_CHECKING:
    from pathlib import Path

    from imdsd.secret import Secret

_TRIES = 3
_PAUSE_SECONDS = 0.05
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class FileSource:
    """A projected token, as Kubernetes and `AWS_WEB_IDENTITY_TOKEN_FILE` hand one over."""

    path: Path
    clock: Clock = field(default_factory=SystemClock, kw_only=True, repr=False)
    renewable = True
    minted_on_demand = False

    @property
    def description(self) -> str:
        """Name the source in one line for status."""
        return f"file {self.path}"

    async def mint(self) -> Secret:
        """Return the token in the file; raises MintError.

        A writer that does not rename may be met in the middle, so what is no token is read again.
        """
        raw = read_token_file(self.path)
        for _ in range(_TRIES - 1):
            if not fault(raw):
                break
            await self.clock.sleep(_PAUSE_SECONDS)
            raw = read_token_file(self.path)
        remedy = f"see what writes {self.path}"
        return token_from(raw, source=self.description, remedy=remedy)


def read_token_file(path: Path) -> bytes:
    """Read a token file once, from a descriptor that was opened before it was judged.

    At most 16 KiB of a regular file, so that neither a FIFO nor a huge file holds the loop up.
    Raises MintError.
    """
    try:
        # O_NONBLOCK: opening a FIFO waits for its writer; O_NOCTTY: a terminal is not ours to take.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise _not_opened(path, error) from error
    try:
        _judge(path, os.fstat(descriptor))
        return _read(path, descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, descriptor: int) -> bytes:
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            raw = file.read(TOKEN_CAP_BYTES + 1)
    except OSError as error:
        raise MintError(
            f"file {path} cannot be read: {error.strerror}", remedy="see the file system"
        ) from error
    if len(raw) > TOKEN_CAP_BYTES:
        raise _too_large(path, f"more than {TOKEN_CAP_BYTES}")
    return raw


def _judge(path: Path, found: os.stat_result) -> None:
    for is_kind, kind in _KINDS:
        if is_kind(found.st_mode):
            raise MintError(
                f"file {path} is {kind}, expected a regular file", remedy="name the token file"
            )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise MintError(
            f"file {path} has mode {stat.S_IMODE(found.st_mode):04o}, expected one that "
            "only its owner may write",
            remedy=f"chmod go-w {path}",
        )
    if found.st_uid not in {0, os.geteuid()}:
        raise MintError(
            f"file {path} belongs to user {found.st_uid}, expected {os.geteuid()} or root",
            remedy="let the daemon's own user or root own the token file",
        )
    if found.st_size > TOKEN_CAP_BYTES:
        raise _too_large(path, str(found.st_size))


def _too_large(path: Path, size: str) -> MintError:
    return MintError(
        f"file {path} has {size} bytes, expected a token of at most {TOKEN_CAP_BYTES}",
        remedy="name the token file",
    )


def _not_opened(path: Path, error: OSError) -> MintError:
    remedies = {
        FileNotFoundError: "see what writes it, or name another with --token-file",
        PermissionError: "let the daemon's user read it",
    }
    remedy = remedies.get(type(error), "name the token file")
    return MintError(f"file {path} cannot be opened: {error.strerror}", remedy=remedy)
