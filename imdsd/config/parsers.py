"""The only module that knows what single values look like: each parser returns one or refuses."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec

from imdsd.addresses import is_loopback
from imdsd.config.tables import ExpectedError, shown
from imdsd.errors import nearest

T = TypeVar("T")
Number = TypeVar("Number", int, float)
Parser = Callable[[object], T]

_HOST_NAME = re.compile(r"(?!.{254})(?!-)[\w-]{1,63}(\.(?!-)[\w-]{1,63})*\.?", re.ASCII)


def of_type(kind: type[T], expected: str) -> Parser[T]:
    """Return a parser for a plain type; a boolean is no number, a number no text."""

    def parse(value: object) -> T:
        try:
            return msgspec.convert(value, kind)
        except (msgspec.ValidationError, ValueError):  # ValueError: half a surrogate pair
            raise ExpectedError(expected) from None

    return parse


boolean = of_type(bool, "true or false")
_text = of_type(str, "a text in quotes")


def text(value: object) -> str:
    """Return a text that is not empty and has no control character."""
    found = _text(value)
    if not found.strip() or not found.isprintable():
        raise ExpectedError("a text of one line that is not empty")
    return found


def choice(*words: str, suggest: bool = True) -> Parser[str]:
    """Return a parser for one of a few words; a refusal names the nearest if it may."""

    def parse(value: object) -> str:
        found = _text(value)
        if found not in words:
            near = nearest(found, words) if suggest else None
            hint = f"did you mean {near}?" if near else ""
            raise ExpectedError(f"one of {', '.join(words)}", hint=hint)
        return found

    return parse


def matching(pattern: str, expected: str) -> Parser[str]:
    """Return a parser for a text that a regular expression matches wholly."""
    compiled = re.compile(pattern, re.ASCII)

    def parse(value: object) -> str:
        found = _text(value)
        if not compiled.fullmatch(found):
            raise ExpectedError(expected)
        return found

    return parse


def whole_seconds(low: int, high: int) -> Parser[int]:
    """Return a parser for a whole number of seconds in a range."""
    return _ranged(int, low, high, f"a whole number of seconds from {low} to {high}")


def whole_number(low: int, high: int) -> Parser[int]:
    """Return a parser for a whole number in a range."""
    return _ranged(int, low, high, f"a whole number from {low} to {high}")


def seconds(low: float, high: float) -> Parser[float]:
    """Return a parser for a number of seconds in a range, fractions allowed."""
    return _ranged(float, low, high, f"a number of seconds from {low:g} to {high:g}")


def _ranged(kind: type[Number], low: Number, high: Number, expected: str) -> Parser[Number]:
    convert = of_type(kind, expected)

    def parse(value: object) -> Number:
        found = convert(value)
        if not low <= found <= high:  # so written, it refuses NaN too
            raise ExpectedError(expected)
        return found

    return parse


def path(home: str | None) -> Parser[Path]:
    """Return a parser for an absolute path; `~/` means `home`."""

    def parse(value: object) -> Path:
        found = text(value)
        if home and found.startswith("~/"):
            return Path(home, found[2:])
        if not found.startswith("/"):
            raise ExpectedError("an absolute path", hint="start it with / or ~/")
        return Path(found)

    return parse


def existing_file(home: str | None) -> Parser[Path]:
    """Return a parser for the absolute path of a file that is there."""
    parse_path = path(home)

    def parse(value: object) -> Path:
        found = parse_path(value)
        expected = "a file that exists and can be read"
        try:
            is_file = found.is_file()
        except OSError as error:  # of a folder on the way
            why = f"{shown(value)}: {error.strerror}"
            raise ExpectedError(expected, found=why) from None
        if not is_file or not os.access(found, os.R_OK):
            why = "which may not be read" if is_file else "which is no file"
            raise ExpectedError(expected, found=f"{shown(value)}, {why}")
        return found

    return parse


def url(value: object) -> str:
    """Return a URL over https, or over http to loopback; never one with a password in it."""
    found = _text(value)
    expected = "a URL with https, or with http to loopback"
    parts = _split(found, expected)
    if parts.username is not None or parts.password is not None:
        raise ExpectedError(f"{expected}, without user or password", found="a URL with a user")
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return found
    raise ExpectedError(expected, found=_shown_url(found), hint=_url_hint(parts))


def _split(found: str, expected: str) -> SplitResult:
    # What sends the request encodes no host name (IDNA) and no path.
    hint = "" if found.isascii() else "write the host as xn--…, other characters as %XX"
    refusal = ExpectedError(expected, found=_shown_url(found), hint=hint)
    try:
        parts = urlsplit(found)
        whole = _is_host(parts.hostname or "") and parts.port != 0
    except ValueError:
        raise refusal from None
    if not whole or not found.isascii() or not found.isprintable() or " " in found:
        raise refusal
    return parts


def _is_host(host: str) -> bool:
    if ":" in host:
        return isinstance(ipaddress.ip_address(host), ipaddress.IPv6Address)
    return bool(_HOST_NAME.fullmatch(host))


def _shown_url(found: str) -> str:
    """Return a URL without what may be secret in it: the user before its host, and its query."""
    return shown(re.sub(r"//.*@", "//…@", found.partition("?")[0], flags=re.DOTALL))


def _url_hint(parts: SplitResult) -> str:
    if parts.scheme != "http":
        return ""
    return "plain http would show the token to the network; use https"


def table(value: object) -> Mapping[str, object]:
    """Return a TOML table; what it holds is not shown, as it may be secret."""
    if not isinstance(value, Mapping):
        raise ExpectedError("a table", found=f"a {type(value).__name__}")
    return value


def tables(value: object) -> Sequence[Mapping[str, object]]:
    """Return an array of TOML tables."""
    expected = "an array of tables"
    if isinstance(value, Mapping):
        raise ExpectedError(expected, found="one table", hint="write [[role]] with two brackets")
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise ExpectedError(expected)
    return value
