"""HTTP/1.1 as bytes: what is sent is exactly what a case says, what comes is taken as it came."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

PATIENCE_SECONDS = 10.0
_MOST_BYTES = 1 << 20


class NoAnswerError(Exception):
    """The service said nothing, or nothing that is HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came; `extra` is what came after the last byte it announced.

    `closed` is whether the service ended the connection then, None where nobody waited for it.
    """

    version: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    extra: bytes = b""
    closed: bool | None = None

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for each, value in self.headers if each.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        """Return the value of a header that is there once, else None."""
        found = self.all(name)
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service listens."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Place:
        """Return the place of a base URL; raise ValueError for what is none."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
            raise ValueError(f"the base URL is {url!r}, expected http://HOST or http://HOST:PORT")
        return cls(parts.hostname, parts.port or 80)

    @property
    def address(self) -> str:
        """The host as it stands in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def authority(self) -> str:
        """What a client that was told this URL writes into Host."""
        return self.address if self.port == 80 else f"{self.address}:{self.port}"


def exchange(
    place: Place, sent: bytes, *, answers: int = 1, to_head: bool = False, to_end: bool = True
) -> tuple[Answer, ...]:
    """Send these bytes and return so many final answers.

    An answer to a HEAD has no body, whatever it announces. With `to_end` the end of the
    connection is waited for, and what comes before it is the last answer's `extra`. Raises
    `NoAnswerError`, and OSError where nobody can be reached.
    """
    with socket.create_connection((place.host, place.port), timeout=PATIENCE_SECONDS) as connection:
        reader = _Reader(connection)
        # It may be refused in the middle; the answer may be there already.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent)
        found = [reader.answer(to_head=to_head) for _ in range(answers)]
        extra, closed = reader.rest(to_end=to_end)
    last = found[-1]
    found[-1] = Answer(last.version, last.status, last.headers, last.body, extra, closed)
    return tuple(found)


class _Reader:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._held = b""
        self._ended = False

    def answer(self, *, to_head: bool) -> Answer:
        """Return the next final answer; one that only announces it is passed over."""
        while True:
            head = self._until_blank_line()
            version, status, headers = parse_head(head)
            if status >= 200:
                break
        found = Answer(version, status, headers, b"")
        if to_head or status in (204, 304):
            return found
        return Answer(version, status, headers, self._body(found.one("Content-Length")))

    def rest(self, *, to_end: bool) -> tuple[bytes, bool | None]:
        """Return what came beyond the answers, and whether the connection has ended."""
        if not to_end:
            self._connection.settimeout(0)
            self._more()
            return self._held, self._ended or None
        while self._more():
            pass
        return self._held, self._ended

    def _body(self, length: str | None) -> bytes:
        # Without a length it ends with the connection, and is a failure in any case.
        size = int(length) if length and length.isdecimal() else _MOST_BYTES
        while len(self._held) < size and self._more():
            pass
        body, self._held = self._held[:size], self._held[size:]
        return body

    def _until_blank_line(self) -> bytes:
        while b"\r\n\r\n" not in self._held:
            if not self._more():
                end = "the connection ended" if self._ended else f"{PATIENCE_SECONDS:g} s went by"
                raise NoAnswerError(f"{end} after {self._held[:80]!r}, expected an answer")
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        return head

    def _more(self) -> bool:
        """Take what comes next; say whether there was anything."""
        try:
            part = self._connection.recv(65536)
        except ConnectionResetError:
            part = b""
        except (TimeoutError, BlockingIOError):
            return False
        self._held += part
        self._ended = not part
        return bool(part) and len(self._held) < _MOST_BYTES


def parse_head(head: bytes) -> tuple[str, int, tuple[tuple[str, str], ...]]:
    """Return version, status and headers; raise `NoAnswerError` for what is no HTTP."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/") or not (status.isascii() and status.isdecimal()):
        raise NoAnswerError(f"the answer begins with {first[:80]!r}, expected a status line")
    pairs = (line.partition(":") for line in lines)
    return version, int(status), tuple((name, value.strip(" \t")) for name, _, value in pairs)
