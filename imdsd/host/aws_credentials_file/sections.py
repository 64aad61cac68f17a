"""The only module that knows how one section of an AWS credentials file is changed, byte by byte.

Sections, options and values that run over several lines are told apart as botocore's parser,
Python's configparser, does. Whatever is not changed stays as it is, whatever it may be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

MARK = "written by imdsd"
"""What a comment in a section of ours says, beside when it expires."""

_COMMENT_OF_OURS = re.compile(rb"# expires (\S+), " + MARK.encode())
_HEADER = re.compile(r"\[([^]]+)\]")
_BYTE_ORDER_MARK = "\ufeff"

_ACCESS_KEY_ID = "aws_access_key_id"
_TOKENS = ("aws_session_token", "aws_security_token")
OWNED = frozenset({_ACCESS_KEY_ID, "aws_secret_access_key", *_TOKENS, "x_security_token_expires"})
"""The options that credentials are made of: they are replaced together."""

_OTHER_SOURCES = {
    "credential_process": "a credential_process",
    "login_session": "a console login",
    "role_arn": "a role",
    "sso_session": "an SSO login",
    "sso_start_url": "an SSO login",
    "web_identity_token_file": "a web identity token file",
}
_LONG_LIVED = "access keys that do not expire"


class _Kind(Enum):
    HEADER = auto()
    OPTION = auto()
    CONTINUED = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class _Line:
    """One line with its ending; `name` is a section's, or the option's that the line belongs to."""

    raw: bytes
    kind: _Kind
    name: str = ""

    @property
    def indent(self) -> bytes:
        line = _decoded(self.raw)
        return line[: len(line) - len(line.lstrip())].encode("utf-8", "surrogateescape")

    @property
    def ending(self) -> bytes:
        return self.raw[len(self.raw.rstrip(b"\r\n")) :]

    @property
    def is_ours(self) -> bool:
        return _COMMENT_OF_OURS.match(self.raw.strip()) is not None

    @property
    def belongs_to_an_option(self) -> bool:
        return self.kind in (_Kind.OPTION, _Kind.CONTINUED)


def with_profile(data: bytes, profile: str, lines: Sequence[str], *, force: bool = False) -> bytes:
    """Return the file with these options as the profile's credentials.

    Of several sections of that name the last is changed, which is the one that counts for SDKs
    that take such a file. Settings of another kind in it are kept; with `force` other sources of
    credentials, which SDKs would prefer, are not.
    """
    parsed = _parse(data)
    section = _find(parsed, profile)
    if section is None:
        return data + _appendix(parsed, profile, lines)
    before, header, body, after = _split(parsed, section)
    dropped = OWNED | (_OTHER_SOURCES.keys() if force else frozenset())
    kept = _without(body, dropped)
    place = 1 + max((i for i, line in enumerate(kept) if line.belongs_to_an_option), default=-1)
    newline = header.ending or b"\n"
    # An indented header would continue a value that stands before it further to the left.
    indent = after[0].indent if after else b""
    ours = [indent + line.encode() + newline for line in lines]
    upper = [_named(header, profile), *(line.raw for line in kept[:place])]
    upper[-1] = upper[-1] if upper[-1].endswith((b"\n", b"\r")) else upper[-1] + newline
    return b"".join([*_raws(before), *upper, *ours, *_raws(kept[place:]), *_raws(after)])


def without_profile(data: bytes, profile: str) -> bytes:
    """Return the file without the credentials that we wrote into a profile, if we did."""
    parsed = _parse(data)
    section = _find(parsed, profile)
    if section is None:
        return data
    before, header, body, after = _split(parsed, section)
    if not any(line.is_ours for line in body):
        return data
    kept = _without(body, OWNED)
    # What is left of a profile stays one; an indented header needs one before it, see above.
    needed = any(line.belongs_to_an_option for line in kept) or (after and after[0].indent)
    upper = [header.raw] if needed else []
    return b"".join([*_raws(before), *upper, *_raws(kept), *_raws(after)])


def profiles_of_ours(data: bytes) -> dict[str, str]:
    """Return the profiles whose credentials we wrote, and when each says that they expire."""
    parsed = _parse(data)
    found = {}
    for name in dict.fromkeys(line.name for line in parsed if line.kind is _Kind.HEADER):
        section = _find(parsed, name)
        assert section is not None  # noqa: S101  # the name is of a header
        _, _, body, _ = _split(parsed, section)
        comments = (_COMMENT_OF_OURS.match(line.raw.strip()) for line in body)
        if comment := next(filter(None, comments), None):
            found[name] = _decoded(comment[1])
    return found


def standing_in_the_way(data: bytes, profile: str) -> tuple[str, ...]:
    """Return what the profile holds that ours would destroy for good, or that would win over it."""
    parsed = _parse(data)
    section = _find(parsed, profile)
    if section is None:
        return ()
    _, _, body, _ = _split(parsed, section)
    options = {line.name for line in body if line.kind is _Kind.OPTION}
    found = [kind for key, kind in _OTHER_SOURCES.items() if key in options]
    ours = any(line.is_ours for line in body)
    if not ours and _ACCESS_KEY_ID in options and not options.intersection(_TOKENS):
        found.append(_LONG_LIVED)
    return tuple(dict.fromkeys(found))


def _parse(data: bytes) -> list[_Line]:
    return list(_lines(data))


def _lines(data: bytes) -> Iterator[_Line]:
    option, option_indent = "", -1
    for raw in data.splitlines(keepends=True):
        # As text, since configparser takes every blank of Unicode for one.
        line = _decoded(raw).removeprefix(_BYTE_ORDER_MARK)
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        header = _HEADER.match(text)
        if not text or text[0] in "#;":
            yield _Line(raw, _Kind.OTHER)
        elif option and indent > option_indent:
            yield _Line(raw, _Kind.CONTINUED, option)
        elif header is not None:
            option, option_indent = "", -1
            yield _Line(raw, _Kind.HEADER, header[1].strip())
        else:
            option, option_indent = re.split("[=:]", text)[0].strip().lower(), indent
            yield _Line(raw, _Kind.OPTION, option)


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _find(parsed: Sequence[_Line], profile: str) -> int | None:
    found = (
        index
        for index in reversed(range(len(parsed)))
        if parsed[index].kind is _Kind.HEADER and parsed[index].name == profile
    )
    return next(found, None)


def _split(
    parsed: list[_Line], section: int
) -> tuple[list[_Line], _Line, list[_Line], list[_Line]]:
    """Return what stands before a section, its header, its body, and what stands after it."""
    following = (
        index for index in range(section + 1, len(parsed)) if parsed[index].kind is _Kind.HEADER
    )
    end = next(following, len(parsed))
    return parsed[:section], parsed[section], parsed[section + 1 : end], parsed[end:]


def _without(body: Sequence[_Line], dropped: Collection[str]) -> list[_Line]:
    return [
        line
        for line in body
        if not line.is_ours and not (line.belongs_to_an_option and line.name in dropped)
    ]


def _named(header: _Line, profile: str) -> bytes:
    """Return the header so that nobody reads another name.

    botocore keeps spaces inside it, and reads on to the last bracket of the line.
    """
    exact = f"[{profile}]".encode()
    if exact in header.raw and header.raw.count(b"]") == 1:
        return header.raw
    return header.indent + exact + header.ending


def _appendix(parsed: Sequence[_Line], profile: str, lines: Sequence[str]) -> bytes:
    newline = next((line.ending for line in parsed if line.ending), b"\n")
    gap = b""
    if parsed:
        gap = b"" if parsed[-1].ending else newline
        gap += newline if parsed[-1].raw.strip() else b""
    return gap + b"".join(line.encode() + newline for line in (f"[{profile}]", *lines))


def _raws(lines: Sequence[_Line]) -> list[bytes]:
    return [line.raw for line in lines]
