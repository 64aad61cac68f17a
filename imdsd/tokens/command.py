"""A token command: run without a shell, bounded in time and output, and killed with all it started.

The command runs below a warden process (`warden.py`), which does the killing; here are the
deadlines and what a person is told. Nothing of asyncio's child watching is used: the end of the
warden's socket is the end of the warden, under any Python and any event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from imdsd.errors import MintError
from imdsd.tokens import warden
from imdsd.tokens.shape import one_line, show_arguments, token_from

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imdsd.secret import Secret

# What would change whom the command is for AWS, whom it takes for us, and what code it loads.
WITHHELD_PREFIXES = ("AWS_", "IMDSD_", "LD_", "PYTHON")
# What a service manager says to the daemon alone (sd_listen_fds(3), sd_notify(3)).
WITHHELD_NAMES = frozenset(
    (
        "LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID",
        "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC",
    )
)  # fmt: skip

_STOPPING_SECONDS = 2.0
_SWEEP_SECONDS = 1.0
_CHUNK_BYTES = 64 * 1024
_NOT_STARTED = {
    errno.ENOENT: ("is not found", "install it, or correct its path"),
    errno.EACCES: ("is not executable", "let the daemon's user execute it: chmod +x"),
    errno.ENOEXEC: ("is no program", "begin the script with #! and its interpreter"),
}
_BY_HAND = "run it by hand as the daemon's user and see what it says"


@dataclass(frozen=True, slots=True)
class CommandSource:
    """A command that prints a web identity token, for example `gitpod idp token`."""

    argv: Sequence[str]
    environ: Mapping[str, str] = field(kw_only=True, repr=False)
    timeout_seconds: float = field(default=10.0, kw_only=True)
    kill_after_seconds: float = field(default=5.0, kw_only=True)
    renewable = True
    minted_on_demand = True

    def __repr__(self) -> str:
        return f"CommandSource({self.description!r})"

    @property
    def description(self) -> str:
        """Name the source in one line for status; what may be a secret is cut out."""
        return f"command {show_arguments(self.argv)}"

    async def mint(self) -> Secret:
        """Run the command and return the token it prints; raises MintError.

        After `timeout_seconds` its process group gets SIGTERM and, `kill_after_seconds` later,
        whatever is left of it SIGKILL; when this call is cancelled, SIGKILL follows after 2 s.
        """
        async with contextlib.aclosing(await self._start()) as run:
            try:
                async with asyncio.timeout(self.timeout_seconds):
                    ending = await run.ending()
            except TimeoutError:
                ended = await run.terminate(grace_seconds=self.kill_after_seconds)
                raise self._late(ended) from None
            except asyncio.CancelledError:
                await run.terminate(grace_seconds=_STOPPING_SECONDS)
                raise
        if ending is not None and (ending.kind, ending.number) == ("exited", 0):
            return token_from(ending.stdout, source=self.description, remedy=_BY_HAND)
        raise self._failed(ending)

    async def _start(self) -> _Run:
        try:
            return await _Run.start(self.argv, child_environ(self.environ))
        except OSError as error:
            raise MintError(
                f"{sys.executable}, which runs token commands, cannot be started: {error.strerror}",
                remedy="restart imdsd, or install it again",
            ) from error

    def _late(self, ending: _Ending | None) -> MintError:
        return MintError(
            f"{self.description} gave no token within {self.timeout_seconds:g} s and was killed"
            + _last_words(ending),
            remedy=f"{_BY_HAND}; its stdin is /dev/null, so it cannot ask for input",
        )

    def _failed(self, ending: _Ending | None) -> MintError:
        if ending is None:
            return MintError(f"{self.description} was lost: its guard was killed", remedy=_BY_HAND)
        if ending.kind == "failed":
            return self._not_started(ending.number)
        if ending.kind == "flooded":
            how = f"printed more than {warden.OUTPUT_CAP_BYTES} bytes and was killed"
        elif ending.number < 0:
            how = f"was killed by {_signal_name(-ending.number)}"
        else:
            how = f"ended with status {ending.number}"
        return MintError(f"{self.description} {how}{_last_words(ending)}", remedy=_BY_HAND)

    def _not_started(self, number: int) -> MintError:
        program, path = self.argv[0], self.environ.get("PATH", "")
        if number == errno.ENOENT and shutil.which(program, path=path):
            why, remedy = "names an interpreter that is not found", "see its first line"
        elif number == errno.ENOENT and "/" not in program:
            why, remedy = f"is not on the PATH ({path})", "install it, or give its full path"
        else:
            why, remedy = _NOT_STARTED.get(
                number, (f"cannot be started: {os.strerror(number)}", "")
            )
        return MintError(one_line(f"token command {program} {why}"), remedy=remedy)


def split_command(text: str) -> tuple[str, ...]:
    """Split a command line like a shell would, without running one.

    Raises ValueError with a text for a person.
    """
    try:
        argv = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"the command cannot be split: {str(error).lower()}") from None
    if not argv or not argv[0]:
        raise ValueError("the command is empty")
    if "\0" in text:
        raise ValueError("the command holds a NUL")
    return argv


def child_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a token command gets to see of the environment."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(WITHHELD_PREFIXES) and name not in WITHHELD_NAMES
    }


@dataclass(frozen=True, slots=True)
class _Ending:
    kind: str
    number: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)


class _Run:
    """A warden at work and the socket it listens to."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._answer = b""

    @classmethod
    async def start(cls, argv: Sequence[str], environ: Mapping[str, str]) -> Self:
        """Start a warden with the command; raises OSError when that cannot be."""
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            # From here to its owner there is no await, at which the process could be forgotten.
            try:
                process = _start_warden(argv, environ, theirs)
            except OSError:
                writer.close()
                await writer.wait_closed()
                raise
        return cls(process, reader, writer)

    async def ending(self) -> _Ending | None:
        """Wait until the command has ended; None when the warden did first."""
        while (ending := _parse(self._answer)) is None:
            try:
                more = await self._reader.read(_CHUNK_BYTES)
            except ConnectionError:
                # Something was still to be said to a warden that had ended.
                return None
            if not more:
                return None
            self._answer += more
        return ending

    async def terminate(self, *, grace_seconds: float) -> _Ending | None:
        """Ask the command to end, kill it when it did not, and return how it ended."""
        self._writer.write(b"T")
        for seconds in (grace_seconds, _SWEEP_SECONDS):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await self.ending()
            self._kill()
        return None

    async def aclose(self) -> None:
        """Let the warden kill and reap what is left, and reap the warden."""
        self._kill()
        try:
            async with asyncio.timeout(_SWEEP_SECONDS):
                while await self._reader.read(_CHUNK_BYTES):
                    pass
        except TimeoutError:
            self._process.kill()
        except ConnectionError:
            pass
        finally:
            self._writer.close()
            self._reap()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def _kill(self) -> None:
        # A warden that is gone already has closed its end.
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    def _reap(self) -> None:
        # Its socket has ended, so this is a matter of microseconds; but for a caller who is
        # cancelled a second time: nothing may outlive the daemon, so the loop waits for the sweep.
        try:
            self._process.wait(_SWEEP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _parse(answer: bytes) -> _Ending | None:
    head, complete, body = answer.partition(b"\n")
    if not complete:
        return None
    kind, number, out, err = head.split()
    size = int(out)
    if len(body) < size + int(err):
        return None
    return _Ending(kind.decode(), int(number), body[:size], body[size:])


def _start_warden(
    argv: Sequence[str], environ: Mapping[str, str], channel: socket.socket
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # -I: neither the working directory nor this package shadows the standard library.
        [sys.executable, "-I", warden.__file__, *argv],
        env=dict(environ),
        stdin=channel.fileno(),
        stdout=channel.fileno(),
        stderr=subprocess.DEVNULL,
        # Away from the terminal: its Ctrl-C is for the daemon, which then ends us in order.
        start_new_session=True,
    )


def _last_words(ending: _Ending | None) -> str:
    if ending is None:
        return ""
    lines = [line for line in ending.stderr.decode(errors="replace").splitlines() if line.strip()]
    return f": {one_line(lines[-1])}" if lines else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
