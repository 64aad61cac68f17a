"""The real door and all that is behind it, without a socket: bytes go in as they were cut, and out.

The house is built once and kept; what a connection changed in it is put back before the next.
"""

from __future__ import annotations

import asyncio
import atexit
import enum
import functools
import os
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp.http_parser import HttpRequestParserPy
from aiohttp.web_protocol import RequestPayloadError

from imdsd.credentials.attempt import Workshop
from imdsd.credentials.roles import Roles
from imdsd.endpoints.container import ContainerEndpoint
from imdsd.endpoints.documents import DocumentRenderer
from imdsd.endpoints.door import Door
from imdsd.endpoints.door.line import HEARD_BYTES
from imdsd.endpoints.events import EventsEndpoint
from imdsd.endpoints.guards import Listener, host_names
from imdsd.endpoints.imds import ImdsEndpoint
from imdsd.endpoints.imds_tokens import ImdsTokens
from imdsd.endpoints.ops import DaemonFacts, OpsEndpoint
from imdsd.host.peer import Peer
from imdsd.metadata.composition import Metadata
from imdsd.metadata.event_board import EventBoard
from imdsd.metadata.settings import MetadataSettings
from imdsd.secret import Secret
from tests.fakes.clock import START
from tests.fakes.refresh import ASSUMED_ARN, Bench, FakeSession
from tests.fakes.served import BEARER, MACHINE, in_place
from tests.fakes.web_identity import make_token

_LONGEST_WAIT_SECONDS = 20.0
"""Longer than any deadline of the door."""
_WAITS = 3
"""For a body, for aiohttp to read on after its answer, and for the next request."""

_WEB_IDENTITY_TOKEN = make_token()
PORT = 9254
HOSTS = host_names([("127.0.0.1", PORT)])
ROLE = "dev"
KEY_ID, KEY, TOKEN = (
    "ASIACANARYOFTHEKEYID",
    "canary-of-the-secret-key",
    "canary-of-the-session-token",
)


@dataclass(frozen=True, slots=True)
class Listening:
    """How a listener treats the metadata service, and who is at the other end."""

    imds: str
    uid: int | None
    allow_imdsv1: bool = False

    @property
    def gives_imds(self) -> bool:
        return self.imds == "open" or (self.imds == "attested" and self.uid == os.geteuid())

    def find_peer(self, *_addresses: object) -> Peer | None:
        return None if self.uid is None else Peer(self.uid, 1)


class _Exchange:
    """Gives the same session to everybody who asks."""

    async def exchange(self, _token: Secret, **_parameters: object) -> FakeSession:
        hour = START + timedelta(hours=1)
        return FakeSession(KEY_ID, Secret(KEY), Secret(TOKEN), hour, ASSUMED_ARN)


class _Source:
    """Gives one token; to sign one for each case would take as long as all else."""

    description, renewable, minted_on_demand = "a fake", True, True

    async def mint(self) -> Secret:
        return Secret(_WEB_IDENTITY_TOKEN)


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose time can be moved on, so that nobody waits for a deadline."""

    skipped_seconds = 0.0

    def time(self) -> float:
        return super().time() + self.skipped_seconds


class _Transport(asyncio.Transport):
    """Takes what is written, and tells the protocol of its end as a socket's transport does."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__({"sockname": ("127.0.0.1", PORT), "peername": ("127.0.0.1", 50000)})
        self._loop = loop
        self.protocol: Any = None
        self.written = bytearray()
        self.reading = True
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed or not data, "written after the end"
        self.written += data

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._loop.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass


class _House:
    """One role, whose credentials are there, and every face of the daemon."""

    def __init__(self) -> None:
        self.loop = _Loop()
        atexit.register(self.loop.close)
        self.escaped: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _loop, context: self.escaped.append(context))
        self.loop.set_task_factory(self._start)
        self.events, self.imds, self.door = self.loop.run_until_complete(self._build())

    def _start(self, loop: Any, work: Any, **more: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **more)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """Hold an exception against the case that met it: the loop tells of it some time later."""
        if not task.cancelled() and (escaped := task.exception()) is not None:
            told = "".join(traceback.format_exception(escaped))
            self.escaped.append({"task": task.get_name(), "exception": told})

    async def _build(self) -> tuple[EventBoard, ImdsEndpoint, Door]:
        bench = Bench()
        bench.source, bench.exchange = _Source(), _Exchange()
        workshop = Workshop(
            publisher=DocumentRenderer(),
            clock=bench.clock,
            metrics=bench.metrics,
            draw=lambda: 0.0,
            host="box",
        )
        roles = Roles((bench.definition(ROLE),), workshop, default=ROLE)
        assert await roles.default.refresh() is None
        container = ContainerEndpoint(roles, BEARER)
        facts = DaemonFacts("0", 1, bench.clock.now(), demo=False, listeners=())
        events = EventBoard(bench.clock)
        imds = ImdsEndpoint(
            roles,
            ImdsTokens(BEARER),
            Metadata(
                MetadataSettings(), read_machine=lambda: MACHINE, events=events, upstream=None
            ),
            clock=bench.clock,
            metrics=bench.metrics,
            allow_imdsv1=False,
        )
        door = Door(
            credentials=container,
            imds=imds,
            ops=OpsEndpoint(roles, bench.metrics, facts=facts, authorized=container.authorized),
            events=EventsEndpoint(events, authorized=container.authorized),
            clock=bench.clock,
            metrics=bench.metrics,
            loop=self.loop,
        )
        await door.load(in_place)
        return events, imds, door


_house = functools.cache(_House)


class Way(enum.Enum):
    """Who reads a connection's bytes: plain requests the door itself, unless it is told not to."""

    QUICK = enum.auto()
    """The door, and aiohttp's parser in C."""
    PURE_PYTHON = enum.auto()
    """The door, and aiohttp's other parser."""
    AIOHTTP = enum.auto()
    """aiohttp's parser in C alone."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How a client behaves: it may have asked before it is accepted, and may end with its words."""

    asks_early: bool
    half_closes: bool


def converse(listening: Listening, pieces: Sequence[bytes], manners: Manners, *, way: Way) -> bytes:
    """Return all that a connection answers to these bytes, after which the client is silent.

    Raises AssertionError where an exception escapes, the daemon does not end the connection by
    itself, or a task outlives it.
    """
    house = _house()
    house.events.clear(None)
    house.escaped.clear()
    house.imds.allow_imdsv1 = listening.allow_imdsv1
    return house.loop.run_until_complete(_converse(house, listening, pieces, manners, way=way))


async def _converse(
    house: _House, listening: Listening, pieces: Sequence[bytes], manners: Manners, *, way: Way
) -> bytes:
    listener = Listener(
        HOSTS, imds=listening.imds, peers=listening, allowed_uids=frozenset({os.geteuid()})
    )
    protocol, transport = house.door.protocol(listener), _Transport(house.loop)
    transport.protocol = protocol
    if way is Way.PURE_PYTHON:
        _use_python(protocol, house.loop)
    if way is Way.AIOHTTP:
        protocol._answer_now = lambda *_: None
    early = pieces[0][:HEARD_BYTES] if manners.asks_early and pieces else b""
    if early and protocol.answers_at_once(transport, early):
        pieces = [pieces[0][len(early) :], *pieces[1:]]
    else:
        protocol.connection_made(transport)
    await _say(protocol, transport, pieces)
    if manners.half_closes and not transport.closed and not protocol.eof_received():
        transport.close()
    for _ in range(_WAITS):
        house.loop.skipped_seconds += _LONGEST_WAIT_SECONDS
        await _idle(house.loop)
    assert transport.closed, "the connection is open still"
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, left
    assert not house.escaped, house.escaped
    return bytes(transport.written)


async def _say(protocol: Any, transport: _Transport, pieces: Iterable[bytes]) -> None:
    loop = asyncio.get_running_loop()
    await _idle(loop)
    for piece in pieces:
        if transport.closed or not transport.reading:
            return
        _hear(protocol, transport, piece)
        await _idle(loop)


def _hear(protocol: Any, transport: _Transport, piece: bytes) -> None:
    """Take in what arrived at once, as much at a time as a loop would."""
    while piece and transport.reading and not transport.closed:
        taken, piece = piece[:HEARD_BYTES], piece[HEARD_BYTES:]
        protocol.data_received(taken)


async def _idle(loop: Any) -> None:
    """Return when nobody has anything to do but to wait for time or for bytes."""
    await asyncio.sleep(0)  # noqa: TID251  # a turn of the loop, no time
    while loop._ready:
        await asyncio.sleep(0)  # noqa: TID251


def _use_python(protocol: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Have the connection's bytes read by aiohttp's other parser, within the same limits."""
    make_handler = protocol._make_handler

    def make_other(connection: Any) -> Any:
        handler = make_handler(connection)
        handler._parser = _python_parser(handler, loop)
        return handler

    protocol._make_handler = make_other


def _python_parser(handler: Any, loop: asyncio.AbstractEventLoop) -> HttpRequestParserPy:
    assert type(handler._parser) is not HttpRequestParserPy
    return HttpRequestParserPy(
        handler,
        loop,
        handler._read_bufsize,
        max_line_size=handler.max_line_size,
        max_field_size=handler.max_field_size,
        max_headers=handler.max_headers,
        payload_exception=RequestPayloadError,
        auto_decompress=False,
        max_msg_queue_size=handler._max_msg_queue_size,
    )
