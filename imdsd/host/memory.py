"""Keeps the memory of this process from other processes of its user, and out of core files."""

from __future__ import annotations

import os
import resource

_PR_SET_DUMPABLE = 4


def close_memory() -> str:
    """Have root alone read this process; return why that cannot be, or nothing.

    A process that is not dumpable is root's in /proc, cannot be traced by its own user, and leaves
    no core file (prctl(2), proc(5)). What it executes is dumpable again.
    """
    # Loaded here: what only asks for the limit below starts without it.
    import ctypes  # noqa: PLC0415

    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (AttributeError, OSError):
        return "this system has no PR_SET_DUMPABLE: processes of the same user may read this one"
    if prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0:
        return ""
    why = os.strerror(ctypes.get_errno())
    return f"PR_SET_DUMPABLE is refused ({why}): processes of the same user may read this one"


def leave_no_core() -> None:
    """Have this process, and all that it starts, leave no core file (core(5))."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
