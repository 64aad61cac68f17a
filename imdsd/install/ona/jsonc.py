"""The only module that knows where the values of a JSON file with comments stand in its text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from imdsd.errors import ConfigurationError, Problem, tidy

if TYPE_CHECKING:
    from collections.abc import Mapping

_BLANK = " \t\r\n"
_STRING = r'"(?:[^"\\\r\n]|\\.)*"'
_COMMENT = re.compile(rf"{_STRING}|//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_LAST_COMMA = re.compile(rf"{_STRING}|(?<![{{\[,:]),(?=[{_BLANK}]*[}}\]])")


@dataclass(frozen=True, slots=True)
class Member:
    """A name and its value; from `start` to `end`, the value itself from `at`."""

    name: str
    value: object
    start: int
    at: int
    end: int


@dataclass(frozen=True, slots=True)
class Jsonc:
    """A text that was read; in `bare` its comments are spaces, in `flat` its last commas too."""

    text: str
    bare: str
    flat: str
    value: object

    @property
    def newline(self) -> str:
        """How the file ends its lines."""
        first = self.text.find("\n")
        return "\r\n" if self.text[max(first - 1, 0) : first] == "\r" else "\n"

    @property
    def root(self) -> int:
        """Where the outermost value begins."""
        return _skip(self.flat, 0)

    def members(self, at: int) -> list[Member]:
        """Return the members of the object that begins at a position."""
        found = []
        position = _skip(self.flat, at + 1)
        while self.flat[position] == '"':
            name, end = _DECODER.raw_decode(self.flat, position)
            begin = _skip(self.flat, _skip(self.flat, end) + 1)
            value, end = _DECODER.raw_decode(self.flat, begin)
            found.append(Member(name, value, position, begin, end))
            position = _skip(self.flat, end)
            if self.flat[position] == ",":
                position = _skip(self.flat, position + 1)
        return found

    def comma_after(self, member: Member) -> int | None:
        """Return where the comma after a member stands, a last one too."""
        position = _skip(self.bare, member.end)
        return position if self.bare[position] == "," else None

    def closing(self, at: int) -> int:
        """Return where the brace stands that closes the object at a position."""
        return int(_DECODER.raw_decode(self.flat, at)[1]) - 1

    def line_start(self, position: int) -> int:
        """Return where the line of a position begins; a comment's inner line ends are none."""
        return self.bare.rfind("\n", 0, position) + 1

    def indentation(self, position: int) -> str | None:
        """Return what stands before a position on its line, if that is nothing but blanks."""
        before = self.text[self.line_start(position) : position].lstrip("\ufeff")
        return before if not before.strip(_BLANK) else None

    def line(self, position: int) -> int:
        """Return the number of the line of a position."""
        return self.text.count("\n", 0, position) + 1


def parse(text: str, *, source: str) -> Jsonc:
    """Read JSON with comments and last commas, otherwise as strict as JSON is.

    Raises ConfigurationError with the line of what is wrong.
    """
    bare = _COMMENT.sub(_spaces, text.replace("\ufeff", " ", text.startswith("\ufeff")))
    flat = _LAST_COMMA.sub(_spaces, bare)
    begin = _skip(flat, 0)
    try:
        value, end = _DECODER.raw_decode(flat, begin)
        if _skip(flat, end) < len(flat):
            raise json.JSONDecodeError("something after the end", flat, _skip(flat, end))
    except json.JSONDecodeError as error:
        _refuse(source, text, error.pos, found=error.msg)
    except StopIteration as error:
        _refuse(source, text, error.value, found="no value")
    except RecursionError:
        _refuse(source, text, begin, found="too many levels")
    except ValueError as error:
        _refuse(source, text, flat.find(str(error)), found=str(error))
    return Jsonc(text, bare, flat, value)


def with_members(document: Jsonc, at: int, added: Mapping[str, object]) -> str:
    """Return the text with members added to the end of an object, in the style of the file."""
    text, newline = document.text, document.newline
    close = document.closing(at)
    last = next(iter(reversed(document.members(at))), None)
    comma = document.comma_after(last) if last else None
    start = document.line_start(close)
    own_line = document.indentation(close) is not None and start > (last.end if last else at)
    indent = document.indentation(last.start) if last else _inner_indent(document, at)
    if last and (indent is None or not own_line):
        words = ", ".join(f"{json.dumps(name)}: {json.dumps(added[name])}" for name in added)
        point = last.end if comma is None else comma + 1
        joined = f", {words}" if comma is None else f" {words},"
        return text[:point] + joined + text[point:]
    lines = _lines(document, added, indent or "", last_comma=comma is not None)
    if own_line:
        text = text[:start] + lines + text[start:]
    else:
        kept = text[at + 1 : close].rstrip(_BLANK)
        base = _line_indent(document, at)
        text = f"{text[: at + 1]}{kept}{newline}{lines}{base}{text[close:]}"
    if last and comma is None:
        text = f"{text[: last.end]},{text[last.end :]}"
    return text


def without_member(document: Jsonc, at: int, name: str) -> str:
    """Return the text without a member of an object, nor its lines if it has them to itself."""
    members = document.members(at)
    place = next(index for index, each in enumerate(members) if each.name == name)
    cuts = _cuts(document, members, place)
    if len(members) == 1:
        cuts = [_whole_inside_if_blank(document, at, cuts[0])]
    text = document.text
    for start, end in reversed(cuts):
        text = text[:start] + text[end:]
    return text


def _cuts(document: Jsonc, members: list[Member], place: int) -> list[tuple[int, int]]:
    """Return what to cut out, in order, so that a member and one comma are gone."""
    text, member = document.text, members[place]
    before = members[place - 1] if place else None
    comma = document.comma_after(member)
    end = member.end if comma is None else comma + 1
    line_end = _next_line(document, end)
    if document.indentation(member.start) is not None and line_end is not None:
        own = [(document.line_start(member.start), line_end)]
    elif comma is None:
        own = [(member.start, end)]
    elif before and not text[before.end : member.start].strip(_BLANK + ","):
        return [(before.end, member.end)]
    else:
        own = [(member.start, end + len(text[end:]) - len(text[end:].lstrip(" \t")))]
    separator = document.comma_after(before) if before and comma is None else None
    if separator is None:
        return own
    between = text[separator + 1 : member.start]
    if own[0][0] == member.start and not between.strip(_BLANK):
        return [(separator, member.end)]
    return [(separator, separator + 1), *own]


def _whole_inside_if_blank(document: Jsonc, at: int, cut: tuple[int, int]) -> tuple[int, int]:
    """Return the cut widened to both braces if nothing would be left between them."""
    close = document.closing(at)
    left = document.text[at + 1 : cut[0]] + document.text[cut[1] : close]
    return cut if left.strip(_BLANK) else (at + 1, close)


def _next_line(document: Jsonc, position: int) -> int | None:
    """Return where the next line begins, if nothing stands before it on this one."""
    end = document.bare.find("\n", position)
    if end < 0 or document.text[position:end].strip(_BLANK):
        return None
    return end + 1


def _lines(document: Jsonc, added: Mapping[str, object], indent: str, *, last_comma: bool) -> str:
    step = _step(document)
    shown = [
        f"{json.dumps(name)}: {json.dumps(value, indent=step)}" for name, value in added.items()
    ]
    joined = ",\n".join(shown) + ("," if last_comma else "")
    lines = [indent + line for line in joined.split("\n")]
    return document.newline.join([*lines, ""])


def _inner_indent(document: Jsonc, at: int) -> str:
    return _line_indent(document, at) + _step(document)


def _line_indent(document: Jsonc, position: int) -> str:
    line = document.text[document.line_start(position) : position].lstrip("\ufeff")
    return line[: len(line) - len(line.lstrip(" \t"))]


def _step(document: Jsonc) -> str:
    """Return by how much the file indents."""
    first = next(iter(document.members(document.root)), None)
    return (document.indentation(first.start) if first else None) or "  "


def _spaces(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith('"') else " " * len(found[0])


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANK:
        position += 1
    return position


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse(source: str, text: str, position: int, *, found: str) -> NoReturn:
    line = text.count("\n", 0, position) + 1
    near = tidy(text[position : position + 20]) or "the end of the file"
    raise ConfigurationError(
        (
            Problem(
                f"{source}:{line}",
                "JSON",
                f"{found[:1].lower()}{found[1:]}, at {near!r}",
                "JSON, which may have comments",
                "nothing was changed",
            ),
        )
    )


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
