"""The only module that knows how our lines are marked off in a file of somebody else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from imdsd.errors import InstallError

BEGIN = b"# >>> imdsd >>>"
END = b"# <<< imdsd <<<"
_NOTE = b"# Written by `imdsd install`; `imdsd uninstall` takes it out again."
# In the first line, so that the file gets back its end without a newline.
_UNENDED = b" (the line before had no newline)"

_BLOCK = re.compile(
    rb"^" + re.escape(BEGIN) + rb"(?P<unended>" + re.escape(_UNENDED) + rb")?(?P<line_end>\r?\n)"
    rb".*?^" + re.escape(END) + rb"(?:\r?\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
_MARK = re.compile(
    rb"^(?:" + re.escape(BEGIN) + rb"|" + re.escape(END) + rb")[^\n]*$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of ours in a file; the rest of it stays as it is, byte for byte.

    With `follows_line_ends` they end as the file's own lines do.
    """

    lines: bytes
    follows_line_ends: bool = False
    kind: str = "block"

    def apply(self, before: bytes | None) -> bytes:
        """Return the file with the block in it, at its end or where it is already."""
        before = before or b""
        found = find(before)
        if found is not None:
            first = BEGIN + (found["unended"] or b"")
            block = self._block(first, line_end=found["line_end"])
            return before[: found.start()] + block + before[found.end() :]
        line_end = _line_end(before) if self.follows_line_ends else b"\n"
        if not before or before.endswith(b"\n"):
            return before + self._block(BEGIN, line_end=line_end)
        return before + line_end + self._block(BEGIN + _UNENDED, line_end=line_end)

    def _block(self, first: bytes, *, line_end: bytes) -> bytes:
        lines = self.lines.rstrip(b"\n").split(b"\n")
        return line_end.join((first, _NOTE, *lines, END, b""))


def without_block(content: bytes) -> bytes:
    """Return a file without our block, as it was before."""
    found = find(content)
    if found is None:
        return content
    head, tail = content[: found.start()], content[found.end() :]
    if found["unended"] is not None and not tail:
        head = head.removesuffix(found["line_end"])
    return head + tail


def find(content: bytes) -> re.Match[bytes] | None:
    """Return our block in a file; raises InstallError where its marks are not one pair."""
    marks = list(_MARK.finditer(content))
    if not marks:
        return None
    found = _BLOCK.search(content)
    if found is None or len(marks) != len(_MARK.findall(found[0])) or len(marks) > 2:  # noqa: PLR2004  # a pair
        line = content.count(b"\n", 0, marks[0].start()) + 1
        raise InstallError(
            f"line {line}: the marks {BEGIN.decode()!r} and {END.decode()!r} are not one pair;"
            " take out by hand what stands between them, and the marks"
        )
    return found


def _line_end(content: bytes) -> bytes:
    """Return how the lines of a file end, most of them."""
    return b"\r\n" if 2 * content.count(b"\r\n") > content.count(b"\n") else b"\n"
