"""The only module that knows how the receipt of an installation is written down."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from imdsd.errors import InstallError
from imdsd.install.plan import Entry, Receipt

if TYPE_CHECKING:
    from pathlib import Path

_VERSION = 1
_TEXTS = ("folders", "units", "members")


def digest(content: bytes) -> str:
    """Return what the receipt remembers of content."""
    return sha256(content).hexdigest()


def to_json(receipt: Receipt) -> bytes:
    """Return the bytes of a receipt."""
    document = {"version": _VERSION, **asdict(receipt)}
    for entry in document["entries"]:
        before = entry["before"]
        entry["before"] = None if before is None else base64.b64encode(before).decode()
    return json.dumps(document, indent=2).encode() + b"\n"


def from_json(text: bytes, *, source: Path) -> Receipt:
    """Read a receipt; raises InstallError for what is none."""
    try:
        document = json.loads(text)
        if document["version"] != _VERSION:
            raise ValueError(f"version {document['version']}, expected {_VERSION}")
        return Receipt(
            entries=tuple(map(_entry, document["entries"])),
            **{key: tuple(map(_text, document[key])) for key in _TEXTS},
            account=_text(document["account"]),
            group=_text(document["group"]),
            lingering=_text(document["lingering"]),
            unfinished=document["unfinished"] is True,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InstallError(
            f"{source} is no receipt of an installation ({error}); move it away, and what it would"
            " tell is looked for in the usual places"
        ) from None


def _entry(document: dict[str, Any]) -> Entry:
    texts = {key: _text(document[key]) for key in ("path", "part", "kind", "sha256", "former")}
    before = document["before"]
    content = None if before is None else base64.b64decode(_text(before), validate=True)
    if len(document) != len(fields(Entry)):
        raise ValueError("an entry of another shape")
    return Entry(**texts, existed=document["existed"] is True, before=content)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r}, expected a text")
    return value
