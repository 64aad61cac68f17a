"""What a web identity token looks like: to accept one, and to keep one out of every message."""

from __future__ import annotations

import base64
import binascii
import json
import re
import shlex
from typing import TYPE_CHECKING

from imdsd.errors import MintError
from imdsd.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

# STS takes up to 20 000 characters; no issuer known to us comes near 16 KiB.
TOKEN_CAP_BYTES = 16 * 1024
EXPECTED = "a web identity token (a JWT: three parts with dots between)"

_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.?)")
_RUN = re.compile(r"[A-Za-z0-9_+/=.~%-]{20,}")
_SEGMENT_BORDER = re.compile(r"[/._=+~%-]+")
_MIXED = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z]).{8,}")
# So long a run may be base64 or hex, unless it is a path: plain words between strokes.
_LONG_RUN = re.compile(r"[A-Za-z0-9_+/=-]{32,}")
_PLAIN_WORD = re.compile(r"[A-Z]?[a-z]*[0-9]{0,3}|[A-Z]{1,12}|[0-9]{1,12}")
_JWT_LIKE = re.compile(r"(?<![A-Za-z0-9])eyJ[\w-]*+(?:\.[\w-]*+)*+", re.ASCII)
_USERINFO = re.compile(r"(?<=://)[^\s/?#]*@")
_SECRET = (
    r"(?=[\w.-]*?"
    r"(?:token|secret|passw|passphrase|pwd|key|credential|authori[sz]|assertion|session))"
)
_SCHEME = r"(?:(?:bearer|basic|digest|token|negotiate)\s++)?"
_VALUE = r"""(?:[\[{].*+|\\?"(?:[^"\\]|\\.)*+"?|'[^']*+'?|[^\s,;&"')}\]]++)"""
# Each begins where a word does and never goes back, so that no text takes long to search.
_NAMED = (
    re.compile(  # key=value, key: value, "key": "value", ?key=value
        rf"(?i)(?<![\w.-])(?<!//)({_SECRET}[\w.-]++(?:\\?[\"'])?\s*+(?::=|=>|[=:])\s*+"
        rf"(?:\\?[\"'](?=(?:bearer|basic)\s))?{_SCHEME}){_VALUE}"
    ),
    re.compile(rf"(?i)(?<!\S)(-{_SECRET}[\w-]++\s++){_VALUE}"),  # --key value
    re.compile(r"(?i)(?<!\w)((?:bearer|basic)\s++)[^\s\"',]++"),
)
_LONGEST_WORD = 16
_ENCRYPTED_PARTS = 5


def token_from(raw: bytes, *, source: str, remedy: str) -> Secret:
    """Return the token that `raw` is, white space around it stripped.

    Raises MintError, saying what `source` gave instead.
    """
    found = fault(raw)
    if found:
        raise MintError(f"{source} gave {found}, expected {EXPECTED}", remedy=remedy)
    return Secret(raw.decode("ascii").strip())


def fault(raw: bytes) -> str:
    """Say what `raw` is when it is no web identity token; empty when it looks like one.

    Shows nothing that could be a secret.
    """
    if len(raw) > TOKEN_CAP_BYTES:
        return f"more than {TOKEN_CAP_BYTES} bytes"
    text = raw.decode("utf-8", errors="replace").strip()
    if _TOKEN.fullmatch(text):
        return _fault_of_parts(text.split("."))
    return _describe(text, size=len(raw))


def redact(text: str) -> str:
    """Cut whatever may be a secret out of `text`.

    What is named like one, what looks like a part of a JWT, the user before a URL's host, and long
    runs that are no words.
    """
    text = _USERINFO.sub("…@", _JWT_LIKE.sub("…", text))
    for named in _NAMED:
        text = named.sub(r"\1…", text)
    return _RUN.sub(_cut_unless_words, _LONG_RUN.sub(_cut_unless_path, text))


def one_line(text: str, *, most: int = 200) -> str:
    """Return `text` as one printable, redacted line of at most `most` characters."""
    plain = "".join(c if c.isprintable() else " " for c in _ANSI.sub("", text))
    # Redacted before it is cut short: half a token must not pass for a word.
    line = redact(" ".join(plain.split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def show_arguments(argv: Sequence[str]) -> str:
    """Return an argument list as a person would type it, redacted."""
    return one_line(shlex.join(argv))


def _fault_of_parts(parts: list[str]) -> str:
    for name, part in zip(("header", "body"), parts[:2], strict=True):
        if not _is_json_object(part):
            return f"three parts with dots between, but a {name} that is not JSON"
    return ""


def _is_json_object(part: str) -> bool:
    try:
        decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        return isinstance(json.loads(decoded), dict)
    except (ValueError, binascii.Error, RecursionError):
        return False


def _describe(text: str, *, size: int) -> str:
    if not text:
        return "nothing"
    if "\x1b" in text:
        return "text with terminal escape sequences"
    if not all(c.isprintable() or c.isspace() for c in text) or "\ufffd" in text:
        return f"{size} bytes that are not text"
    if text.startswith("{"):
        return _describe_json(text)
    lines = text.splitlines()
    first = _describe_line(lines[0])
    return first if len(lines) == 1 else f"{len(lines)} lines, the first {first}"


def _describe_json(text: str) -> str:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return "text that begins like JSON and is not"
    return "a JSON object with the keys " + one_line(", ".join(sorted(document)), most=80)


def _describe_line(line: str) -> str:
    if any(c.isspace() for c in line):
        return f"'{one_line(line, most=60)}'"
    parts = line.count(".") + 1
    if parts == _ENCRYPTED_PARTS:
        return "five parts with dots between (an encrypted JWT)"
    # A lone word may be an opaque token of another kind, however short.
    return f"one word of {len(line)} characters in {parts} part{'s' if parts > 1 else ''}"


def _cut_unless_words(run: re.Match[str]) -> str:
    segments = _SEGMENT_BORDER.split(run[0])
    words = all(len(s) <= _LONGEST_WORD and not _MIXED.fullmatch(s) for s in segments)
    return run[0] if words else "…"


def _cut_unless_path(run: re.Match[str]) -> str:
    segments = _SEGMENT_BORDER.split(run[0])
    words = all(len(s) <= _LONGEST_WORD and _PLAIN_WORD.fullmatch(s) for s in segments)
    return run[0] if words else "…"
