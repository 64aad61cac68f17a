"""One request to upstream: over which connections, and how much of the answer is taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from imdsd.endpoints.upstream.errors import Fault, UpstreamUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_CAP_BYTES = 64 * 1024

# A crawl and what is fetched again take one connection each; two are left for clients that wait.
_CONNECTIONS = 4
# Longer than the pause between two crawls.
_KEEP_ALIVE_SECONDS = 75.0
_HEADERS = {"User-Agent": "imdsd", "Accept": "*/*", "Accept-Encoding": "identity"}

SEE_THE_ADDRESS = "see [metadata] upstream, and whether its metadata service is turned on"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; the body, which may be longer than the cap by some, does not print."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Wire:
    """Ask one service over a few connections that are kept; nothing of the environment is used."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def ask(self, method: str, path: str, headers: Mapping[str, str]) -> Reply:
        """Return what upstream answers; raises UpstreamUnavailableError. The caller sets deadlines.

        Redirects are not followed.
        """
        try:
            async with self._opened().request(
                method, f"{self.url}{path}", headers=headers, allow_redirects=False
            ) as response:
                return Reply(response.status, response.headers, await _read(response.content))
        except UpstreamUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever foreign bytes make of the library
            raise UpstreamUnavailableError(
                f"the metadata service at {self.url} {_why(error)}",
                remedy=SEE_THE_ADDRESS,
                fault=_fault_of(error),
            ) from None

    async def aclose(self) -> None:
        """Close every connection and let none be opened."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise stopping()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE_SECONDS
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                headers=_HEADERS,
                trust_env=False,
                # User data is often compressed, and must reach clients as it is.
                auto_decompress=False,
            )
        return self._session


def stopping() -> UpstreamUnavailableError:
    """Return what is raised once the daemon stops."""
    return UpstreamUnavailableError("the daemon stops", remedy="ask its successor", fault=Fault.ODD)


async def _read(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > ANSWER_CAP_BYTES:
            break
    return bytes(body)


def _fault_of(error: Exception) -> Fault:
    return Fault.GONE if isinstance(error, aiohttp.ClientConnectorError) else Fault.SILENT


def _why(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorError():
            reason = error.os_error.strerror or type(error.os_error).__name__
            return f"cannot be reached: {reason}"
        case aiohttp.ServerDisconnectedError():
            return "closed the connection without an answer"
        case _:
            return f"gave no whole HTTP answer ({type(error).__name__})"
