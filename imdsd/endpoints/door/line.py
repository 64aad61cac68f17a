"""The only module that reads and writes sockets of clients: an accepted one becomes a transport.

It does what asyncio's own transport does, in one step where that takes a task and three turns of
the loop, and reads before it asks to be woken: a client of this machine has most often asked by
then. Most of what a new connection cost was there.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsd.endpoints.door.connection import Connection
    from imdsd.endpoints.door.poller import Poller

ACCEPTED_AT_ONCE = 8
"""How many connections are taken in before those that are open are heard again."""

HEARD_BYTES = 16 * 1024
"""How much of a client is read at a time, so that none has the loop for long."""

# The kernel's lack of something that passes: another try makes sense after a while.
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_EXHAUSTED_SECONDS = 1.0

_NAMES: dict[str, Callable[[socket.socket], object]] = {
    "sockname": socket.socket.getsockname,
    "peername": socket.socket.getpeername,
}


class _Listening(socket.socket):
    """Another descriptor of a listening socket; it knows what `accept` asks of it.

    Otherwise that looks up the family and the type, and their names, for each connection.
    """

    # Attributes of each instance, in the place of properties.
    family: socket.AddressFamily = socket.AF_UNSPEC
    type: socket.SocketKind = socket.SOCK_STREAM

    def __init__(self, original: socket.socket) -> None:
        super().__init__(original.family, original.type, original.proto, os.dup(original.fileno()))
        self.family, self.type = original.family, original.type
        self.settimeout(0)
        # What is accepted inherits it.
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Acceptor:
    """Takes in who connects to a listening socket, from the start until it is closed."""

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[], Connection],
        loop: asyncio.AbstractEventLoop,
        poller: Poller,
    ) -> None:
        self._listening = _Listening(listening)
        self._make_protocol = make_protocol
        self._loop = loop
        self._poller = poller
        self._again: asyncio.TimerHandle | None = None
        self._open()

    def close(self) -> None:
        """Accept no more: whoever was accepted is with its protocol, the others stay queued."""
        if self._again is not None:
            self._again.cancel()
        else:
            self._poller.unwatch(self._listening.fileno())
        self._listening.close()

    def _open(self) -> None:
        self._again = None
        self._poller.watch(self._listening.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                opened, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self._rest(error)
                return
            opened.settimeout(0)
            Line(opened, self._make_protocol(), self._loop, self._poller).open()

    def _rest(self, error: OSError) -> None:
        self._poller.unwatch(self._listening.fileno())
        self._again = self._loop.call_later(_EXHAUSTED_SECONDS, self._open)
        message = "socket.accept() out of system resource"
        self._loop.call_exception_handler({"message": message, "exception": error})


class Line(asyncio.Transport):
    """One accepted socket; whatever cannot be sent at once pauses its protocol."""

    __slots__ = ("_closing", "_eof_due", "_error", "_heard_eof", "_loop", "_opened", "_paused",
                 "_poller", "_protocol", "_unsent", "_watched")  # fmt: skip

    def __init__(
        self,
        opened: socket.socket,
        protocol: Connection,
        loop: asyncio.AbstractEventLoop,
        poller: Poller,
    ) -> None:
        self._opened = opened
        self._protocol = protocol
        self._loop = loop
        self._poller = poller
        self._unsent = bytearray()
        self._watched = False
        self._paused = False
        self._closing = False
        self._heard_eof = False
        self._eof_due = False
        self._error: OSError | None = None

    def open(self) -> None:
        """Hear what is here already, tell the protocol, and go on hearing."""
        try:
            data = self._opened.recv(HEARD_BYTES)
        except OSError:  # nothing yet; or what hearing again will tell
            data = b""
        try:
            if not (data and self._protocol.answers_at_once(self, data)):
                self._protocol.connection_made(self)
                if data and not self._closing:
                    self._protocol.data_received(data)
        except Exception:
            # A bug of ours, as in `_hear`.
            self._lose(None)
            raise
        self._watch()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return the socket, or one of its two addresses."""
        if name == "socket":
            return self._opened
        try:
            return _NAMES[name](self._opened) if name in _NAMES else default
        except OSError:
            return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Change nothing: what cannot be sent at once pauses the protocol, always."""

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the client has to read before they can be sent."""
        return len(self._unsent)

    def is_closing(self) -> bool:
        """Whether this ends, or has."""
        return self._closing

    def is_reading(self) -> bool:
        """Whether the protocol would hear of new bytes."""
        return not (self._paused or self._closing or self._heard_eof)

    def pause_reading(self) -> None:
        """Leave what comes in the kernel."""
        self._paused = True
        self._watch()

    def resume_reading(self) -> None:
        """Hear what comes."""
        self._paused = False
        self._watch()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send; keep what the client does not take."""
        if self._closing or self._eof_due or not data:
            return
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._opened.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._lose(error)
            return
        if sent < len(data):
            self._unsent += memoryview(data)[sent:]
            self._loop.add_writer(self._opened.fileno(), self._send)
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        """Return that it can."""
        return True

    def write_eof(self) -> None:
        """Say that nothing follows, once all is sent; raises OSError where nobody is there."""
        if not self._closing and not self._eof_due:
            self._eof_due = True
            if not self._unsent:
                self._opened.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End, once all is sent."""
        if not self._closing:
            self._closing = True
            self._watch()
            if not self._unsent:
                self._poller.soon(self._lost)

    def abort(self) -> None:
        """End now."""
        self._lose(None)

    def _lose(self, error: OSError | None) -> None:
        waits = bool(self._unsent)
        if waits:
            self._loop.remove_writer(self._opened.fileno())
            self._unsent.clear()
        if waits or not self._closing:
            self._error = error
            self._poller.soon(self._lost)
        self._closing = True
        self._watch()

    def _lost(self) -> None:
        try:
            self._protocol.connection_lost(self._error)
        finally:
            self._opened.close()
            # Each holds the other, which would be left to the collector.
            del self._protocol

    def _hear(self) -> None:
        try:
            data = self._opened.recv(HEARD_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        try:
            if data:
                self._protocol.data_received(data)
            else:
                self._hear_eof()
        except Exception:
            # A bug of ours, which the loop tells of; this client can be helped no more.
            self._lose(None)
            raise

    def _hear_eof(self) -> None:
        self._heard_eof = True
        self._watch()
        if not self._protocol.eof_received():
            self.close()

    def _send(self) -> None:
        try:
            sent = self._opened.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._sent()

    def _sent(self) -> None:
        self._loop.remove_writer(self._opened.fileno())
        if self._closing:
            self._lost()
            return
        if self._eof_due:
            with contextlib.suppress(OSError):  # the words met nobody
                self._opened.shutdown(socket.SHUT_WR)
        self._protocol.resume_writing()

    def _watch(self) -> None:
        wanted = self.is_reading()
        if wanted and not self._watched:
            self._poller.watch(self._opened.fileno(), self._hear)
        elif self._watched and not wanted:
            self._poller.unwatch(self._opened.fileno())
        self._watched = wanted
