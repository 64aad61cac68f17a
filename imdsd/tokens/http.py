"""A token service that is asked over HTTP, for example GitHub's; the only token source with TLS."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from imdsd.addresses import is_loopback
from imdsd.errors import MintError
from imdsd.tokens.route import Lookup, proxy_for
from imdsd.tokens.shape import one_line, token_from

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imdsd.secret import Secret

# A token of 16 KiB inside a JSON answer leaves room for much beside it.
ANSWER_CAP_BYTES = 64 * 1024

_OK, _REDIRECTS, _REFUSALS = 200, range(300, 400), (401, 403)
_POINTER = re.compile(r"(/([^~/]|~[01])*)*")
_INDEX = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_REACH = "see the address, the network, and HTTPS_PROXY and NO_PROXY"


class HttpSource:
    """A URL that answers with a web identity token, alone or inside a JSON document."""

    renewable = True
    minted_on_demand = True

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, Secret] | None = None,
        pointer: str = "/value",
        ca_bundle: Path | None = None,
        timeout_seconds: float = 10.0,
        description: str | None = None,
        environ: Mapping[str, str] = os.environ,
        lookup: Lookup | None = None,
    ) -> None:
        """Raise ValueError for a URL that is neither https nor http to loopback, and the like."""
        _check_url(url)
        if not _POINTER.fullmatch(pointer):
            raise ValueError(f"pointer is {pointer!r}, expected a JSON pointer (RFC 6901)")
        self._url = url
        self._headers = dict(headers or {})
        _check_headers(self._headers)
        self._pointer = pointer
        self._ca_bundle = ca_bundle
        self._timeout_seconds = timeout_seconds
        self._environ = environ
        self._lookup = lookup or Lookup()
        self.description = description or _show(url)

    def __repr__(self) -> str:
        return f"HttpSource({self.description!r})"

    async def mint(self) -> Secret:
        """Ask the URL for a token; raises MintError."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await self._get()
        except TimeoutError:
            raise MintError(
                f"{self.description} gave no answer within {self._timeout_seconds:g} s",
                remedy=_REACH,
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Without the cause: the texts of aiohttp hold the URL and what is secret in it.
            raise MintError(
                f"{self.description} cannot be asked: {_why(error)}", remedy=_REACH
            ) from None
        return self._token(answer)

    async def _get(self) -> _Answer:
        proxy = proxy_for(self._url, self._environ)
        headers = {name: value.reveal() for name, value in self._headers.items()}
        async with (
            self._session() as session,
            session.get(self._url, headers=headers, proxy=proxy, allow_redirects=False) as response,
        ):
            return _Answer(response.status, response.content_type, await _read(response.content))

    def _session(self) -> aiohttp.ClientSession:
        tls = self._tls() if urlsplit(self._url).scheme == "https" else True
        connector = aiohttp.TCPConnector(ssl=tls, resolver=_Resolver(self._lookup))
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"User-Agent": "imdsd", "Accept": "application/json, text/plain;q=0.9"},
        )

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca_bundle)
        except OSError as error:
            why = error.strerror or "it holds no certificate"
            raise MintError(
                f"ca_bundle {self._ca_bundle} cannot be loaded: {why}",
                remedy="name a file of certificates in PEM format",
            ) from None

    def _token(self, answer: _Answer) -> Secret:
        if answer.status != _OK:
            raise self._refused(answer.status)
        if len(answer.body) > ANSWER_CAP_BYTES:
            raise self._odd(f"more than {ANSWER_CAP_BYTES} bytes", "a short answer")
        raw = answer.body
        if self._pointer or answer.content_type == "application/json":
            raw = self._pick(answer.body)
        remedy = f"see what the pointer {self._pointer!r} stands for there"
        return token_from(raw, source=self.description, remedy=remedy)

    def _pick(self, body: bytes) -> bytes:
        try:
            value = resolve_pointer(json.loads(body), self._pointer)
        except LookupError as error:
            raise self._odd(f"JSON without {self._pointer}: {error.args[0]}", "it there") from None
        except (ValueError, RecursionError):
            raise self._odd("an answer that is not JSON", "a JSON document") from None
        if not isinstance(value, str):
            raise self._odd(f"{_kind(value)} at {self._pointer or 'the top'}", "a text")
        return value.encode(errors="surrogatepass")

    def _odd(self, found: str, expected: str) -> MintError:
        reason = f"{self.description} gave {found}, expected {expected}"
        return MintError(reason, remedy="see the URL and the pointer")

    def _refused(self, status: int) -> MintError:
        if status in _REDIRECTS:
            why, remedy = "a redirect, which is not followed", "give the URL it leads to"
        elif status in _REFUSALS:
            why, remedy = "which means refused", "see the headers, and what they may ask for"
        else:
            why, remedy = "expected 200", "see the URL and the service's own state"
        return MintError(f"{self.description} answered {status}, {why}", remedy=remedy)


def resolve_pointer(document: object, pointer: str) -> object:
    """Return what a JSON pointer (RFC 6901) stands for in a document; raises LookupError."""
    value = document
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        match value:
            case dict() if key in value:
                value = value[key]
            case list() if _INDEX.fullmatch(key) and int(key) < len(value):
                value = value[int(key)]
            case dict():
                raise LookupError(one_line(f"the keys are {', '.join(sorted(value))}", most=80))
            case _:
                raise LookupError(f"{_kind(value)} has no {one_line(key, most=40)}")
    return value


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content_type: str
    body: bytes = field(repr=False)


class _Resolver(AbstractResolver):
    """Lends our look-ups to aiohttp."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily | int = 0
    ) -> list[ResolveResult]:
        found = await self._lookup(host, port, family=family)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=kin,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for kin, address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


async def _read(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_chunked(ANSWER_CAP_BYTES):
        body += chunk
        if len(body) > ANSWER_CAP_BYTES:
            break
    return bytes(body)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("the URL is not readable, expected https://HOST/PATH")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the URL holds a user or a password, expected those in a header")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError(f"the URL is {_show(url)}, expected https, or http to loopback")


def _check_headers(headers: Mapping[str, Secret]) -> None:
    for name, value in headers.items():
        text = value.reveal()
        if not text.isprintable() or not text.isascii():
            raise ValueError(f"the header {name} holds more than printable ASCII on one line")


def _show(url: str) -> str:
    parts = urlsplit(url)
    return one_line(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean"}
    return names.get(type(value), "null" if value is None else "a number")


def _why(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "")
            return f"its certificate is not trusted ({reason})"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy answered {error.status}"
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy {error.host}:{error.port} does not answer: {_os_reason(error)}"
        case aiohttp.ClientConnectorError():
            return f"{error.host}:{error.port} does not answer: {_os_reason(error)}"
        case ValueError():
            return "the URL or the proxy is not usable"
        case _:
            return f"the connection broke ({type(error).__name__})"


def _os_reason(error: aiohttp.ClientConnectorError) -> str:
    cause = error.os_error
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({cause.reason or 'no reason given'})"
    # asyncio puts a text of its own into strerror; name look-ups count their errors below zero.
    known = cause.errno is not None and cause.errno > 0
    return os.strerror(cause.errno or 0) if known else cause.strerror or "no reason given"
