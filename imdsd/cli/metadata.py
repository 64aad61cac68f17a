"""`imdsd metadata`: print what a client of the metadata service sees, value by value or all."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from imdsd.cli._asking import Caller
from imdsd.client.metadata import MetadataReader, request_path
from imdsd.errors import ImdsdError, NoCredentialsError

if TYPE_CHECKING:
    import argparse

    from imdsd.client.http import RawReply

_OK, _NOT_FOUND, _UNAVAILABLE = 200, 404, 503
_SHOWN_CHARACTERS = 72


def configure(parser: argparse.ArgumentParser) -> None:
    """Add `get` and `tree`, which is also what is done without a word."""
    words = parser.add_subparsers(dest="word", metavar="WORD", title="words")
    getting = "print what stands at a path, to the byte"
    get = words.add_parser("get", help=getting, description=f"P{getting[1:]}.", allow_abbrev=False)
    get.add_argument(
        "path",
        metavar="PATH",
        help="such as /latest/meta-data/placement/region or, in short, placement/region",
    )
    listing = "print every path with its value (default), credentials and documents left out"
    words.add_parser("tree", help=listing, description=f"P{listing[1:]}.", allow_abbrev=False)


def run(arguments: argparse.Namespace) -> int:
    """Print one value or all of them."""
    return perform(arguments, Caller.of_this_process())


def perform(arguments: argparse.Namespace, caller: Caller) -> int:
    """Do it on behalf of a caller; raises NoCredentialsError for a value that is to come."""
    reader = MetadataReader(caller.find_daemon())
    if arguments.word == "get":
        _print(_get(reader, arguments.path))
    else:
        for path in reader.leaves():
            if row := _row(reader, path):
                sys.stdout.write(row + "\n")
    return 0


def _print(body: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(body)
    # A value ends without a newline, and a prompt right behind it is no help.
    if sys.stdout.isatty() and not body.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def _get(reader: MetadataReader, typed: str) -> bytes:
    path = request_path(typed)
    reply = reader.read(path)
    if reply.status == _OK:
        return reply.body
    if reply.status == _NOT_FOUND:
        raise ImdsdError(_absent(reader, path))
    if reply.status == _UNAVAILABLE:
        raise NoCredentialsError(f"{path} is not known yet: {_said(reply)}; see `imdsd status`")
    raise ImdsdError(f"{path} was answered with {reply.status}; expected a path of the tree")


def _absent(reader: MetadataReader, path: str) -> str:
    """Say that there is nothing, with the nearest path that there is."""
    wanted = path.strip("/").partition("/")[2]
    leaves = list(reader.leaves())
    if wanted in leaves:
        return f"nothing is at {path}, though it is listed: configure it in [metadata]"
    near = _nearest(wanted, leaves)
    hint = f"did you mean {near}?" if near else "`imdsd metadata tree` shows what there is"
    return f"nothing is at {path}; {hint}"


def _nearest(wanted: str, leaves: list[str]) -> str | None:
    import difflib  # only on the way out

    last = wanted.rpartition("/")[2]
    same = [leaf for leaf in leaves if leaf.rpartition("/")[2] == last]
    if same:
        return min(same, key=len)
    folders = {folder for leaf in leaves if "/" in (folder := leaf.rpartition("/")[0])}
    # What they all begin with makes any two paths alike by half.
    near = difflib.get_close_matches(wanted, [*leaves, *sorted(folders)], n=1, cutoff=0.75)
    return near[0] if near else None


def _row(reader: MetadataReader, path: str) -> str | None:
    if "/security-credentials/" in path:
        return f"{_plain(path)}  (credentials, not shown)"
    reply = reader.read(request_path(f"latest/{path}"))
    if reply.status == _NOT_FOUND:
        return None
    shown = _value(path, reply.body) if reply.status == _OK else f"({reply.status}: {_said(reply)})"
    return f"{_plain(path)}  {shown}"


def _value(path: str, body: bytes) -> str:
    """Return a value on one line, or the size of what is to be read by machines."""
    is_document = body.startswith((b"{", b"[")) and b"\n" in body
    if path == "user-data" or is_document:
        return f"({len(body)} bytes)"
    text = body.decode("utf-8", "replace")
    first, _, more = text.partition("\n")
    return _shortened(first) + ("…" if more and len(first) <= _SHOWN_CHARACTERS else "")


def _said(reply: RawReply) -> str:
    return _shortened(reply.body.decode("utf-8", "replace").partition("\n")[0], most=400)


def _shortened(text: str, *, most: int = _SHOWN_CHARACTERS) -> str:
    plain = _plain(text)
    return plain if len(plain) <= most else f"{plain[:most]}…"


def _plain(text: str) -> str:
    """Return a text that a terminal takes for nothing else; values may come from elsewhere."""
    return "".join(character if character.isprintable() else "�" for character in text)
