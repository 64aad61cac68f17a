"""The AWS files of a home, as SDKs read them: profiles, and what each is a source of."""

from __future__ import annotations

from configparser import Error, RawConfigParser
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.host.shadowing import is_ours

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CREDENTIALS_VARIABLE, CONFIG_VARIABLE = "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"
# What makes the credentials of another place those of a profile's role.
_THROUGH_US = ("EcsContainer", "Ec2InstanceMetadata")


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
    def leads_through_us(self) -> bool:
        """Whether its role is assumed with what a container or IMDS gives."""
        source = self.first("credential_source")
        return source is not None and source.value in _THROUGH_US


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
        (CONFIG_VARIABLE, ".aws/config", "profile "),
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
    # Any name but `default`, which is an ordinary profile here.
    parser = RawConfigParser(default_section="\0", strict=False)
    parser.read_string(path.read_text(encoding="utf-8"))
    for section in parser.sections():
        name = section.removeprefix(prefix).strip()
        if prefix and name == section and section != "default":
            continue  # an sso-session, or a profile without its prefix, which SDKs pass over
        # A profile is there even when it is empty.
        yield name, "", Entry("", section, path)
        for key, value in parser.items(section):
            yield name, key, Entry(value or "", section, path, in_credentials=not prefix)


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "bytes that are not UTF-8" if isinstance(error, UnicodeError) else "no INI file"
