"""The only module of the door that knows aiohttp: what is not plain is answered here.

It is imported once the door is open, beside the loop: of a start, that would be the longest part.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from aiohttp import HttpVersion, HttpVersion10, HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from yarl import URL

from imdsd.endpoints.door.heads import NO_HTTP, PARSED_LINES, TOO_LARGE, refused
from imdsd.endpoints.door.limits import BODY_BYTES, FIELD_BYTES, LINE_BYTES, Limits
from imdsd.endpoints.door.quick import SERVERS, Endpoint
from imdsd.endpoints.door.table import LATE_SECONDS, SWEEP_SECONDS
from imdsd.endpoints.events import EventsEndpoint
from imdsd.endpoints.guards import Refusal, refusal
from imdsd.endpoints.message import Answer, Request, error_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import StreamReader
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http import RawRequestMessage
    from aiohttp.web_response import StreamResponse

    from imdsd.endpoints.door.connection import Connection
    from imdsd.telemetry.metrics import Metrics

# aiohttp's own error log repeats what a client sent; what matters is counted.
_SILENT = logging.getLogger("imdsd.endpoints.door.silent")
_SILENT.disabled = True

# What aiohttp calls the method of a request that it could not parse.
_UNPARSABLE = "UNKNOWN"
# A target is read by our own routes, as it was sent; decoding a host in it can fail.
_NO_URL = URL()
_VERSION = web.RequestKey("version", HttpVersion)  # as the client spoke it

_TOO_SLOW = Answer(408)


class _Handler(RequestHandler):
    """aiohttp's handler with our limits, which tells a client nothing of what it sent."""

    def __init__(
        self,
        server: web.Server,
        connection: Connection,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            logger=_SILENT,
            # The table ends idle connections, and knows whose turn it is.
            keepalive_timeout=2 * limits.idle_seconds,
            max_line_size=LINE_BYTES,
            max_field_size=FIELD_BYTES,
            max_headers=PARSED_LINES,
            lingering_time=limits.farewell_seconds,
            auto_decompress=False,
        )
        self.connection = connection

    def data_received(self, data: bytes) -> None:
        """Read on; called by the connection, and by aiohttp for what it had put aside."""
        try:
            super().data_received(data)
        except ValueError:
            # The pure-Python parser has int() read any length; that takes 4300 digits at most.
            self.connection.unreadable(is_answered=False)

    def handle_error(
        self,
        request: BaseRequest,  # noqa: ARG002
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> StreamResponse:
        """Answer what could not be parsed, or a bug, without an echo."""
        if of_client := status < 500:  # noqa: PLR2004
            self.connection.unreadable(is_answered=True)
        response = _response(Answer(400 if of_client else 503), "imdsd")
        response.force_close()
        self.connection.work()
        self.connection.answered()
        return response


class Handling:
    """Have aiohttp read requests and write answers; `route` gives an endpoint for a path."""

    def __init__(
        self,
        route: Callable[[str], tuple[str, Endpoint]],
        *,
        limits: Limits,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._route = route
        self._limits = limits
        self._metrics = metrics
        self._loop = loop
        self._server = web.Server(self._handle, request_factory=self._request, loop=loop)

    def handler(self, connection: Connection) -> RequestHandler:
        """Return what reads a connection from now on."""
        return _Handler(self._server, connection, limits=self._limits, loop=self._loop)

    async def close(self, *, grace_seconds: float) -> None:
        """Let requests in flight finish for a while."""
        self._server.pre_shutdown()
        await self._server.shutdown(grace_seconds)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> BaseRequest:
        """Have what is no HTTP answered in HTTP/1.1, not in the version it made up."""
        spoken = message.version
        if spoken != HttpVersion10 or message.method == _UNPARSABLE:
            message = message._replace(version=HttpVersion11)
        message = message._replace(url=_NO_URL)
        request = BaseRequest(message, payload, protocol, writer, task, self._loop)
        request[_VERSION] = spoken
        return request

    async def _handle(self, incoming: BaseRequest) -> web.Response:
        handler = incoming.protocol
        assert isinstance(handler, _Handler)  # noqa: S101  # the only kind there is
        connection = handler.connection
        path, _, query = incoming.raw_path.partition("?")
        name, endpoint = self._route(path)
        body = await _take_in(incoming, connection, invited=isinstance(endpoint, EventsEndpoint))
        if isinstance(body, Answer):
            answer, ends = body, True
        else:
            request = Request(incoming.method, path, incoming.headers, connection, body, query)
            answer, ends = await self._answer(request, name, endpoint)
            # Behind a body nobody can tell when the next head began, which has a deadline.
            ends = ends or (bool(body) and not connection.is_clear_behind(body))
        self._metrics.answered(name, answer.status)
        response = _response(answer, SERVERS[name])
        # The real metadata service closes too: a client that leaves an answer unread, as the
        # JavaScript SDK does with errors, would keep its process alive until we do.
        if ends or name == "imds" or connection.half_closed:
            response.force_close()
        connection.answered()
        return response

    async def _answer(self, request: Request, name: str, endpoint: Endpoint) -> tuple[Answer, bool]:
        """Return the answer, and whether the connection has to end with it."""
        found = refusal(request)
        if found is None:
            return await endpoint.answer(request), False
        self._metrics.refused(found.guard)
        return _refused(name, found), found.ends_connection


async def _take_in(
    incoming: BaseRequest, connection: Connection, *, invited: bool
) -> bytes | Answer:
    """Return a request's body, or the refusal of one that is no HTTP, too large or too slow."""
    due = connection.asked(incoming.content)
    if (refusal_of_head := refused(incoming, incoming[_VERSION])) is not None:
        return refusal_of_head
    # A client that expects "100 Continue" sends its body only after an answer, if at all; after
    # CONNECT comes no body but a tunnel, without an end.
    waits = "Expect" in incoming.headers and not invited
    if not incoming.can_read_body or waits or incoming.method == "CONNECT":
        return b""
    connection.read_body()
    try:
        async with _until(due):
            await _invite(incoming)
            return await _read(incoming.content)
    except TimeoutError:
        return _TOO_SLOW
    except (HttpProcessingError, web.RequestPayloadError):
        return NO_HTTP
    finally:
        connection.work()


@contextlib.asynccontextmanager
async def _until(due: float) -> AsyncIterator[None]:
    """Raise TimeoutError when it is due, by the loop; if that stood still, hear clients first."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as timeout:

        def end() -> None:
            now = loop.time()
            timeout.reschedule(now + SWEEP_SECONDS if now - due > LATE_SECONDS else now)

        ends = loop.call_at(due, end)
        try:
            yield
        finally:
            ends.cancel()


async def _invite(incoming: BaseRequest) -> None:
    """Say "100 Continue" to a client that waits for it."""
    expected = incoming.headers.get("Expect", "").lower()
    if expected == "100-continue" and incoming.version >= HttpVersion11:
        await incoming.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # As aiohttp's own handler does: the answer has not begun.
        incoming.writer.output_size = 0


async def _read(body: StreamReader) -> bytes | Answer:
    taken = b""
    while chunk := await body.read(BODY_BYTES + 1 - len(taken)):
        taken += chunk
        if len(taken) > BODY_BYTES:
            return TOO_LARGE
    return taken


def _refused(endpoint: str, found: Refusal) -> Answer:
    # The real metadata service refuses with an empty body.
    if endpoint == "imds":
        return Answer(found.status)
    return error_answer(found.status, "Refused", found.message)


def _response(answer: Answer, server: str) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body)
    # Content-Length too: aiohttp leaves it out of an answer to HEAD that has no body.
    for name, value in answer.fields(server):
        response.headers[name] = value
    return response
