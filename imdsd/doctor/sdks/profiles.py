"""The AWS files of a home, as SDKs read them: profiles, and what each is a source of."""

from __future__ import annotations

import shlex
from configparser import Error
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.host.shadowing import is_ours, read_aws_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CREDENTIALS_VARIABLE, CONFIG_VARIABLE = "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"


@dataclass(frozen=True, slots=True)
class Entry:
    """A profile's key: its value, and the section and file that it stands in."""

    value: str
    section: str
    path: Path
    in_credentials: bool = False

    def __str__(self) -> str:
        return f"[{self.section}] of {self.path}"


@dataclass(frozen=True, slots=True)
class Profile:
    """What both files say of one name, the credentials file over the other."""

    name: str
    entries: Mapping[str, Entry]

    def first(self, *keys: str) -> Entry | None:
        """Return the first of these keys that is there."""
        return next((self.entries[key] for key in keys if key in self.entries), None)

    @property
    def runs_us(self) -> bool:
        """Whether its credential_process asks this daemon."""
        process = self.first("credential_process")
        return process is not None and is_ours(process.value)

    @property
    def credential_source(self) -> str:
        """Return what its role is assumed with, by the name of its kind."""
        source = self.first("credential_source")
        return source.value if source else ""


@dataclass(frozen=True, slots=True)
class AwsFiles:
    """Both files; `broken` says of each that cannot be read as such why."""

    profiles: Mapping[str, Profile]
    broken: Mapping[Path, str] = field(default_factory=dict)


def read_files(environ: Mapping[str, str], *, home: Path) -> AwsFiles:
    """Read what SDKs of this shell would read."""
    entries: dict[str, dict[str, Entry]] = {}
    broken: dict[Path, str] = {}
    for variable, usual, prefix in (
        (CONFIG_VARIABLE, ".aws/config", "profile"),
        (CREDENTIALS_VARIABLE, ".aws/credentials", ""),
    ):
        path = _path(environ.get(variable), home / usual, home)
        try:
            for name, key, entry in _entries(path, prefix):
                entries.setdefault(name, {})[key] = entry
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError, Error) as error:
            broken[path] = _why(error)
    found = {name: Profile(name, keys) for name, keys in entries.items()}
    return AwsFiles(found, broken)


def _path(named: str | None, usual: Path, home: Path) -> Path:
    if not named:
        return usual
    return home / named[2:] if named.startswith("~/") else Path(named)


def _entries(path: Path, prefix: str) -> Iterator[tuple[str, str, Entry]]:
    parser = read_aws_file(path)
    for section in parser.sections():
        name = _named(section) if prefix and section != "default" else section
        if name is None:
            continue  # an sso-session, or a profile without its prefix, which SDKs pass over
        # A profile is there even when it is empty.
        yield name, "", Entry("", section, path)
        for key, value in parser.items(section):
            yield name, key, Entry(value or "", section, path, in_credentials=not prefix)


def _named(section: str) -> str | None:
    """Return the name in `profile NAME`, which may stand in quotes."""
    try:
        words = shlex.split(section)
    except ValueError:
        return None
    return words[1] if len(words) == 2 and words[0] == "profile" else None  # noqa: PLR2004


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "bytes that are not UTF-8" if isinstance(error, UnicodeError) else "no INI file"
