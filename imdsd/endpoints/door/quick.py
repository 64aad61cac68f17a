"""The plain requests that nearly every client sends, read and answered in one step.

Plain means: one whole request in one piece and nothing behind it, in HTTP/1.1, without a body, of
fields that are known and stand there once. Everything else, and every doubt, is left, untouched,
to aiohttp; `tests/unit/test_endpoints_door_quick.py` holds both against each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from multidict import CIMultiDict, CIMultiDictProxy

from imdsd.endpoints.guards import refusal
from imdsd.endpoints.message import Answer, Request

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from imdsd.clock import Clock
    from imdsd.endpoints.door.poller import Poller
    from imdsd.endpoints.message import Connection
    from imdsd.telemetry.metrics import Metrics

# Under every limit of a head, so that none has to be looked at.
_MOST_BYTES = 4096
# A field's value begins and ends in what is seen: nobody trims it differently.
_HEAD = re.compile(
    rb"(GET|PUT) (/[!->@-~]*) HTTP/1\.1\r\n"
    rb"((?:[A-Za-z0-9-]+: [!-~](?:[ -~]*[!-~])?\r\n){1,32})\r\n"
)
# What these say does not change how a request is read; None where no other value is known.
_FIELDS: dict[str, frozenset[str] | None] = {
    "accept": None,
    "accept-encoding": None,
    "accept-language": None,
    "amz-sdk-invocation-id": None,
    "amz-sdk-request": None,
    "authorization": None,
    "cache-control": None,
    "connection": frozenset(("close", "keep-alive", "Keep-Alive")),
    "content-length": frozenset(("0",)),
    "content-type": None,
    "host": None,
    "pragma": None,
    "user-agent": None,
    "x-aws-ec2-metadata-token": None,
    "x-aws-ec2-metadata-token-ttl-seconds": None,
    "x-amz-user-agent": None,
}
# As most SDKs write it, and as those in Go do.
_NUMBERS = (b"\r\namz-sdk-invocation-id: ", b"\r\nAmz-Sdk-Invocation-Id: ")
# SDKs of one machine send a few heads over and over, byte for byte.
_MOST_HEADS = 128


class Endpoint(Protocol):
    """A face of the daemon: turns a guarded request into an answer."""

    def answer_now(self, request: Request) -> Answer | None:
        """Return the answer; None, and nothing done, where something has to be awaited for it."""
        ...

    async def answer(self, request: Request) -> Answer:
        """Return the answer; never raise for what a client did."""
        ...


@dataclass(slots=True)
class Head:
    """What a head says, and on which names of a listener the guards let it pass before.

    They look at the head and these names alone.
    """

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    ends_connection: bool
    route: tuple[str, Endpoint] | None = None
    passed_on: frozenset[str] | None = None


class _Said(NamedTuple):
    """What was answered among many at once: on which names of a listener, and how it counts."""

    words: bytes
    ends_connection: bool
    hosts: frozenset[str]
    endpoint: str
    status: int


class QuickAnswers:
    """Answer plain requests; `route` gives an endpoint and its name for a path.

    Nothing changes while clients are heard: of many at once, who sends the same head is told the
    same.
    """

    def __init__(
        self,
        route: Callable[[str], tuple[str, Endpoint]],
        *,
        poller: Poller,
        clock: Clock,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._poller = poller
        self._route = route
        self._clock = clock
        self._metrics = metrics
        self._loop = loop
        self._heads: dict[bytes, Head] = {}
        self._said: dict[bytes, _Said] = {}
        self._date = b""
        self._date_until = 0.0

    def answer(self, data: bytes, connection: Connection) -> tuple[bytes, bool] | None:
        """Return an answer as it is sent, and whether the connection ends with it.

        None for what is not plain, or has to wait: then nothing was done.
        """
        if len(data) > _MOST_BYTES:
            return None
        data = _without_number(data)
        said = self._said.get(data)
        if said is not None and said.hosts is connection.hosts:
            self._metrics.answered(said.endpoint, said.status)
            return said.words, said.ends_connection
        head = self._heads.get(data) or self._read(data)
        if head is None:
            return None
        request = Request(head.method, head.path, head.headers, connection)
        if head.passed_on is not connection.hosts:
            if refusal(request) is not None:
                return None
            head.passed_on = connection.hosts
        if head.route is None:
            head.route = self._route(head.path)
        name, endpoint = head.route
        answer = endpoint.answer_now(request)
        if answer is None:
            return None
        self._metrics.answered(name, answer.status)
        ends = head.ends_connection or name == "imds"
        status, rest = answer.written(SERVERS[name], ends_connection=ends)
        words = b"".join((status, self._date_line(), rest))
        # The metadata service asks who calls.
        if name != "imds" and self._poller.crowded:
            self._remember(data, _Said(words, ends, connection.hosts, name, answer.status))
        return words, ends

    def _remember(self, data: bytes, said: _Said) -> None:
        if not self._said:
            self._poller.soon(self._said.clear)
        self._said[data] = said

    def _read(self, data: bytes) -> Head | None:
        head = read_head(data)
        if head is not None:
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads[data] = head
        return head

    def _date_line(self) -> bytes:
        time = self._loop.time()
        if time >= self._date_until:
            now = self._clock.now()
            self._date_until = time + 1 - now.microsecond / 1e6
            # Its words are English, as the process never takes on the user's locale.
            self._date = f"Date: {now:%a, %d %b %Y %H:%M:%S} GMT\r\n".encode()
        return self._date


def _without_number(data: bytes) -> bytes:
    """Return a request without the number that some SDKs give each, and nobody reads."""
    for name in _NUMBERS:
        if name not in data:
            continue
        before, _, behind = data.partition(name)
        number, ended, rest = behind.partition(b"\r\n")
        # What stands behind a blank line is no field of this head.
        if ended and number.replace(b"-", b"").isalnum() and not before.endswith(b"\r\n"):
            shorter = before + ended + rest
            # One that stands there twice is left, as any field.
            return data if any(each in shorter for each in _NUMBERS) else shorter
    return data


SERVERS = {"container": "imdsd", "ops": "imdsd", "imds": "EC2ws"}
"""What each endpoint calls itself."""


def read_head(data: bytes) -> Head | None:
    """Return what a plain request says, None for every other one."""
    found = _HEAD.fullmatch(data) if len(data) <= _MOST_BYTES else None
    if found is None:
        return None
    method, path, lines = (part.decode("ascii") for part in found.groups())
    fields: dict[str, str] = {}
    for line in lines.split("\r\n")[:-1]:
        name, _, value = line.partition(": ")
        known = _FIELDS.get(name.lower(), frozenset())
        if name.lower() in fields or (known is not None and value not in known):
            return None
        fields[name.lower()] = value
    headers = CIMultiDictProxy(CIMultiDict(fields))
    return Head(method, path, headers, fields.get("connection") == "close")
