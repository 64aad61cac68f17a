"""A request and an answer, as every endpoint sees them, whatever carried the bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

# No charset: with one, the Go v2 SDK prints the raw body instead of the message.
JSON = "application/json"
TEXT = "text/plain"
OCTETS = "application/octet-stream"

RETRY_SOON = ("Retry-After", "1")
READ_METHODS = ("GET", "HEAD")


class Connection(Protocol):
    """What an endpoint may ask about the connection a request came by."""

    @property
    def hosts(self) -> frozenset[str]:
        """The values of `Host` that mean this listener."""
        ...

    def imds_allowed(self) -> bool:
        """Whether the peer may use the metadata service, by the kernel's word."""
        ...

    def user(self) -> str:
        """Name the peer's user, by the kernel's word; `unknown` where it cannot tell."""
        ...


@dataclass(slots=True)
class Request:
    """One request, its path and query raw. The body is whole, and does not print.

    Nobody changes one. It is not frozen, which would make each several times as dear to build.
    """

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    connection: Connection
    body: bytes = field(default=b"", repr=False)
    query: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. The body may hold credentials, so it does not print."""

    status: int
    body: bytes = field(default=b"", repr=False)
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()
    # Beside the answer itself, so that no secret of it is kept for longer than it is.
    _written: dict[tuple[str, bool], tuple[bytes, bytes]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def fields(self, server: str) -> list[tuple[str, str]]:
        """Return the header fields that every answer has, and its own."""
        return [
            ("Content-Type", self.content_type),
            ("Server", server),
            ("Content-Length", str(len(self.body))),
            *self.headers,
        ]

    def written(self, server: str, *, ends_connection: bool) -> tuple[bytes, bytes]:
        """Return it in HTTP/1.1: the status line, and all behind it; a `Date` goes in between."""
        key = server, ends_connection
        if (written := self._written.get(key)) is None:
            fields = self.fields(server) + [("Connection", "close")] * ends_connection
            head = "".join(f"{name}: {value}\r\n" for name, value in fields)
            status = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
            written = status.encode(), f"{head}\r\n".encode() + self.body
            self._written[key] = written
        return written


def json_answer(status: int, document: object, *headers: tuple[str, str]) -> Answer:
    """Return a one-line JSON answer that is not to be stored."""
    body = json.dumps(document, separators=(", ", ": ")).encode()
    return Answer(status, body, JSON, (("Cache-Control", "no-store"), *headers))


def error_document(code: str, message: str) -> dict[str, str]:
    """Return the four keys of an error body.

    JavaScript v3 reads Pascal case, Java and Go v1 lower case; botocore prints the raw text.
    """
    return {"Code": code, "Message": message, "code": code, "message": message}


def error_answer(status: int, code: str, message: str, *headers: tuple[str, str]) -> Answer:
    """Return an error as the container endpoint and the ops endpoint word it."""
    return json_answer(status, error_document(code, message), *headers)


def method_not_allowed(*allowed: str) -> Answer:
    """Return 405 for a JSON endpoint."""
    methods = ", ".join(allowed)
    return error_answer(405, "MethodNotAllowed", f"use {methods}", ("Allow", methods))
