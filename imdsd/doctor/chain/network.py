"""One request to a stranger over HTTP, and why it failed: name, connection, proxy, TLS, silence."""

from __future__ import annotations

import base64
import queue
import socket
import ssl
import threading
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from imdsd.errors import ImdsdError
from imdsd.tokens.route import proxy_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path
    from typing import TypeVar

    T = TypeVar("T")

# Key sets of the large issuers are under 20 kB.
ANSWER_CAP_BYTES = 256 * 1024


class Trouble(StrEnum):
    """Where on the way a request failed."""

    NAME = "name"
    CONNECTION = "connection"
    PROXY = "proxy"
    TLS = "tls"
    SILENCE = "silence"
    ANSWER = "answer"


class NetworkError(ImdsdError):
    """A request got no answer that can be used; `trouble` says where it ended."""

    def __init__(self, trouble: Trouble, reason: str) -> None:
        self.trouble = trouble
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said, and what time it has."""

    status: int
    body: bytes
    date: datetime | None


def get(url: str, *, environ: Mapping[str, str], ca_bundle: Path | None, seconds: float) -> Answer:
    """Ask for a URL once, past the proxy that is set for it; no redirect is followed.

    Raises NetworkError, after `seconds` at the latest.
    """
    return within(seconds, lambda: _get(url, environ=environ, ca_bundle=ca_bundle, seconds=seconds))


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns; raise NetworkError when that takes too long.

    A look-up of a name cannot be given a deadline, so the work is left to itself in a thread.
    """
    done: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue()

    def run() -> None:
        try:
            done.put((work(), None))
        except BaseException as error:  # noqa: BLE001  # it belongs to whoever asked
            done.put((None, error))

    threading.Thread(target=run, name="look outside", daemon=True).start()
    try:
        result, error = done.get(timeout=seconds)
    except queue.Empty:
        raise NetworkError(Trouble.SILENCE, f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # there is one where there is no error


def _get(url: str, *, environ: Mapping[str, str], ca_bundle: Path | None, seconds: float) -> Answer:
    parts = urlsplit(url)
    proxy = proxy_for(url, environ)
    connection = _connection(url, proxy, ca_bundle=ca_bundle, seconds=seconds)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        _connect(connection, parts.hostname or "", proxied=proxy is not None)
        connection.request("GET", path, headers={"User-Agent": "imdsd", "Connection": "close"})
        with connection.getresponse() as response:
            body = response.read(ANSWER_CAP_BYTES + 1)
    except TimeoutError:
        raise NetworkError(Trouble.SILENCE, f"no answer within {seconds:g} s") from None
    except (OSError, HTTPException, ValueError) as error:
        raise NetworkError(
            Trouble.ANSWER, f"the connection broke ({type(error).__name__})"
        ) from None
    finally:
        connection.close()
    if len(body) > ANSWER_CAP_BYTES:
        raise NetworkError(Trouble.ANSWER, f"it gave more than {ANSWER_CAP_BYTES} bytes")
    return Answer(response.status, body, _date(response.getheader("Date")))


def _connection(
    url: str, proxy: str | None, *, ca_bundle: Path | None, seconds: float
) -> HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https":
        return HTTPConnection(host, parts.port or 80, timeout=seconds)
    tls = _tls(ca_bundle)
    if proxy is None:
        return HTTPSConnection(host, parts.port or 443, timeout=seconds, context=tls)
    through = urlsplit(proxy)
    connection = HTTPSConnection(
        through.hostname or "", through.port or 80, timeout=seconds, context=tls
    )
    connection.set_tunnel(host, parts.port or 443, headers=_proxy_headers(proxy))
    return connection


def _proxy_headers(proxy: str) -> dict[str, str]:
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}


def _connect(connection: HTTPConnection, host: str, *, proxied: bool) -> None:
    whose = "the proxy " if proxied else ""
    at = f"{whose}{connection.host}:{connection.port}"
    try:
        connection.connect()
    except ssl.SSLError as error:
        raise NetworkError(Trouble.TLS, f"{host} is not trusted: {_tls_reason(error)}") from None
    except TimeoutError:
        raise NetworkError(Trouble.SILENCE, f"{at} does not take a connection") from None
    except socket.gaierror as error:
        trouble = Trouble.PROXY if proxied else Trouble.NAME
        raise NetworkError(
            trouble, f"the name {whose}{connection.host} cannot be resolved: {error.strerror}"
        ) from None
    except OSError as error:
        trouble = Trouble.PROXY if proxied else Trouble.CONNECTION
        raise NetworkError(trouble, f"{at}: {error.strerror or error}") from None


def _tls(ca_bundle: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:
        why = error.strerror or "it holds no certificate"
        raise NetworkError(Trouble.TLS, f"ca_bundle {ca_bundle} cannot be loaded: {why}") from None


def _tls_reason(error: ssl.SSLError) -> str:
    verified = getattr(error, "verify_message", "")
    return str(verified or error.reason or type(error).__name__)


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
