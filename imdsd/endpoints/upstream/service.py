"""How a real metadata service wants to be asked: by IMDSv2 alone, one token for all reads."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsd.endpoints.upstream.errors import Fault, UpstreamUnavailableError
from imdsd.endpoints.upstream.wire import ANSWER_CAP_BYTES, SEE_THE_ADDRESS, Reply, Wire, stopping
from imdsd.secret import Secret

if TYPE_CHECKING:
    from imdsd.clock import Clock

_TOKEN_PATH = "/latest/api/token"
_TOKEN_HEADER = "X-aws-ec2-metadata-token"
_TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
_TTL_SECONDS = 21600
_RENEW_SECONDS = 300.0

_OK, _UNAUTHORIZED, _NOT_FOUND = 200, 401, 404
# Refused with a new token, too many requests, unavailable: it is not one path that is in trouble.
_GONE = (401, 429, 503)
_TOKEN = re.compile(rb"[!-~]{1,1024}")
_SECONDS = re.compile(r"[0-9]{1,5}")

_HOPS = (
    "see [metadata] upstream, and the hop limit of the instance, which must be 2 or more for "
    "containers"
)


@dataclass(frozen=True, slots=True)
class _ImdsToken:
    secret: Secret
    renew_at: float
    dies_at: float


class Service:
    """Read paths below `latest` within a deadline; all reads share one IMDS token."""

    def __init__(self, url: str, *, clock: Clock, mint_seconds: float) -> None:
        self._wire = Wire(url)
        self._clock = clock
        self._mint_seconds = mint_seconds
        self._token: _ImdsToken | None = None
        self._minting: asyncio.Task[_ImdsToken | UpstreamUnavailableError] | None = None

    async def read(self, path: str, *, seconds: float) -> bytes | None:
        """Return a value or a listing, None for 404; raises UpstreamUnavailableError.

        `seconds` are for all of it, an IMDS token included.
        """
        try:
            async with asyncio.timeout(seconds):
                reply = await self._ask(path)
        except TimeoutError:
            raise self._unavailable(_late(seconds), _HOPS, fault=Fault.SILENT) from None
        if reply.status == _NOT_FOUND:
            return None
        if reply.status != _OK:
            raise self._refused(reply.status)
        if len(reply.body) > ANSWER_CAP_BYTES:
            raise self._unavailable(
                f"gave more than {ANSWER_CAP_BYTES} bytes for one path",
                "set that value under [metadata] if it is needed",
                fault=Fault.ODD,
            )
        return reply.body

    async def aclose(self) -> None:
        """End what is under way and close every connection."""
        if self._minting is not None:
            self._minting.cancel()
            await asyncio.gather(self._minting, return_exceptions=True)
        await self._wire.aclose()

    async def _ask(self, path: str) -> Reply:
        token = await self._valid_token()
        reply = await self._get(path, token)
        if reply.status == _UNAUTHORIZED:
            reply = await self._get(path, await self._valid_token(refused=token))
        return reply

    async def _get(self, path: str, token: _ImdsToken) -> Reply:
        headers = {_TOKEN_HEADER: token.secret.reveal()}
        return await self._wire.ask("GET", f"/latest/{path}", headers)

    async def _valid_token(self, *, refused: _ImdsToken | None = None) -> _ImdsToken:
        """Return a token other than the refused one; all who need a new one share its minting.

        Nobody waits for a new one while the old one lives.
        """
        if self._token is refused:
            self._token = None
        token, now = self._token, self._clock.monotonic()
        if token is None or now >= token.dies_at:
            return await self._minted()
        if now >= token.renew_at:
            self._start_minting()
        return token

    async def _minted(self) -> _ImdsToken:
        minting = self._start_minting()
        # One who leaves early cancels nothing for the others.
        await asyncio.wait((minting,))
        outcome = stopping() if minting.cancelled() else minting.result()
        if isinstance(outcome, _ImdsToken):
            return outcome
        raise outcome.with_traceback(None)

    def _start_minting(self) -> asyncio.Task[_ImdsToken | UpstreamUnavailableError]:
        if self._minting is None or self._minting.done():
            self._minting = asyncio.create_task(self._mint(), name="mint an IMDS token upstream")
        return self._minting

    async def _mint(self) -> _ImdsToken | UpstreamUnavailableError:
        asked_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._mint_seconds):
                reply = await self._wire.ask("PUT", _TOKEN_PATH, {_TTL_HEADER: str(_TTL_SECONDS)})
        except TimeoutError:
            return self._unavailable(_late(self._mint_seconds), _HOPS, fault=Fault.GONE)
        except UpstreamUnavailableError as error:
            return UpstreamUnavailableError(error.reason, remedy=error.remedy, fault=Fault.GONE)
        if reply.status != _OK or not _TOKEN.fullmatch(reply.body):
            return self._no_token(reply.status)
        lives = _lifetime_seconds(reply)
        self._token = _ImdsToken(
            Secret(reply.body.decode()),
            renew_at=asked_at + lives - min(_RENEW_SECONDS, lives / 2),
            dies_at=asked_at + lives,
        )
        return self._token

    def _no_token(self, status: int) -> UpstreamUnavailableError:
        if status == _OK:
            return self._unavailable("gave no IMDS token where one is due", fault=Fault.GONE)
        found = f"answered {status} when asked for an IMDS token"
        return self._unavailable(found, fault=Fault.GONE)

    def _refused(self, status: int) -> UpstreamUnavailableError:
        fault = Fault.GONE if status in _GONE else Fault.ODD
        if status == _UNAUTHORIZED:
            return self._unavailable("answered 401 to a new IMDS token of its own", fault=fault)
        return self._unavailable(f"answered {status}, expected 200 or 404", fault=fault)

    def _unavailable(
        self, found: str, remedy: str = SEE_THE_ADDRESS, *, fault: Fault
    ) -> UpstreamUnavailableError:
        reason = f"the metadata service at {self._wire.url} {found}"
        return UpstreamUnavailableError(reason, remedy=remedy, fault=fault)


def _late(seconds: float) -> str:
    return f"gave no answer within {seconds:g} s"


def _lifetime_seconds(reply: Reply) -> int:
    """Return how long a token lives by the answer that brought it, else as was asked."""
    told = reply.headers.get(_TTL_HEADER, "")
    seconds = int(told) if _SECONDS.fullmatch(told) else 0
    return seconds if 0 < seconds < _TTL_SECONDS else _TTL_SECONDS
