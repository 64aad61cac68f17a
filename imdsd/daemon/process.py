"""How the process of a daemon runs its loop, and how it ends though a thread may hang."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

_THREADS = "imdsd-worker"
_PATIENCE_SECONDS = 0.2


class _ImpatientExecutor(ThreadPoolExecutor):
    """Threads that nobody waits for: one in the C library's resolver cannot be interrupted."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  # the signature of the library
        super().shutdown(wait=False, cancel_futures=True)


def run(main: Callable[[], Coroutine[None, None, T]]) -> T:
    """Run `main` to its end in a loop of its own and return what it gives."""
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(_ImpatientExecutor(thread_name_prefix=_THREADS))
        return runner.run(main())


async def aside(load: Callable[[], object]) -> None:
    """Run `load` in a thread that ends with it, and return then; the loop goes on meanwhile."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        try:
            load()
        finally:
            with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="aside", daemon=True).start()
    await done.wait()


def leave_behind_stuck_threads(code: int) -> None:
    """End the process with `code` at once if a thread hangs; return if none does.

    The interpreter would wait for it, past the five seconds a stopping daemon has, and past every
    deadline that a verb keeps.
    """
    for thread in threading.enumerate():
        if thread.name.startswith(_THREADS):
            thread.join(_PATIENCE_SECONDS)
            if thread.is_alive():
                for stream in (sys.stdout, sys.stderr):
                    with contextlib.suppress(OSError):
                        stream.flush()
                os._exit(code)
