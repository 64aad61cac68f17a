"""The sandbox as a whole: both servers on loopback, in the caller's event loop."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aiohttp import web

from imdsd.addresses import is_loopback
from imdsd.errors import UsageError
from imdsd.sandbox.grants import Rules
from imdsd.sandbox.issuer import Issuer, signing_key
from imdsd.sandbox.sessions import SandboxRole
from imdsd.sandbox.sts import SandboxSts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from imdsd.clock import Clock

__all__ = ["Sandbox", "SandboxRole"]

# Requests in flight end at once when the sandbox does; nobody waits for a demo.
SHUTDOWN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _Parts:
    issuer: Issuer
    sts: SandboxSts
    sts_url: str


class Sandbox:
    """An issuer and an STS that listen on ephemeral loopback ports inside `async with`.

    `session_seconds` is the length of every session, whatever is asked for, so that a refresh
    can be watched. Raises UsageError for a host that is not on loopback: the issuer gives
    tokens to whoever asks.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        roles: Sequence[SandboxRole] = (),
        session_seconds: int | None = None,
        audience: str = "sts.amazonaws.com",
        host: str = "127.0.0.1",
    ) -> None:
        if host == "localhost" or not is_loopback(host):
            raise UsageError(f"the sandbox's host is {host!r}, expected a loopback address")
        self._clock = clock
        self._roles = {role.arn: role for role in roles}
        self._session_seconds = session_seconds
        self._audience = audience
        self._host = host
        self._parts: _Parts | None = None
        self._stack = AsyncExitStack()

    @property
    def issuer(self) -> Issuer:
        """The OIDC issuer."""
        return self._running.issuer

    @property
    def sts(self) -> SandboxSts:
        """The STS, with its `faults` and `requests`."""
        return self._running.sts

    @property
    def issuer_url(self) -> str:
        """Where the issuer is, and what it calls itself."""
        return self._running.issuer.url

    @property
    def token_url(self) -> str:
        """Where a web identity token can be had by GET."""
        return f"{self.issuer_url}/token"

    @property
    def sts_url(self) -> str:
        """Where the STS is."""
        return self._running.sts_url

    def add_role(self, role: SandboxRole) -> None:
        """Let a role exist from now on, in place of any other with its ARN."""
        self._roles[role.arn] = role

    @property
    def _running(self) -> _Parts:
        if self._parts is None:
            raise RuntimeError("the sandbox has not been started: enter it with `async with`")
        return self._parts

    async def __aenter__(self) -> Self:
        key = await asyncio.to_thread(signing_key)
        async with AsyncExitStack() as stack:
            issuer_socket = stack.enter_context(self._bind())
            sts_socket = stack.enter_context(self._bind())
            issuer = Issuer(_url(issuer_socket), self._clock, self._audience, key)
            rules = Rules(issuer, self._roles, self._session_seconds)
            sts = SandboxSts(rules, clock=self._clock)
            await _serve(issuer.application(), issuer_socket, stack)
            await _serve(sts.application(), sts_socket, stack)
            # Last in, first out: a request that hangs would hold up the servers' end.
            stack.callback(sts.faults.clear)
            self._parts = _Parts(issuer, sts, _url(sts_socket))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        return socket.create_server((self._host, 0), family=family)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _serve(
    application: web.Application, listener: socket.socket, stack: AsyncExitStack
) -> None:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener).start()
