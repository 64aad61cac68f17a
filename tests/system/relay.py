"""A port in front of the sandbox STS that can be closed and opened again: an STS that is away."""

import asyncio
import contextlib
from urllib.parse import urlsplit


class Relay:
    """Passes bytes on while it is open; keeps its port when it is closed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._server = None
        self._port = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}"

    async def open(self):
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self):
        self._server.close()
        await self._server.wait_closed()

    async def __aenter__(self):
        await self.open()
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def _pass_on(self, reader, writer):
        there, back = await asyncio.open_connection(*self._target)
        await asyncio.gather(_pump(reader, back), _pump(there, writer))


async def _pump(reader, writer):
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()
