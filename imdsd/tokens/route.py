"""How a token service is reached: past which proxy, and by look-ups that cannot hold the loop up.

The loop's default executor would not do for those: it runs full of stuck look-ups, and waits for
each of them when the loop closes.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from imdsd.addresses import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

# The family and the numeric form of one address.
Address = tuple[int, str]

_MOST_AT_ONCE = 2


class Resolve(Protocol):
    """Look a name up, for as long as it takes."""

    def __call__(self, host: str, port: int, *, family: int) -> list[Address]:
        """Return the addresses; raises OSError."""
        ...


class Lookup:
    """Shares one thread among all who ask for the same name, and has two threads at most."""

    def __init__(self, resolve: Resolve | None = None) -> None:
        self._resolve = resolve or _ask_the_system
        self._pending: dict[tuple[str, int, int], Future[list[Address]]] = {}

    async def __call__(self, host: str, port: int, *, family: int = 0) -> list[Address]:
        """Return the addresses of a name; raises OSError, also when too many are stuck."""
        asked = (host, port, family)
        self._pending = {key: one for key, one in self._pending.items() if not one.done()}
        if asked not in self._pending:
            if len(self._pending) >= _MOST_AT_ONCE:
                raise OSError(errno.EAGAIN, "earlier name look-ups are stuck")
            self._pending[asked] = self._start(asked)
        return await asyncio.wrap_future(self._pending[asked])

    def _start(self, asked: tuple[str, int, int]) -> Future[list[Address]]:
        future: Future[list[Address]] = Future()
        # Running, so that a caller who goes away cannot cancel it for the others.
        future.set_running_or_notify_cancel()
        # A daemon thread: the end of the process does not wait for it.
        threading.Thread(
            target=self._run, args=(asked, future), name=f"lookup {asked[0]}", daemon=True
        ).start()
        return future

    def _run(self, asked: tuple[str, int, int], future: Future[list[Address]]) -> None:
        host, port, family = asked
        try:
            future.set_result(self._resolve(host, port, family=family))
        except Exception as error:  # noqa: BLE001 - it belongs to those who asked
            future.set_exception(error)


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the proxy that the environment sets for a URL; none for http and for loopback.

    Raises ValueError, without the password, for a proxy that does not speak HTTP or is no URL.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" or is_loopback(host):
        return None
    proxy = environ.get("https_proxy") or environ.get("HTTPS_PROXY")
    exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not proxy or _is_exempt((host, parts.netloc.lower()), exempt):
        return None
    scheme, separator, _ = proxy.partition("://")
    if separator and scheme not in {"http", "https"}:
        raise ValueError("HTTPS_PROXY speaks another protocol, expected http or https")
    url = proxy if separator else f"http://{proxy}"
    if not _names_a_host(url):
        raise ValueError(
            "HTTPS_PROXY is no URL, expected http://HOST:PORT; write / # ? @ of a password as %XX"
        )
    return url


def _names_a_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # whose text repeats what stands in the place of a port
        return False


def _is_exempt(forms: tuple[str, ...], exempt: str) -> bool:
    # As curl and urllib read it: a name stands for itself and all below it, `*` for every host.
    names = [name.strip().lstrip(".").lower() for name in exempt.split(",") if name.strip()]
    return any(name in {"*", form} or form.endswith(f".{name}") for name in names for form in forms)


def _ask_the_system(host: str, port: int, *, family: int) -> list[Address]:
    found = socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return [(int(kin), str(address[0])) for kin, _, _, _, address in found]
