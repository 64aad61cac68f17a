"""The only module that knows what SDKs ask before they ask the daemon."""

from __future__ import annotations

import shlex
import stat
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.host.sdk_environment import STS_ENDPOINT, sts_is_on_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from configparser import RawConfigParser

# What makes a profile a source of credentials, and what to call it.
_PROFILE_KEYS = {
    "aws_access_key_id": "access keys",
    "credential_process": "a credential_process",
    "sso_session": "an SSO login",
    "sso_start_url": "an SSO login",
    "login_session": "a console login",
    "role_arn": "a role",
    "web_identity_token_file": "a web identity token file",
}
_MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Shadow:
    """One thing that SDKs would follow instead of the daemon: its name, why, what to do."""

    name: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name} {self.why}; {self.remedy}"


def shadowing(environ: Mapping[str, str], *, home: Path) -> tuple[Shadow, ...]:
    """Return what would win over the daemon in an SDK's credential chain."""
    return (*shadowing_variables(environ), *shadowing_files(environ, home=home))


def shadowing_variables(environ: Mapping[str, str]) -> tuple[Shadow, ...]:
    """Return the variables that SDKs follow before the container endpoint or past IMDS."""
    found = []
    for names, why in _VARIABLES:
        if all(environ.get(name) for name in names):
            found.append(Shadow(" with ".join(names), why, f"unset {' '.join(names)}"))
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        why = "keeps SDKs from asking IMDS (the container endpoint still answers)"
        found.append(Shadow("AWS_EC2_METADATA_DISABLED", why, "unset AWS_EC2_METADATA_DISABLED"))
    if sts_is_on_loopback(environ):
        why = "sends calls of STS to this machine, as a demo does that may be over"
        found.append(Shadow(STS_ENDPOINT, why, f"unset {STS_ENDPOINT}"))
    return tuple(found)


def shadowing_files(environ: Mapping[str, str], *, home: Path) -> tuple[Shadow, ...]:
    """Return the `[default]` profiles of the AWS files that hold credentials of their own."""
    files = (
        ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", ("default",)),
        ("AWS_CONFIG_FILE", ".aws/config", ("default", "profile default")),
    )
    found: list[Shadow] = []
    for variable, usual, sections in files:
        path = Path(environ.get(variable) or home / usual).expanduser()
        found.extend(_profile_shadows(path, sections))
    return tuple(found)


_VARIABLES = (
    (("AWS_ACCESS_KEY_ID",), "holds access keys, which SDKs take first"),
    (("AWS_PROFILE",), "names a profile, whose own credentials SDKs take first"),
    (("AWS_DEFAULT_PROFILE",), "names a profile, whose own credentials SDKs take first"),
    (
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
        "sends SDKs to STS before the container endpoint",
    ),
    (
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
        "wins over AWS_CONTAINER_CREDENTIALS_FULL_URI and leads to 169.254.170.2",
    ),
)


def _profile_shadows(path: Path, sections: tuple[str, ...]) -> Iterator[Shadow]:
    profiles = _read_profiles(path)
    for section in sections:
        if profiles is None or not profiles.has_section(section):
            continue
        kinds = [
            kind
            for key, kind in _PROFILE_KEYS.items()
            if profiles.has_option(section, key) and not is_ours(profiles.get(section, key))
        ]
        if kinds:
            why = f"has {kinds[0]}, which SDKs take before the container endpoint"
            yield Shadow(f"[{section}] of {path}", why, "rename that profile")


def _read_profiles(path: Path) -> RawConfigParser | None:
    """Read an AWS file; one that cannot be read shadows nothing: SDKs fail on it by themselves."""
    from configparser import Error  # noqa: PLC0415  # 5 ms, only for this

    try:
        return read_aws_file(path)
    except (OSError, ValueError, Error):
        return None


def read_aws_file(path: Path) -> RawConfigParser:
    """Return the sections of an AWS file, as far as a file of that kind is long.

    Raises OSError, ValueError for bytes that are not UTF-8, and configparser's Error.
    """
    from configparser import RawConfigParser  # noqa: PLC0415  # 5 ms, only for this

    # As botocore: what is no file, such as a FIFO that would be waited for, is not there.
    if stat.S_IFMT(path.stat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
        raise FileNotFoundError(path)
    with path.open("rb") as file:
        text = file.read(_MOST_BYTES).decode()
    # Any name but `default`, which is an ordinary profile here.
    profiles = RawConfigParser(default_section="\0", strict=False)
    profiles.read_string(text)
    return profiles


def is_ours(command: str) -> bool:
    """Whether a credential_process asks this very daemon."""
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    if "credential-process" not in words:
        return False
    # As a program, or as a module of the interpreter that install wrote down.
    return Path(words[0]).name == "imdsd" or ("-m", "imdsd") in pairwise(words)
