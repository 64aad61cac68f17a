"""The only module that knows which clients were accepted and have not asked anything yet."""

from __future__ import annotations

import asyncio
import contextlib


class Newcomers:
    """The connections by which no request has come yet; each is whatever stands for one."""

    def __init__(self) -> None:
        self._silent: set[object] = set()
        self._none = asyncio.Event()
        self._none.set()

    def arrived(self, connection: object) -> None:
        """Take note of a connection that was accepted."""
        self._silent.add(connection)
        self._none.clear()

    def known(self, connection: object) -> None:
        """Take note that a connection has asked, or is gone."""
        self._silent.discard(connection)
        if not self._silent:
            self._none.set()

    async def until_none(self, *, seconds: float) -> None:
        """Wait until all have asked, at most for `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._none.wait()
