"""The only module that knows what a profile of ours says in a file of AWS credentials.

The SDKs' common format: https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.clock import format_instant
from imdsd.errors import CredentialsFileError
from imdsd.host.aws_credentials_file.place import change_file, read_file
from imdsd.host.aws_credentials_file.sections import (
    MARK,
    profiles_of_ours,
    standing_in_the_way,
    with_profile,
    without_profile,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from imdsd.secret import Secret

DEFAULT_PROFILE = "default"
"""The one that SDKs take where nobody names one."""

# What every SDK's parser takes for a profile's name; Java v2 takes least. DEFAULT is a section of
# another kind to Python's parser.
PROFILE_NAME = r"(?!DEFAULT$)[A-Za-z0-9_/.%@:+-]{1,128}"
_UNFIT = re.compile(r"[^A-Za-z0-9_/.%@:+-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class ProfileKeys:
    """The credentials of a profile; `note` goes on where its comment says who wrote it."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret
    expires_at: datetime
    note: str = ""

    def lines(self) -> tuple[str, ...]:
        """Return the options. No region: from here it would win over the one in ~/.aws/config."""
        expires_at, token = format_instant(self.expires_at), self.session_token.reveal()
        return (
            f"# expires {expires_at}, {MARK} {self.note}".rstrip(),
            f"aws_access_key_id = {self.access_key_id}",
            f"aws_secret_access_key = {self.secret_access_key.reveal()}",
            f"aws_session_token = {token}",
            # boto 2 knows the session token by this name alone.
            f"aws_security_token = {token}",
            # As saml2aws writes it and prompts such as starship's read it; no SDK does.
            f"x_security_token_expires = {expires_at}",
        )


def usual_profile(role: str) -> str:
    """Return the profile of a role of this name where nobody names another."""
    return f"imdsd-{nearest_profile(role)}"


def nearest_profile(name: str) -> str:
    """Return a name that all SDKs read, made of another; it may be empty."""
    fit = _UNFIT.sub("-", name).strip("-")[:120]
    return fit.lower() if fit == "DEFAULT" else fit


def usual_file(environ: Mapping[str, str], *, home: Path) -> Path:
    """Return the file that SDKs read: the one of `AWS_SHARED_CREDENTIALS_FILE`, else the usual."""
    named = environ.get("AWS_SHARED_CREDENTIALS_FILE")
    if not named:
        return home / ".aws/credentials"
    return home / named[2:] if named.startswith("~/") else Path(named).absolute()


def write_profile(
    path: Path,
    profile: str,
    keys: ProfileKeys,
    *,
    uid: int,
    pause: Callable[[float], None],
    force: bool = False,
) -> None:
    """Put the credentials into a profile of a file, readable by its owner alone.

    All other profiles and comments stay as they are. Raises CredentialsFileError, also where the
    profile holds what would be lost for good, or would win over ours, unless `force` is set.
    """
    lines = keys.lines()

    def change(data: bytes) -> bytes:
        if not force and (found := standing_in_the_way(data, profile)):
            raise CredentialsFileError(
                f"the profile {profile} of {path} has {' and '.join(found)}, "
                "expected none, or one that imdsd wrote",
                remedy="choose another profile, or take that one out",
            )
        return with_profile(data, profile, lines, force=force)

    change_file(path, change, uid=uid, pause=pause)


def remove_profile(path: Path, profile: str, *, uid: int, pause: Callable[[float], None]) -> None:
    """Take the credentials that we wrote into a profile out of the file again."""
    with suppress(PermissionError):  # which is told below, with what to do
        if not path.exists():
            return
    change_file(path, lambda data: without_profile(data, profile), uid=uid, pause=pause)


def written_profiles(path: Path, *, uid: int) -> dict[str, str]:
    """Return the profiles of a file that we wrote, and until when each is of use.

    Raises CredentialsFileError for a file that remove_profile would not change.
    """
    found = profiles_of_ours(read_file(path, uid=uid))
    # What another name calls ours was copied there by somebody.
    return {name: at for name, at in found.items() if re.fullmatch(PROFILE_NAME, name, re.ASCII)}
