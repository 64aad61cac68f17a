"""The process that asks STS for the daemon: `python -m imdsd.daemon.exchanging.worker DAEMON`.

Its stdin is a socket of the daemon's: jobs come in, results go out one by one, in the order in
which STS answers. It ends with that socket, within a second, whatever hangs, and with the daemon.
It holds tokens and keys for as long as an exchange takes: it is read by nobody but root, and
leaves no core file, as the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.daemon.exchanging.messages import LINE_BYTES, Issued, Job, Refused, Result, job_of, line
from imdsd.errors import ExchangeError, RefreshError
from imdsd.host.memory import close_memory, leave_no_core
from imdsd.sts import StsExchange, shared_session

if TYPE_CHECKING:
    from collections.abc import Sequence

_STDIN = 0
_ENDING_SECONDS = 1
_PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str]) -> int:
    """Exchange until the socket on stdin ends."""
    leave_no_core()
    close_memory()
    if argv:
        _end_with(int(argv[0]))
    # The daemon says how to end: a service manager or a terminal may tell us all at once.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    shared_session()
    try:
        # A copy: the original stays open until there is no process any more.
        channel = socket.socket(fileno=os.dup(_STDIN))
    except OSError:
        print("imdsd can exchange tokens with STS; `imdsd serve` starts this process.")
        return 0
    asyncio.run(serve(channel))
    return 0


async def serve(channel: socket.socket) -> None:
    """Do the jobs that come through the channel, side by side, until it ends."""
    reader, writer = await asyncio.open_unix_connection(sock=channel, limit=LINE_BYTES)
    tasks = set()
    with contextlib.suppress(ConnectionError):
        while text := await reader.readline():
            task = asyncio.create_task(_answer(text, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    # What still runs is cancelled by the loop's end. A thread in the C library's resolver is not:
    # unless it is over by then, this signal ends the process.
    signal.alarm(_ENDING_SECONDS)
    writer.transport.abort()


async def _answer(text: bytes, writer: asyncio.StreamWriter) -> None:
    number, job = job_of(text)
    writer.write(line(number, await _result(job)))


async def _result(job: Job) -> Result:
    exchange = StsExchange(
        job.region,
        endpoint_url=job.endpoint_url,
        ca_bundle=Path(os.fsdecode(job.ca_bundle)) if job.ca_bundle else None,
    )
    try:
        session = await exchange.exchange(
            job.token,
            role_arn=job.role_arn,
            chain=job.chain,
            session_name=job.session_name,
            duration_seconds=job.duration_seconds,
            policy=job.policy,
            policy_arns=job.policy_arns,
        )
    except RefreshError as error:
        return Refused.by(error)
    except Exception as error:  # noqa: BLE001  # the daemon is told, whatever it is
        # Its text might hold what it was given.
        return Refused.by(ExchangeError(f"the exchange failed with {type(error).__name__}"))
    return Issued(session)


def _end_with(daemon: int) -> None:
    """Be killed when the daemon's process ends, and end now if it has (prctl(2)); Linux only."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != daemon:
        sys.exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
