"""The daemon's side of the exchange process: when there is one, what it is told, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple, Self

from imdsd.daemon.exchanging.messages import Issued, Job, Result, line, result_of
from imdsd.errors import ExchangeError
from imdsd.sts import TOTAL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from imdsd.secret import Secret
    from imdsd.sts import StsSession

LINGER_SECONDS = 1.0
"""How long a process waits for another job: roles that are due together share one."""

EARLY_SECONDS = 10.0
"""How long one that was started early waits for its first job, which waits for a token."""

PATIENCE_SECONDS = TOTAL_SECONDS + 20.0
"""How long a job may take, with the start of the process on a machine that is busy."""

_ENDING_SECONDS = 2.0
_MODULE = "imdsd.daemon.exchanging.worker"
# What would change whom the SDK is for AWS, whom the process takes itself for, and what it loads.
_WITHHELD = ("AWS_", "IMDSD_", "PYTHON", "LISTEN_", "NOTIFY_", "WATCHDOG_")
_BY_HAND = f"see what `{sys.executable} -m {_MODULE}` says, and whether memory ran out"


class ProcessExchange:
    """The exchange of one STS, made by the exchange process; the parameters are `StsExchange`'s."""

    def __init__(
        self,
        process: ExchangeProcess,
        region: str,
        *,
        endpoint_url: str | None = None,
        ca_bundle: Path | None = None,
    ) -> None:
        self._process = process
        self._region = region
        self._endpoint_url = endpoint_url
        self._ca_bundle = os.fsencode(ca_bundle) if ca_bundle else None

    async def exchange(
        self,
        token: Secret,
        *,
        role_arn: str,
        chain: tuple[str, ...],
        session_name: str,
        duration_seconds: int,
        policy: str | None,
        policy_arns: tuple[str, ...],
    ) -> StsSession:
        """Return or raise what `StsExchange.exchange` would, or say why it could not be asked."""
        job = Job(
            self._region,
            self._endpoint_url,
            self._ca_bundle,
            token,
            role_arn,
            chain,
            session_name,
            duration_seconds,
            policy,
            policy_arns,
        )
        return await self._process.run(job)


class ExchangeProcess:
    """Does the exchanges of all roles in one process, which is there only while there are any.

    `environ` is the daemon's: proxies and certificates count there too. Times are in seconds.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        linger_seconds: float = LINGER_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._environ = environ
        self._linger_seconds = linger_seconds
        self._patience_seconds = patience_seconds
        self._starting = asyncio.Lock()
        self._workers: set[_Worker] = set()
        self._early: _Started | None = None

    def start_early(self) -> None:
        """Start a process before there is a loop, which `adopt` then takes in.

        It loads AWS's SDK beside all that a daemon does before its first exchange.
        """
        # Whatever keeps it from starting will be told when it is needed.
        with contextlib.suppress(OSError):
            self._early = _start(_environ_of(self._environ))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what was started early and never taken in."""
        if self._early is not None:
            started, self._early = self._early, None
            started.channel.close()
            started.process.kill()
            started.process.wait()

    async def adopt(self) -> None:
        """Take in what was started early, if anything was."""
        if self._early is not None:
            started, self._early = self._early, None
            worker = await self._add(started)
            worker.retire_after(EARLY_SECONDS)

    async def run(self, job: Job) -> StsSession:
        """Return what STS issued for a job; raises `ExchangeError`."""
        worker = await self._worker()
        try:
            async with asyncio.timeout(self._patience_seconds):
                result = await worker.ask(job)
        except TimeoutError:
            worker.kill()
            raise ExchangeError(
                f"the exchange process gave no answer within {self._patience_seconds:g} s "
                "and was killed",
                remedy=_BY_HAND,
                code="Timeout",
            ) from None
        if isinstance(result, Issued):
            return result.session
        raise result.error()

    async def close(self) -> None:
        """Have the process end, and reap it: at the latest after two seconds, killed."""
        for worker in tuple(self._workers):
            worker.retire()
        await asyncio.gather(*(worker.gone for worker in tuple(self._workers)))

    async def _worker(self) -> _Worker:
        async with self._starting:
            for worker in self._workers:
                if worker.takes_jobs:
                    return worker
            try:
                started = _start(_environ_of(self._environ))
            except OSError as error:
                raise ExchangeError(
                    f"the exchange process cannot be started: {error.strerror}", remedy=_BY_HAND
                ) from error
            return await self._add(started)

    async def _add(self, started: _Started) -> _Worker:
        worker = _Worker(started.process, self._linger_seconds)
        self._workers.add(worker)
        worker.gone.add_done_callback(lambda _: self._workers.discard(worker))
        await worker.connect(started.channel)
        return worker


class _Started(NamedTuple):
    """A process, and our end of what is its stdin."""

    process: subprocess.Popen[bytes]
    channel: socket.socket


class _Worker(asyncio.Protocol):
    """One process and what it was asked; `gone` is done once it has ended and was reaped."""

    def __init__(self, process: subprocess.Popen[bytes], linger_seconds: float) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._linger_seconds = linger_seconds
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Result]] = {}
        self._heard = b""
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self.takes_jobs = True
        self.gone: asyncio.Future[None] = self._loop.create_future()

    async def connect(self, channel: socket.socket) -> None:
        """Hear and speak through a channel from now on."""
        self._transport, _ = await self._loop.create_unix_connection(lambda: self, sock=channel)

    async def ask(self, job: Job) -> Result:
        """Return what the process answers; raises `ExchangeError` when it ends before."""
        number = next(self._numbers)
        answer: asyncio.Future[Result] = self._loop.create_future()
        self._asked[number] = answer
        self._keep()
        self._transport.write(line(number, job))
        try:
            return await answer
        finally:
            del self._asked[number]
            if not self._asked and self.takes_jobs:
                self.retire_after(self._linger_seconds)

    def retire_after(self, seconds: float) -> None:
        """Retire then, unless it is asked before."""
        self._after(seconds, self.retire)

    def retire(self) -> None:
        """Take no further job and have the process end; it is killed unless it does."""
        self.takes_jobs = False
        if not self.gone.done():
            self._transport.write_eof()
            self._after(_ENDING_SECONDS, self.kill)

    def kill(self) -> None:
        """End the process now; who waits for an answer is told."""
        self.takes_jobs = False
        self._process.kill()

    def data_received(self, data: bytes) -> None:
        """Hand results to who waits for them."""
        *texts, self._heard = (self._heard + data).split(b"\n")
        for text in texts:
            number, result = result_of(text)
            answer = self._asked.get(number)
            # Who was cancelled meanwhile waits no more.
            if answer is not None and not answer.done():
                answer.set_result(result)

    def connection_lost(self, _error: Exception | None) -> None:
        """Reap the process: its end of the socket is closed only when it ends."""
        self.takes_jobs = False
        self._keep()
        how = self._reap()
        for answer in self._asked.values():
            if not answer.done():
                reason = f"the exchange process {how} before it answered"
                answer.set_exception(ExchangeError(reason, remedy=_BY_HAND))
        self.gone.set_result(None)

    def _reap(self) -> str:
        """Return how the process ended."""
        # It has, unless it was us who gave up the socket.
        self._process.kill()
        status = self._process.wait()
        return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._keep()
        self._timer = self._loop.call_later(seconds, act)

    def _keep(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _environ_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the process gets to see; it finds our modules where this one found them."""
    seen = {name: value for name, value in environ.items() if not name.startswith(_WITHHELD)}
    return {**seen, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _start(environ: Mapping[str, str]) -> _Started:
    """Start a process; raises OSError when that cannot be."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(
                # -P: the working directory shadows nothing.
                [sys.executable, "-P", "-m", _MODULE, str(os.getpid())],
                env=dict(environ),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Away from the terminal: its Ctrl-C is for the daemon, which ends us in order.
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
    return _Started(process, ours)
