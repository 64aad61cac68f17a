"""A port in front of the sandbox STS: it can be closed and opened again, and do to bytes what
networks do to them."""

import asyncio
import contextlib
import socket
import ssl
import struct
from dataclasses import dataclass
from urllib.parse import urlsplit

RESET_AT_CLOSE = struct.pack("ii", 1, 0)
FOR_EVER_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two connections that a relay stands between."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


async def passing(client, server):
    """Hand everything on as it comes."""
    await asyncio.gather(pump(client.reader, server.writer), pump(server.reader, client.writer))


def delaying(seconds):
    """Hand everything on, but later."""

    async def manner(client, server):
        await asyncio.sleep(seconds)
        await passing(client, server)

    return manner


def resetting(*, after_bytes=0):
    """Reset the connection within the answer, or before a byte of it."""
    return _then(_reset, after_bytes)


def stalling(*, after_bytes=0):
    """Fall silent within the answer, or before a byte of it, and stay so."""
    return _then(_stall, after_bytes)


def half_closing(*, after_bytes=0):
    """End our half of the connection within the answer, and leave the other half open."""
    return _then(_half_close, after_bytes)


def trickling(*, pause_seconds=0.2):
    """Hand the answer on byte by byte: something always comes, the end of it never."""

    async def manner(client, server):
        asking = asyncio.create_task(pump(client.reader, server.writer))
        while byte := await server.reader.read(1):
            client.writer.write(byte)
            await client.writer.drain()
            await asyncio.sleep(pause_seconds)
        await asking

    return manner


def refusing(status="502 Bad Gateway"):
    """Answer as a proxy does that gets no further."""

    async def manner(client, server):
        client.writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        await client.writer.drain()

    return manner


class Relay:
    """Treats each connection in the `manner` of the moment; keeps its port when it is closed."""

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._tls = tls
        self._server = None
        # Bound for as long as there is a relay: nobody else gets the port while it is closed.
        self._keeper = socket.socket()
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._keeper.bind(("127.0.0.1", 0))
        self._port = self._keeper.getsockname()[1]
        self._tasks = set()
        self.manner = passing
        self.connections = 0

    @property
    def url(self):
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    async def open(self):
        self._server = await asyncio.start_server(
            self._meet, "127.0.0.1", self._port, ssl=self._tls
        )

    async def close(self):
        """Refuse connections from now on, and end those that there are."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def __aenter__(self):
        await self.open()
        return self

    async def __aexit__(self, *_):
        await self.close()
        self._keeper.close()

    def _meet(self, reader, writer):
        """Serve a client in a task that `close` knows, whether it has had its first turn or not."""

        def ended(task):
            self._tasks.discard(task)
            writer.transport.abort()

        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(ended)

    async def _serve(self, reader, writer):
        client = Side(reader, writer)
        try:
            # What is cut off, by whomever, is the subject here and no error.
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await self._treat(client)
        finally:
            await _drop(writer)

    async def _treat(self, client):
        await self._pass_on(client, self.manner)

    async def _pass_on(self, client, manner):
        server = Side(*await asyncio.open_connection(*self._target))
        try:
            await manner(client, server)
        finally:
            await _drop(server.writer)


class Proxy(Relay):
    """What HTTPS_PROXY names: every tunnel leads to the one target, each host's in its manner.

    A host in `refusals` gets no tunnel: its request for one is met in that manner.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.manners = {}
        self.refusals = {}

    async def _treat(self, client):
        request = await client.reader.readuntil(b"\r\n\r\n")
        host = request.split()[1].decode().partition(":")[0]
        if host in self.refusals:
            await self.refusals[host](client, client)
            return
        client.writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self._pass_on(client, self.manners.get(host, passing))


def _then(end, after_bytes):
    """Return a manner that hands so much of the answer on, and then ends like that."""

    async def manner(client, server):
        asking = asyncio.create_task(pump(client.reader, server.writer))
        try:
            if after_bytes:
                client.writer.write(await server.reader.readexactly(after_bytes))
                await client.writer.drain()
            await end(client)
        finally:
            asking.cancel()

    return manner


async def _reset(client):
    connection = client.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    client.writer.transport.abort()


async def _stall(client):
    await asyncio.sleep(FOR_EVER_SECONDS)


async def _half_close(client):
    if client.writer.can_write_eof():
        client.writer.write_eof()
        await asyncio.sleep(FOR_EVER_SECONDS)


async def _drop(writer):
    """Close what a manner left open, at once: TLS would wait for a farewell."""
    writer.transport.abort()
    with contextlib.suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()


async def pump(reader, writer):
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()
