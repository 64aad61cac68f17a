"""The only module that knows how a role becomes a profile in ~/.aws/config."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsd.errors import InstallError
from imdsd.install.texts.blocks import Block, find, without_block

if TYPE_CHECKING:
    from pathlib import Path

# SDKs split the line by rules of their own, or give it to a shell: what all of them take alike.
_PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
_WITHIN_QUOTES = re.compile(r"[^\"$`\\'\r\n]+")
_NAME = rb"[ \t]*\[[ \t]*profile[ \t]+[\"']?%s[\"']?[ \t]*\]"


@dataclass(frozen=True, slots=True)
class Profile:
    """A role by its name, and its region where that is known."""

    role: str
    region: str = ""


@dataclass(frozen=True, slots=True)
class ProfilesBlock:
    """A profile for each role, in one marked block, or none; a name that is taken is an error."""

    profiles: tuple[Profile, ...]
    interpreter: Path
    kind: str = "block"

    def apply(self, before: bytes | None) -> bytes:
        """Return the file with the profiles in it."""
        before = before or b""
        if b"\0" in before:
            raise InstallError("it is not a text file in UTF-8; write it as one first")
        if not self.profiles:
            return without_block(before)
        for profile in self.profiles:
            self._refuse_taken(profile.role, before)
        lines = "\n".join(map(self._lines, self.profiles))
        return Block(os.fsencode(lines), follows_line_ends=True).apply(before)

    def _lines(self, profile: Profile) -> str:
        command = f"{_quoted(self.interpreter)} -P -m imdsd credential-process"
        region = f"region = {profile.region}\n" if profile.region else ""
        return (
            f"[profile {profile.role}]\n"
            f"credential_process = {command} --role {profile.role}\n{region}"
        )

    def _refuse_taken(self, name: str, content: bytes) -> None:
        ours = find(content)
        header = re.compile(rb"^" + _NAME % re.escape(name.encode()), re.MULTILINE)
        for found in header.finditer(content):
            if ours is None or not ours.start() <= found.start() < ours.end():
                line = content.count(b"\n", 0, found.start()) + 1
                raise InstallError(
                    f"line {line}: there is a profile {name!r} already; rename it,"
                    " rename the role in the configuration, or leave profiles out with"
                    " --no-profiles"
                )


def _quoted(interpreter: Path) -> str:
    text = str(interpreter)
    if _PLAIN.fullmatch(text):
        return text
    if _WITHIN_QUOTES.fullmatch(text):
        return f'"{text}"'
    raise InstallError(
        f"the interpreter is {text!r}, which not every SDK could start from ~/.aws/config;"
        " install imdsd into another directory"
    )
