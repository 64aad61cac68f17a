"""The only module that knows what a public key of OpenSSH looks like, and how EC2 lists them."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from imdsd.config.metadata.entries import entries_of
from imdsd.config.parsers import of_type
from imdsd.config.tables import ExpectedError, Table, shown
from imdsd.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsd.config.metadata.placing import Placing
    from imdsd.errors import Problem

PLACE = "meta-data/public-keys"

_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_EXPECTED = "the one line of a .pub file: ssh-ed25519 AAAA… comment"
# EC2's limit on the name of a key pair; = and / have a meaning where the names are listed.
_NAME = re.compile(r"[ -.0-<>-~]{1,255}")
_MOST_CHARACTERS = 16384

_text = of_type(str, _EXPECTED)


def place_public_keys(table: Table, placing: Placing, problems: list[Problem]) -> dict[str, bytes]:
    """Put the leaf of every key, and return what their directory lists: 0=NAME, in order."""
    found = entries_of(table, "public_keys")
    keys = Table(found, problems)
    names: list[str] = []
    for name, setting in found.items():
        value = keys.read(name, _key_called(name), None)
        if value is not None:
            placing.put(f"{PLACE}/{len(names)}/openssh-key", value.encode(), setting)
            names.append(name)
    lines = [f"{index}={name}" for index, name in enumerate(names)]
    return {PLACE: "\n".join(lines).encode()} if lines else {}


def _key_called(name: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if not _NAME.fullmatch(name) or name.strip() != name:
            expected = "a name of 1 to 255 printable ASCII characters without = and /"
            raise ExpectedError(expected, found=shown(name))
        return public_key(value)

    return parse


def public_key(value: object) -> str:
    """Return a public key as OpenSSH writes it; no message repeats one, which may be private."""
    found = _text(value)
    if "PRIVATE KEY" in found:
        hint = "that is a private key, which nobody should see; take the .pub file's line"
        raise ExpectedError(_EXPECTED, found="a private key (not shown)", hint=hint)
    if not found.isprintable() or len(found) > _MOST_CHARACTERS or found.strip() != found:
        raise ExpectedError(_EXPECTED, found="a text that is not one line alone")
    kind, _, rest = found.partition(" ")
    if kind not in _TYPES:
        near = nearest(kind, _TYPES)
        hint = f"did you mean {near}?" if near else f"one of {', '.join(_TYPES)} comes first"
        raise ExpectedError(_EXPECTED, found="a text that begins with no type of key", hint=hint)
    _check_blob(kind, rest.partition(" ")[0])
    return found


def _check_blob(kind: str, encoded: str) -> None:
    """Refuse a key that was cut: its bytes begin with its type (RFC 4253, section 6.6)."""
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ExpectedError(_EXPECTED, found=f"{kind} and what is no base64") from None
    length = int.from_bytes(blob[:4])
    inner = blob[4 : 4 + length]
    if inner != kind.encode() or len(blob) <= 4 + length:
        found = f"{kind} and the bytes of no such key"
        raise ExpectedError(_EXPECTED, found=found, hint="copy the whole line again")
