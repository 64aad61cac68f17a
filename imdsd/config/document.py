"""The only module that knows where the configuration file is and how it is opened."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imdsd.config.tables import Setting

SYSTEM_FILE = Path("/etc/imdsd/config.toml")
NO_FILE = "no file"

_MOST_BYTES = 1024 * 1024
_READABLE = "a TOML file that can be read"
_NOT_EXPOSED = "a file that only this user or root may write, since it names commands to run"


@dataclass(frozen=True, slots=True)
class Document:
    """A file's tables, or the problem that kept it from being read."""

    source: str = NO_FILE
    tables: Mapping[str, object] = field(default_factory=dict)
    problem: Problem | None = None


def usual_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where a file is looked for when none is named, the first choice first."""
    home = environ.get("HOME")
    folder = environ.get("XDG_CONFIG_HOME") or (home and str(Path(home, ".config")))
    own = (Path(folder, "imdsd", "config.toml"),) if folder else ()
    return (*own, SYSTEM_FILE)


def find_document(named: Setting | None, *, usual: Sequence[Path]) -> Document:
    """Read the named file, which must be there, or the first usual one that is."""
    if named is not None:
        return _read_named(named)
    for path in usual:
        # A folder that may not be read is no absence: the file in it may be meant to count.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return read_document(path, named_by=str(path))
    return Document()


def _read_named(named: Setting) -> Document:
    path = Path(str(named.value))
    try:
        return read_document(path.expanduser(), named_by=named.source)
    except OSError as error:
        return _unreadable(path, named.source, f"{path}: {error.strerror}")
    except RuntimeError:  # pathlib's, where nobody knows the home that ~ stands for
        return _unreadable(path, named.source, f"{path}, for a user without a home")


def read_document(path: Path, *, named_by: str) -> Document:
    """Read a TOML file; what keeps it from being read is a problem of who named it.

    Raises FileNotFoundError and NotADirectoryError where there is none.
    """
    try:
        with path.open("rb") as file:
            if exposed := _exposed(os.fstat(file.fileno())):
                hint = f"have {path} written by its owner alone: chmod go-w, or chown as root"
                problem = Problem(
                    named_by, "config", f"{path}, which {exposed}", _NOT_EXPOSED, hint
                )
                return Document(str(path), problem=problem)
            raw = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        return _unreadable(path, named_by, f"{path}: {error.strerror}")
    except ValueError:  # a NUL, or half a surrogate pair
        return _unreadable(path, named_by, f"{str(path)!r}, which no file can be called")
    if len(raw) > _MOST_BYTES:
        return _unreadable(path, named_by, f"{path}: more than {_MOST_BYTES} bytes")
    return _parse(path, raw)


def _exposed(found: os.stat_result) -> str:
    """Say how somebody else could write a file that names a command for us to run."""
    if not stat.S_ISREG(found.st_mode):
        return ""
    if found.st_uid not in (0, os.geteuid()):
        return f"belongs to uid {found.st_uid}"
    return "everybody may write" if found.st_mode & stat.S_IWOTH else ""


def _unreadable(path: Path, named_by: str, found: str) -> Document:
    hint = "name another file with --config FILE (/dev/null for none)"
    problem = Problem(named_by, "config", found, _READABLE, hint)
    return Document(str(path), problem=problem)


def _parse(path: Path, raw: bytes) -> Document:
    try:
        tables = tomllib.loads(raw.decode())
        if (key := _huge_integer(tables)) is None:
            return Document(str(path), tables)
        found, place = "an integer that needs more than 64 bits", key
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found, place = "bytes that are not UTF-8", f"line {line}"
    except ValueError as error:  # TOMLDecodeError, and what int() says of thousands of digits
        found, place = _reason_and_place(str(error), last_line=len(raw.splitlines()))
    except RecursionError:
        found, place = "values nested too deeply", "the whole file"
    return Document(str(path), problem=Problem(str(path), place, found, "valid TOML"))


def _huge_integer(value: object, key: str = "") -> str | None:
    """Return the key of an integer that TOML does not have; Python could not even print some."""
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else key
    items: Iterable[tuple[str, object]] = ()
    if isinstance(value, dict):
        items = ((f"{key}.{name}".removeprefix("."), item) for name, item in value.items())
    elif isinstance(value, list):
        items = ((f"{key}[{index}]", item) for index, item in enumerate(value))
    found = (_huge_integer(item, place) for place, item in items)
    return next((place for place in found if place is not None), None)


def _reason_and_place(text: str, *, last_line: int) -> tuple[str, str]:
    """Split tomllib's message, which never quotes a value, into its reason and its place."""
    match = re.fullmatch(r"(.*) \(at (?:(line \d+, column \d+)|end of document)\)", text, re.DOTALL)
    if match is None:
        return text, "the whole file"
    return f"a syntax error ({match[1]})", match[2] or f"line {last_line}, at its end"
