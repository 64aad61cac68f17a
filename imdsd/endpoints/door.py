"""Every connection: limits, guards, and the hand-over between aiohttp and the endpoints."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from imdsd.endpoints import container
from imdsd.endpoints.guards import Listener, Refusal, refusal
from imdsd.endpoints.message import Answer, Request, error_answer
from imdsd.endpoints.ops import OpsEndpoint

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.web_request import BaseRequest
    from aiohttp.web_response import StreamResponse

    from imdsd.telemetry.metrics import Metrics

IDLE_SECONDS = 15.0
LINE_BYTES = 8190
FIELD_BYTES = 8190
HEADERS = 64
HEADER_BYTES = 16 * 1024
BODY_BYTES = 1024
REQUEST_SECONDS = 5.0

# aiohttp's own error log repeats what a client sent; what matters is counted.
_SILENT = logging.getLogger("imdsd.endpoints.door.silent")
_SILENT.disabled = True

_TOO_LARGE = Answer(413)
_HEADERS_TOO_LARGE = Answer(431)
_TOO_SLOW = Answer(408)


class Endpoint(Protocol):
    """A face of the daemon: turns a guarded request into an answer."""

    async def answer(self, request: Request) -> Answer:
        """Return the answer; never raise for what a client did."""
        ...


class _Connection:
    """One accepted connection; asks the kernel about its peer once, and only when needed."""

    def __init__(self, listener: Listener, transport: asyncio.BaseTransport) -> None:
        self.hosts = listener.hosts
        self._listener = listener
        self._transport = transport
        self._imds_allowed: bool | None = None

    def imds_allowed(self) -> bool:
        if self._imds_allowed is None:
            local = self._transport.get_extra_info("sockname")
            remote = self._transport.get_extra_info("peername")
            known = local is not None and remote is not None
            self._imds_allowed = known and self._listener.imds_allowed(local[:2], remote[:2])
        return self._imds_allowed


class _Protocol(RequestHandler):
    """aiohttp's handler with our limits, which tells a client nothing of what it sent."""

    def __init__(self, server: web.Server, listener: Listener, loop: Any) -> None:  # noqa: ANN401
        super().__init__(
            server,
            loop=loop,
            logger=_SILENT,
            keepalive_timeout=IDLE_SECONDS,
            max_line_size=LINE_BYTES,
            max_field_size=FIELD_BYTES,
            max_headers=HEADERS,
            lingering_time=1.0,
            auto_decompress=False,
        )
        self.listener = listener
        self.connection: _Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connection = _Connection(self.listener, transport)

    def handle_error(
        self,
        request: BaseRequest,  # noqa: ARG002
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> StreamResponse:
        """Answer what could not be parsed, or a bug, without an echo."""
        response = _response(Answer(400 if status < 500 else 503), "imdsd")  # noqa: PLR2004
        response.force_close()
        return response


class Door:
    """Guard every request, choose its endpoint, write the answer as clients expect it."""

    def __init__(
        self,
        *,
        credentials: Endpoint,
        imds: Endpoint,
        ops: Endpoint,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._credentials = credentials
        self._imds = imds
        self._ops = ops
        self._metrics = metrics
        self._loop = loop
        self._server = web.Server(self._handle, loop=loop)

    def protocol(self, listener: Listener) -> RequestHandler:
        """Return the protocol for a new connection on this listener."""
        return _Protocol(self._server, listener, self._loop)

    async def close(self, *, grace_seconds: float) -> None:
        """Let requests in flight finish for a while, then close every connection."""
        self._server.pre_shutdown()
        await self._server.shutdown(grace_seconds)

    async def _handle(self, incoming: BaseRequest) -> web.Response:
        protocol = incoming.protocol
        assert isinstance(protocol, _Protocol)  # noqa: S101  # the only kind protocol() makes
        assert protocol.connection is not None  # noqa: S101  # a request came by it
        path = incoming.raw_path.partition("?")[0]
        request = Request(incoming.method, path, incoming.headers, protocol.connection)
        name, endpoint = self._route(path)
        answer = await _unfit(incoming)
        close = answer is not None
        if answer is None and (found := refusal(request)) is not None:
            self._metrics.refused(found.guard)
            answer = _refused(name, found)
        if answer is None:
            answer = await endpoint.answer(request)
        self._metrics.answered(name, answer.status)
        response = _response(answer, "EC2ws" if name == "imds" else "imdsd")
        if close:
            response.force_close()
        return response

    def _route(self, path: str) -> tuple[str, Endpoint]:
        if path == container.PATH or path.startswith(container.PATH + "/"):
            return "container", self._credentials
        if OpsEndpoint.serves(path):
            return "ops", self._ops
        return "imds", self._imds


async def _unfit(incoming: BaseRequest) -> Answer | None:
    """Return the refusal of a request that is too large or too slow; read a small body away."""
    if sum(len(name) + len(value) for name, value in incoming.raw_headers) > HEADER_BYTES:
        return _HEADERS_TOO_LARGE
    if (incoming.content_length or 0) > BODY_BYTES:
        return _TOO_LARGE
    # A client that expects "100 Continue" sends its body only after an answer, if at all.
    if not incoming.can_read_body or "Expect" in incoming.headers:
        return None
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            return await _read_away(incoming.content)
    except TimeoutError:
        return _TOO_SLOW


async def _read_away(body: StreamReader) -> Answer | None:
    left = BODY_BYTES
    while chunk := await body.read(left + 1):
        left -= len(chunk)
        if left < 0:
            return _TOO_LARGE
    return None


def _refused(endpoint: str, found: Refusal) -> Answer:
    # The real metadata service refuses with an empty body.
    if endpoint == "imds":
        return Answer(found.status)
    return error_answer(found.status, "Refused", found.message)


def _response(answer: Answer, server: str) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body)
    response.headers["Content-Type"] = answer.content_type
    response.headers["Server"] = server
    for name, value in answer.headers:
        response.headers[name] = value
    return response
