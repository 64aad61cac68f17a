"""How an abuser talks: bytes at its own pace, over a socket that it may leave in any way."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from tests.abuse.abuse import GONE, Abuse, Outcome
from tests.wire.talking import Answer, NoAnswerError, Place, parse_head

PATIENCE_SECONDS = 15.0
"""How much longer than it must last anything is waited for: machines are noisy."""

_WITHOUT_BODY = (204, 304)
_BLANK_LINE = b"\r\n\r\n"
_SMALL_BUFFER = 4096


@dataclass(frozen=True, slots=True)
class Heard:
    """All that came: `end` is `closed`, `kept`, or `waiting` where patience ended first."""

    said: bytes
    end: str
    seconds: float


def talk(place: Place, abuse: Abuse, outcomes: Iterable[Outcome]) -> Heard:
    """Do what an abuse is, and return what came of it. The abuse is filled already."""
    began = time.monotonic()
    connection = socket.socket()
    if abuse.unread_seconds:
        # Before the connection is made, so that the kernel does not offer more.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
    with connection:
        connection.settimeout(PATIENCE_SECONDS + abuse.least_seconds)
        connection.connect((place.host, place.port))
        said = bytearray()
        _send(connection, abuse, said)
        if abuse.end in GONE:
            return Heard(b"", "closed", 0.0)
        end = _hear(connection, _kept_after(outcomes), said)
        return Heard(bytes(said), end, time.monotonic() - began)


def _send(connection: socket.socket, abuse: Abuse, said: bytearray) -> None:
    """Send it all, or as much as the daemon puts up with; add what it says meanwhile."""
    with suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
        if abuse.unread_seconds:
            _send_without_reading(connection, abuse)
        else:
            connection.sendall(abuse.sent.encode("latin-1"))
        _drip(connection, abuse, said)
        _leave(connection, abuse.end)


def _send_without_reading(connection: socket.socket, abuse: Abuse) -> None:
    connection.settimeout(abuse.unread_seconds)
    began = time.monotonic()
    # A daemon that stops reading as long as it cannot write is right to.
    with suppress(TimeoutError):
        connection.sendall(abuse.sent.encode("latin-1"))
    time.sleep(max(0.0, began + abuse.unread_seconds - time.monotonic()))
    connection.settimeout(PATIENCE_SECONDS)


def _drip(connection: socket.socket, abuse: Abuse, said: bytearray) -> None:
    for byte in abuse.drip.encode("latin-1"):
        connection.sendall(bytes([byte]))
        if select.select([connection], [], [], abuse.every_seconds)[0]:
            part = connection.recv(65536)
            if not part:
                return
            said += part


def _leave(connection: socket.socket, end: str) -> None:
    if end == "half-close":
        connection.shutdown(socket.SHUT_WR)
    if end == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _kept_after(outcomes: Iterable[Outcome]) -> int | None:
    """Return how many answers there are on a connection that may be kept after them."""
    return next((len(each.answers) for each in outcomes if each.end == "kept"), None)


def _hear(connection: socket.socket, kept_after: int | None, said: bytearray) -> str:
    """Add what comes until the connection ends, or is seen to be kept; return which."""
    kept = False
    while True:
        if not kept and kept_after is not None and _seems_kept(bytes(said), kept_after):
            kept = True
            # It may end now; should there be more to come, it comes before.
            connection.shutdown(socket.SHUT_WR)
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            part = b""
        except TimeoutError:
            return "waiting"
        if not part:
            return "kept" if kept else "closed"
        said += part


def _seems_kept(said: bytes, answers: int) -> bool:
    """Whether so many answers are there, the last of which does not announce the end."""
    # Cheaper than to read a thousand answers again for each that comes.
    if said.count(b"HTTP/1.") < answers:
        return False
    found, _ = split(said)
    if len(found) < answers or not found:
        return False
    announced = (found[-1].one("Connection") or "").lower()
    return announced == "keep-alive" if found[-1].version == "HTTP/1.0" else announced != "close"


def split(said: bytes) -> tuple[list[Answer], bytes]:
    """Return the answers, and what is left over that is no whole one.

    Raises `NoAnswerError` for what is no HTTP, or has not one length.
    """
    answers: list[Answer] = []
    begin = 0
    while (end := said.find(_BLANK_LINE, begin)) >= 0:
        version, status, headers = parse_head(said[begin:end])
        head = Answer(version, status, headers, b"")
        body = end + len(_BLANK_LINE)
        last = body + _body_bytes(head)
        if last > len(said):
            break
        answers.append(Answer(version, status, headers, said[body:last]))
        begin = last
    return answers, said[begin:]


def _body_bytes(head: Answer) -> int:
    if head.status < 200 or head.status in _WITHOUT_BODY:
        return 0
    length = head.one("Content-Length") or ""
    if not length.isdecimal():
        raise NoAnswerError(f"Content-Length is {head.all('Content-Length')}")
    return int(length)
