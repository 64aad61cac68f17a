"""The process between the daemon and a token command: it can kill all that the command started.

It runs as a script of its own (standard library only): as the nearest subreaper it adopts
whatever the command leaves behind, however it detached, so that every descendant is known and can
be killed and reaped; and it goes down with the daemon, taking them along, even after `kill -9`.

It speaks with the daemon over one socket, which is its stdin and stdout. A byte from the daemon
asks the command to end (SIGTERM to its process group); the end of the daemon's stream kills. It
answers once: a line `KIND NUMBER OUT ERR`, OUT bytes of stdout, and the last ERR bytes of stderr.
It knows no time: the deadlines are the daemon's.

What the command prints, a web identity token, is in its memory for as long as the command runs: it
is read by nobody but root, and leaves no core file, as the daemon.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OUTPUT_CAP_BYTES = 16 * 1024
STDERR_TAIL_BYTES = 4 * 1024

_CONTROL, _ANSWER = 0, 1
_NOTE_BYTES = 4096
_PIPE_BYTES = 64 * 1024  # what a pipe holds (pipe(7)): one read after the end misses nothing
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_POLL_SECONDS = 0.01
_PARENT_FIELD = 1  # of /proc/PID/stat, counted behind the name, which may hold anything


class Watch:
    """One run of a command: what it wrote, and how it ended."""

    def __init__(self, child: subprocess.Popen[bytes], wakeup: int) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._child = child
        self._wakeup = wakeup
        self._ending: tuple[str, int] | None = None
        self._pipes = _unblocked(child)
        self._selector = selectors.DefaultSelector()

    def run(self) -> tuple[str, int]:
        """Wait for the process, not for its pipes: a grandchild may hold those for ever."""
        out, err = self._pipes
        self._on(_CONTROL, self._obey)
        self._on(self._wakeup, self._look)
        self._on(out, lambda: self._take_stdout(out))
        self._on(err, lambda: self._take_stderr(err))
        while self._ending is None:
            for key, _ in self._selector.select():
                react: Callable[[], bool] = key.data
                if not react():
                    self._selector.unregister(key.fd)
        return self._ending

    def _on(self, descriptor: int, react: Callable[[], bool]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, react)

    def _obey(self) -> bool:
        asked = b""
        with contextlib.suppress(ConnectionResetError):
            asked = os.read(_CONTROL, _NOTE_BYTES)
        if asked:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGTERM)
        else:
            self._ending = ("killed", 0)
        return bool(asked)

    def _look(self) -> bool:
        os.read(self._wakeup, _NOTE_BYTES)
        status = self._child.poll()
        if status is not None:
            out, err = self._pipes
            self._take_stdout(out)
            self._take_stderr(err)
            self._ending = self._ending or ("exited", status)
        return True

    def _take_stdout(self, out: int) -> bool:
        chunk = _read(out, OUTPUT_CAP_BYTES + 1 - len(self.stdout))
        self.stdout += chunk
        if len(self.stdout) > OUTPUT_CAP_BYTES:
            self._ending = ("flooded", len(self.stdout))
        return bool(chunk)

    def _take_stderr(self, err: int) -> bool:
        chunk = _read(err, _PIPE_BYTES)
        self.stderr = (self.stderr + chunk)[-STDERR_TAIL_BYTES:]
        return bool(chunk)


def main(argv: Sequence[str]) -> int:
    """Run one command, answer how it ended, and leave nothing of it behind."""
    close_memory()
    become_subreaper()
    wakeup = _hear_of_children()
    try:
        child = _start(argv)
    except OSError as error:
        _answer("failed", error.errno or 0, b"", b"")
        return 0
    watch = Watch(child, wakeup)
    kind, number = watch.run()
    _answer(kind, number, bytes(watch.stdout), bytes(watch.stderr))
    sweep(child.pid, wakeup)
    return 0


def close_memory() -> None:
    """Have root alone read this process; the command ends that for itself when it is executed."""
    _prctl(_PR_SET_DUMPABLE, 0)


def become_subreaper() -> None:
    """Adopt every orphan below this process (prctl(2), PR_SET_CHILD_SUBREAPER); Linux only."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def sweep(group: int, wakeup: int) -> None:
    """Kill and reap every descendant, and what that orphans, until none is left."""
    selector = selectors.DefaultSelector()
    selector.register(wakeup, selectors.EVENT_READ)
    while _has_children():
        for pid in {*_children(), *_descendants(os.getpid())} or {-group}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        # A limit, because an orphan that arrived just behind the listing wakes nobody.
        if selector.select(_POLL_SECONDS):
            os.read(wakeup, _NOTE_BYTES)


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True


def _children() -> list[int]:
    """Return this process's own, those included that /proc hides where they are not dumpable.

    What is below such a one becomes ours when it is killed.
    """
    task = Path(f"/proc/self/task/{os.getpid()}/children")
    with contextlib.suppress(OSError):  # a kernel without CONFIG_PROC_CHILDREN
        return [int(pid) for pid in task.read_text(encoding="ascii").split()]
    return []


def _descendants(ancestor: int) -> list[int]:
    parents = dict(_parents())
    found = [ancestor]
    for known in found:
        found.extend(pid for pid, parent in parents.items() if parent == known)
    return found[1:]


def _parents() -> list[tuple[int, int]]:
    rows = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            behind_name = entry.read_bytes().rpartition(b")")[2].split()
            rows.append((int(entry.parent.name), int(behind_name[_PARENT_FIELD])))
    return rows


def _start(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    warden = os.getpid()

    def die_with_the_warden() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != warden:
            os._exit(1)

    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
        preexec_fn=die_with_the_warden,  # noqa: PLW1509 - this process has one thread
    )


def _hear_of_children() -> int:
    """Return a descriptor that becomes readable when a child ends."""
    hear, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    # A service manager may send SIGTERM to us all: the daemon then says how to end, not the signal.
    # Handlers rather than SIG_IGN, which the command would inherit.
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    return hear


def _unblocked(child: subprocess.Popen[bytes]) -> tuple[int, int]:
    if child.stdout is None or child.stderr is None:
        raise ValueError("both outputs must be pipes")
    for pipe in (child.stdout, child.stderr):
        os.set_blocking(pipe.fileno(), False)
    return child.stdout.fileno(), child.stderr.fileno()


def _read(descriptor: int, most: int) -> bytes:
    try:
        return os.read(descriptor, most)
    except BlockingIOError:
        return b""


def _answer(kind: str, number: int, out: bytes, err: bytes) -> None:
    head = f"{kind} {number} {len(out)} {len(err)}\n".encode()
    # Without the daemon nobody reads this, and the sweep is what remains to be done.
    with (
        contextlib.suppress(BrokenPipeError, ConnectionResetError),
        os.fdopen(_ANSWER, "wb", closefd=False) as answer,
    ):
        answer.write(head + out + err)


def _prctl(option: int, argument: int) -> None:
    # Elsewhere than on Linux there is no such call, and the process group must do.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
