"""A metadata service as EC2's, on a real loopback socket, that verifies how it is asked.

It gives nothing without a valid token of its own, keeps every request, and breaks as it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from dataclasses import dataclass

TOKEN_PATH = "/latest/api/token"
_PHRASES = {200: "OK", 301: "Moved", 401: "Unauthorized", 404: "Not Found"}


@dataclass(frozen=True, slots=True)
class Seen:
    """A request: the connection it came by, by number, and what it said."""

    connection: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]


class FakeUpstream:
    """Serve `values`, by path below `latest`; `listings` stand above what follows from those.

    `behaviour` gives a path another answer: a status, or `hang`, `reset`, `cut`, `drip`, `chunked`,
    or raw bytes. `put` does so for the token path.
    """

    def __init__(self, values):
        self.values = dict(values)
        self.listings = {}
        self.behaviour = {}
        self.put = None
        self.ttl_told = "21600"
        self.refuses_every_token = False
        self.seen = []
        self.connections = 0
        self.minted = 0
        self.problems = []
        self.valid = set()
        self._server = None
        self._port = 0
        self._ended = asyncio.Event()
        self._handlers = set()
        self._writers = set()

    # What a test does to it

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}"

    async def start(self):
        """Listen; on the port it had before, if it was stopped."""
        self._ended = asyncio.Event()
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self):
        """Be gone: connections break, new ones are refused."""
        self._ended.set()
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._handlers)
        await self._server.wait_closed()

    def expire_tokens(self):
        self.valid.clear()

    # What a test asks of it

    @property
    def reads(self):
        """The paths below `latest` that were asked for, tokens apart, in order."""
        return [each.target.removeprefix("/latest/") for each in self.seen if each.method == "GET"]

    # HTTP

    async def _handle(self, reader, writer):
        task = asyncio.current_task()
        self._handlers.add(task)
        self._writers.add(writer)
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._converse(reader, writer, self.connections)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self._writers.discard(writer)
        self._handlers.discard(task)

    async def _converse(self, reader, writer, number):
        while not self._ended.is_set():
            request = _parse(number, await reader.readuntil(b"\r\n\r\n"))
            self.seen.append(request)
            self._verify(request)
            how, body = self._answer(request)
            await self._send(writer, how, body)
            if how in ("hang", "reset", "cut") or isinstance(how, bytes):
                return

    def _verify(self, request):
        """Take note of whatever a real service, or a careful reader, would frown at."""
        if request.all("Host") != [f"127.0.0.1:{self._port}"]:
            self.problems.append(f"Host {request.all('Host')}")
        for name in ("Cookie", "Authorization", "X-Forwarded-For", "Proxy-Authorization", "Via"):
            if request.all(name):
                self.problems.append(f"{name} was sent")
        if set(request.all("Accept-Encoding")) - {"identity"}:
            self.problems.append("compression was asked for")
        if request.method == "PUT" and request.target != TOKEN_PATH:
            self.problems.append(f"PUT {request.target}")
        if not request.target.startswith("/latest/"):
            self.problems.append(f"asked for {request.target}")

    def _answer(self, request):
        if request.method == "PUT":
            return self._mint(request)
        token = request.all("X-aws-ec2-metadata-token")
        if len(token) != 1 or token[0] not in self.valid:
            return 401, b""
        path = request.target.removeprefix("/latest/").strip("/")
        body = self.values.get(path, self._listing(path))
        if (how := self.behaviour.get(path)) is not None:
            return how, body or b"it broke"
        return (404, b"<html>not found</html>") if body is None else (200, body)

    def _mint(self, request):
        if self.put is not None:
            return self.put, b""
        if request.all("X-aws-ec2-metadata-token-ttl-seconds") != ["21600"]:
            return 400, b""
        self.minted += 1
        token = f"token-{self.minted}-of-upstream=="
        if not self.refuses_every_token:
            self.valid.add(token)
        return 200, token.encode()

    def _listing(self, directory):
        if directory in self.listings:
            return self.listings[directory]
        rests = [path.removeprefix(f"{directory}/") for path in self.values if path.startswith(f"{directory}/")]  # fmt: skip
        names = {first + slash for first, slash, _ in (rest.partition("/") for rest in rests)}
        return "\n".join(sorted(names)).encode() if names else None

    async def _send(self, writer, how, body):
        match how:
            case "hang":
                await self._ended.wait()
            case "reset":
                writer.transport.abort()
            case "cut":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly so far")
            case "drip":
                writer.write(_head(200, len(body)) + body[:-1])
                await self._ended.wait()
            case "chunked":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for byte in body:
                    writer.write(b"1\r\n%c\r\n" % byte)
                writer.write(b"0\r\n\r\n")
            case bytes():
                writer.write(how)
            case status:
                writer.write(_head(status, len(body), self.ttl_told) + body)
        if not writer.transport.is_closing():
            await writer.drain()


def _parse(number, raw):
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = tuple(tuple(part.strip() for part in line.split(":", 1)) for line in lines)
    return Seen(number, method, target, headers)


def _head(status, length, ttl="21600"):
    phrase = _PHRASES.get(status, "Other")
    return (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Length: {length}\r\nServer: EC2ws\r\n"
        "Content-Type: text/plain\r\nSet-Cookie: a=b\r\nLocation: /latest/elsewhere\r\n"
        f"X-Aws-Ec2-Metadata-Token-Ttl-Seconds: {ttl}\r\n\r\n"
    ).encode()


@asynccontextmanager
async def upstream_imds(values=()):
    """A fake that listens, and was asked as it should be."""
    fake = FakeUpstream(values)
    await fake.start()
    try:
        yield fake
    finally:
        await fake.stop()
    assert fake.problems == []
