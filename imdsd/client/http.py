"""The only module that speaks HTTP as a client of our own daemon: one strict request at a time.

Python's http.client takes 20 ms to import, an eighth of what `credential-process` may take.
"""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imdsd.errors import NoDaemonError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imdsd.client.waiting import Deadline
    from imdsd.secret import Secret

_ANSWER_LIMIT = 1024 * 1024
_HEAD_END = b"\r\n\r\n"
_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,7})\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the daemon answered: a status and a JSON object."""

    status: int
    document: dict[str, Any]

    @property
    def message(self) -> str:
        """The error's sentence, or the bare status."""
        text = self.document.get("Message") or self.document.get("message")
        return str(text or f"the daemon answered {self.status}")

    @property
    def code(self) -> str:
        """The error's code, or nothing."""
        return str(self.document.get("Code") or self.document.get("code") or "")


@dataclass(frozen=True, slots=True)
class RawReply:
    """What the metadata service answered. The body may hold credentials, so it does not print."""

    status: int
    body: bytes = field(repr=False)


def request(
    address: tuple[str, int],
    method: str,
    path: str,
    *,
    bearer: Secret,
    deadline: Deadline,
    judge: Callable[[socket.socket], None],
    document: Mapping[str, object] | None = None,
) -> Reply:
    """Send one request, its body JSON if there is one, and read the answer before the deadline.

    `judge` sees the connected socket before anything is sent, and raises if nothing may be.
    Raises NoDaemonError when nobody answers in time, or not as the daemon does.
    """
    body = b"" if document is None else json.dumps(document).encode()
    headers = {
        "Authorization": bearer.reveal(),
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    try:
        head = _head(address, method, path, headers)
        answer = _converse(address, head + body, deadline=deadline, judge=judge)
        return _read_json(_parse(answer))
    except (OSError, ValueError) as error:
        raise _no_answer(address, error) from error


def request_raw(
    address: tuple[str, int],
    method: str,
    path: str,
    *,
    headers: Mapping[str, str],
    deadline: Deadline,
) -> RawReply:
    """Send one request without a body or a bearer, and read the answer before the deadline.

    Raises NoDaemonError as `request` does.
    """
    try:
        head = _head(address, method, path, {"Content-Length": "0", **headers})
        return _parse(_converse(address, head, deadline=deadline))
    except (OSError, ValueError) as error:
        raise _no_answer(address, error) from error


def _no_answer(address: tuple[str, int], error: Exception) -> NoDaemonError:
    return NoDaemonError(
        f"no answer from the daemon at {_written(address)}: {error}; see its log, and start it"
        " again if it hangs"
    )


def _head(address: tuple[str, int], method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = (
        f"{method} {path} HTTP/1.1",
        f"Host: {_written(address)}",
        *(f"{name}: {value}" for name, value in headers.items()),
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode("ascii")


def _converse(
    address: tuple[str, int],
    sent: bytes,
    *,
    deadline: Deadline,
    judge: Callable[[socket.socket], None] = lambda _connection: None,
) -> bytes:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    # Not create_connection: it resolves names, which our literals are not, and loads a codec.
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(_left(deadline))
        connection.connect(address)
        judge(connection)
        connection.sendall(sent)
        received = b""
        while not _is_whole(received):
            connection.settimeout(_left(deadline))
            part = connection.recv(65536)
            if not part:
                raise ValueError(f"it hung up after {len(received)} bytes")
            received += part
        return received


def _left(deadline: Deadline) -> float:
    if deadline.passed:
        raise TimeoutError("it took too long")
    return deadline.remaining_seconds


def _is_whole(received: bytes) -> bool:
    if len(received) > _ANSWER_LIMIT:
        raise ValueError(f"the answer is over {_ANSWER_LIMIT} bytes")
    head, end, body = received.partition(_HEAD_END)
    return bool(end) and len(body) >= _content_length(head)


def _content_length(head: bytes) -> int:
    lengths = _CONTENT_LENGTH.findall(head + b"\r\n")
    if len(lengths) != 1:
        raise ValueError(f"the answer has {len(lengths)} Content-Length headers, expected 1")
    return int(lengths[0])


def _parse(answer: bytes) -> RawReply:
    head, _, body = answer.partition(_HEAD_END)
    status = _STATUS_LINE.match(head + b"\r\n")
    if status is None:
        raise ValueError(f"the answer begins {head[:40]!r}, expected HTTP/1.1")
    return RawReply(int(status[1]), body[: _content_length(head)])


def _read_json(answer: RawReply) -> Reply:
    document = json.loads(answer.body)
    if not isinstance(document, dict):
        raise ValueError(f"the answer is a JSON {type(document).__name__}, expected an object")
    return Reply(answer.status, document)


def _written(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
