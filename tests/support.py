"""What a test needs of the machine: programs, and network namespaces to run them in."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import pytest

BIN = Path(sys.executable).parent
"""Where the commands are that were installed beside this Python."""

_HOLD = """
set -e
ip link set lo up
for address in "$@"; do ip address add "$address" dev lo; done
echo up
exec cat
"""
_OPEN_LISTENER = """
import socket, sys
messenger = socket.socket(fileno=int(sys.argv[1]))
with messenger, socket.create_server(("127.0.0.1", int(sys.argv[2]))) as opened:
    socket.send_fds(messenger, [b"1"], [opened.fileno()])
"""


def need(program: str) -> str:
    """Return where a program is; skip the test without it, or fail it in CI."""
    found = shutil.which(program)
    if found is None:
        lack(f"the program {program}")
    return found


def lack(what: str) -> NoReturn:
    """Skip the test for what this machine lacks; fail it in CI, where all is installed."""
    if os.environ.get("CI"):
        pytest.fail(f"this machine lacks {what}", pytrace=False)
    pytest.skip(f"needs {what}")


def scrubbed_environ(home: Path, **more: str) -> dict[str, str]:
    """Return an environment in which no SDK finds anything, our commands first on the PATH."""
    path = os.pathsep.join((str(BIN), os.environ.get("PATH", os.defpath)))
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", **more}


def measured_environ(home: Path, **more: str) -> dict[str, str]:
    """Return the same with the variables by which coverage follows into processes of ours."""
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return scrubbed_environ(home, **coverage, **more)


class Room:
    """A network namespace with nothing but loopback: nobody in there reaches anybody else."""

    def __init__(self, holder: subprocess.Popen[str]) -> None:
        user = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
        self._enter = ("nsenter", "--target", str(holder.pid), "--net", *user)

    @contextmanager
    def running(
        self,
        *command: str | Path,
        environ: Mapping[str, str],
        stdout: Path | None = None,
        stderr: Path | None = None,
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a command in here, its output into pipes or files; nothing of it is left after."""
        # A test run that is killed takes its daemons with it.
        words = (*self._enter, "setpriv", "--pdeathsig", "TERM", *map(str, command))
        with _opened(stdout) as out, _opened(stderr) as err:
            process = subprocess.Popen(
                words,
                env=dict(environ),
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        with process:
            try:
                yield process
            finally:
                # Its group, so that a shell's children end with the shell.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def try_run(
        self, *command: str | Path, environ: Mapping[str, str], seconds: float = 90.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in here to its end, whatever that is."""
        with self.running(*command, environ=environ) as process:
            stdout, stderr = process.communicate(timeout=seconds)
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)

    def run(
        self, *command: str | Path, environ: Mapping[str, str], seconds: float = 90.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in here to its end, which must be a success."""
        done = self.try_run(*command, environ=environ, seconds=seconds)
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def listen(self, port: int) -> socket.socket:
        """Return a socket that listens on loopback in here; the caller closes it."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            handle = theirs.fileno()
            command = (*self._enter, sys.executable, "-c", _OPEN_LISTENER, str(handle), str(port))
            subprocess.run(command, check=True, pass_fds=[handle], timeout=30)
            _, handles, _, _ = socket.recv_fds(ours, 1, 1)
        return socket.socket(fileno=handles[0])


@contextmanager
def room(*addresses: str) -> Iterator[Room]:
    """A new network namespace, with further addresses on its loopback interface."""
    for program in ("unshare", "nsenter", "setpriv", "ip"):
        need(program)
    mapped = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    # The holder ends when its input does: when this process closes it, or is no more.
    with subprocess.Popen(
        ("unshare", "--net", *mapped, "sh", "-c", _HOLD, "sh", *addresses),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as holder:
        if holder.stdout.readline() != "up\n":
            lack(f"network namespaces: {holder.communicate()[1].strip()}")
        try:
            yield Room(holder)
        finally:
            holder.stdin.close()


@contextmanager
def _opened(path: Path | None) -> Iterator[int]:
    if path is None:
        yield subprocess.PIPE
        return
    with path.open("ab") as file:
        yield file.fileno()
