"""One connection: the transport's protocol, which lets aiohttp's handler see what may come in."""

from __future__ import annotations

import asyncio
import fcntl
import termios
from array import array
from functools import cached_property
from typing import TYPE_CHECKING

from imdsd.endpoints.door.farewells import FULL, HEAD_TOO_LARGE, NO_HTTP, TOO_SLOW
from imdsd.endpoints.door.limits import UNENDED_HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import StreamReader

    from imdsd.endpoints.door.table import ConnectionTable, Phase
    from imdsd.endpoints.guards import Listener
    from imdsd.host.peer import Peer


_BLANK_LINE = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """An accepted connection, from its first byte to its last, within the limits of the table."""

    # Of the class, as long as nothing else is to be said: most connections have one request.
    phase: Phase | None = None
    half_closed = False
    _handler: asyncio.Protocol | None = None
    _body: StreamReader | None = None  # of the latest request
    _heard = False  # anything of the request that is awaited
    _whole = False  # the head of a request that is not looked at yet
    _unended_bytes = 0  # since a head ended
    _early = b""  # came before anybody could read it
    _meant: Phase | None = None  # what is awaited once the client has read
    _recent = b""
    _parted = False
    _transport: asyncio.Transport

    def __init__(
        self,
        listener: Listener,
        table: ConnectionTable,
        answer_now: Callable[[bytes, Connection], tuple[bytes, bool] | None],
        make_handler: Callable[[Connection], asyncio.Protocol | None],
        *,
        closed: Callable[[str], None],
    ) -> None:
        """Take what answers plain requests, and the maker of what answers from the first other one.

        That gives None as long as it is not loaded, and has `go_on` called then. `closed` is told
        why a limit ended this.
        """
        self.hosts = listener.hosts
        self._listener = listener
        self._table = table
        self._answer_now = answer_now
        self._make_handler = make_handler
        self._closed = closed

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of a `Line`
        """Ask for a place; without one, the client is told once it has asked."""
        self._transport = transport
        if self._table.admit(self):
            return
        self._closed("full")
        if self._table.has_spare():
            self._table.enter(self, self._table.farewell)
        else:
            self._transport.abort()

    def answers_at_once(self, transport: asyncio.Transport, data: bytes) -> bool:
        """Answer who has asked a plain request by now, where there is room for all.

        False, and nothing done, otherwise: then `connection_made` has to come. Books are written
        once the answer is on its way.
        """
        self._transport = transport
        if not self._table.has_plenty() or (found := self._answer_now(data, self)) is None:
            return False
        words, ends = found
        transport.write(words)
        unread = transport.get_write_buffer_size()
        self._table.enter(self, self._table.write if unread else self._table.idle)
        if ends:
            transport.close()
        return True

    def data_received(self, data: bytes) -> None:
        """Hand bytes on; those of a client that has to go are let fall."""
        if self.phase is self._table.farewell:
            self._part(FULL)
            return
        if self._handler is None:
            if (found := self._answer_now(data, self)) is not None:
                self._say(*found)
                return
            # Not before: a flood of silent connections would have half of its price here.
            if (handler := self._make_handler(self)) is None:
                self._early = data
                self._transport.pause_reading()
                self.work()
                return
            self._handler = handler
            self._handler.connection_made(self._transport)
        if self.phase is self._table.idle:
            self._enter(self._table.head)
        self._heard = True
        if self._is_endless(data):
            self._closed("large_head")
            self._dismiss(HEAD_TOO_LARGE)
            return
        self._handler.data_received(data)

    def go_on(self) -> None:
        """Hear what came before there was a handler for it."""
        data, self._early = self._early, b""
        if self.phase is self._table.work:
            self._enter(self._table.head)
            self._transport.resume_reading()
            self.data_received(data)

    def eof_received(self) -> bool:
        """Keep the connection of a client that has said all and waits for its answer."""
        self.half_closed = True
        if self._handler is not None:
            self._handler.eof_received()
        return self.phase in (self._table.head, self._table.body, self._table.work) and (
            self._heard or self.phase is not self._table.head
        )

    def pause_writing(self) -> None:
        """Give the client its time to read."""
        if self._handler is not None:
            self._handler.pause_writing()
        else:
            self._transport.pause_reading()
        self._meant = self.phase
        self._enter(self._table.write)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        if self._handler is not None:
            self._handler.resume_writing()
        else:
            self._transport.resume_reading()
        if self._meant in (self._table.body, self._table.work):
            self._enter(self._meant)
        else:
            self.answered()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._table.leave(self)
        if self._handler is not None:
            # In a turn of its own: it may not have begun, which it must have to be able to end.
            asyncio.get_running_loop().call_soon(self._handler.connection_lost, exc)

    def asked(self, body: StreamReader) -> float:
        """Take note that a request's head is here; return when its end is due, by the loop."""
        self._body = body
        due = self._table.since(self) + self._table.limits.request_seconds
        self.work()
        # What is here behind a head that has no body is the beginning of the next one.
        self._heard = body.at_eof() and self._unended_bytes > 0
        return due

    def read_body(self) -> None:
        """Take note that a request's body is awaited."""
        self._enter(self._table.body)

    def work(self) -> None:
        """Take note that a request is whole: from now on the client waits for us."""
        self._heard = self._whole = False
        self._enter(self._table.work)

    def is_clear_behind(self, body: bytes) -> bool:
        """Whether nothing but this body, or a whole request, is here behind the last head."""
        return self._unended_bytes in (0, len(body))

    def answered(self) -> None:
        """Take note that an answer is given: the next request is awaited, or has begun."""
        self._enter(self._table.head if self._heard else self._table.idle)

    def unreadable(self, *, is_answered: bool) -> None:
        """Take note that what came is no HTTP, so that no endpoint counts it; answer if need be."""
        self._closed("malformed")
        if not is_answered:
            self._dismiss(NO_HTTP)

    def unread(self) -> bool:
        """Whether a request, of which nothing was read yet, waits in the socket's queue."""
        if self._heard:
            return False
        opened = self._transport.get_extra_info("socket")
        if opened is None or opened.fileno() < 0:
            return False
        count = array("i", [0])
        fcntl.ioctl(opened.fileno(), termios.FIONREAD, count)
        return count[0] > 0

    def overdue(self, phase: Phase) -> None:
        """End the connection: its time in this phase is over."""
        if phase is self._table.head and self._heard and not self._transport.is_closing():
            self._closed("slow_head")
            self._dismiss(TOO_SLOW)
            return
        reasons = {
            self._table.head: "silent",
            self._table.write: "slow_reader",
            self._table.idle: "idle",
        }
        if phase in reasons:
            self._closed(reasons[phase])
        self._transport.abort()

    def displaced(self) -> None:
        """End the connection: somebody else needs its place."""
        self._closed("displaced")
        self._transport.abort()

    def close(self) -> None:
        """End the connection: the daemon stops."""
        self._transport.abort()

    def imds_allowed(self) -> bool:
        """Whether the peer may use the metadata service, by the kernel's word."""
        return self._listener.imds_allowed(lambda: self._peer)

    def user(self) -> str:
        """Name the peer's user, by the kernel's word; `unknown` where it cannot tell."""
        return self._listener.user_of(self._peer)

    @property
    def uid(self) -> int | None:
        """The user at the other end, None where the kernel cannot tell."""
        return None if self._peer is None else self._peer.uid

    @cached_property
    def _peer(self) -> Peer | None:
        local = self._transport.get_extra_info("sockname")
        remote = self._transport.get_extra_info("peername")
        if local is None or remote is None:
            return None
        return self._listener.find_peer(local[:2], remote[:2])

    def _say(self, words: bytes, ends: bool) -> None:  # noqa: FBT001  # as the answer comes
        """Answer a plain request; as long as there was no other, no handler needs to know."""
        self._transport.write(words)
        if ends:
            self._transport.close()
        elif self.phase is not self._table.write:
            self._table.rest(self)

    def _is_endless(self, data: bytes) -> bool:
        """Whether so much of a head is here that nobody should keep more of it."""
        recent = self._recent + data
        before, ended, behind = recent.rpartition(_BLANK_LINE)
        self._recent = recent[-len(_BLANK_LINE) :]
        self._unended_bytes = len(behind) if ended else self._unended_bytes + len(data)
        self._whole = self._whole or bool(before.strip(b"\r\n"))  # empty lines are no head
        # What follows a whole head, and what an answer did not wait for, is no head yet.
        awaited = not self._whole and (self._body is None or self._body.is_eof())
        is_head = awaited and self.phase is self._table.head
        return is_head and self._unended_bytes > UNENDED_HEAD_BYTES

    def _enter(self, phase: Phase) -> None:
        # What has to go, or is gone, waits for nothing any more.
        if self.phase is None or self.phase is self._table.farewell:
            return
        if self.phase is self._table.write and self._transport.get_write_buffer_size():
            self._meant = phase
        else:
            self._table.enter(self, phase)

    def _dismiss(self, words: bytes) -> None:
        # Who errs may be many: no more of them may stay to read it than there is room for.
        if self._table.has_spare():
            self._table.enter(self, self._table.farewell)
            self._part(words)
            return
        self._table.leave(self)
        self._transport.write(words)
        # What the kernel does not take at once would keep the connection for as long as it likes.
        self._transport.abort()

    def _part(self, words: bytes) -> None:
        if not self._parted:
            self._parted = True
            self._transport.write(words)
            try:
                self._transport.write_eof()
            except OSError:  # the words met nobody: the client had closed
                self._transport.abort()
