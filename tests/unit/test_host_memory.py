"""Who may read a process that closed its memory, each in a process of its own: it is for good."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys

import pytest

PR_GET_DUMPABLE = 3
SHOW = f"""
import ctypes, resource
print(ctypes.CDLL(None).prctl({PR_GET_DUMPABLE}, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))
"""
# As seccomp or another kernel would: the call is there and says no, or is not there.
REFUSING = """
import ctypes, errno
class Library:
    def __init__(self, name, use_errno):
        pass
    {prctl}
ctypes.CDLL = Library
"""
REFUSES = "def prctl(self, *_): ctypes.set_errno(errno.EPERM); return -1"

linux_only = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "prctl"), reason="needs Linux")


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def core_limits():
    return [str(each) for each in resource.getrlimit(resource.RLIMIT_CORE)]


@linux_only
def test_a_process_that_closed_its_memory_is_not_dumpable():
    closing = "from imdsd.host.memory import close_memory; print(repr(close_memory()))"
    assert run(f"{closing}{SHOW}") == ["''", " ".join(["0", *core_limits()])]


@linux_only
def test_a_process_is_dumpable_otherwise():
    assert run(SHOW)[0].split()[0] == "1"


@linux_only
def test_what_it_executes_is_dumpable_again():
    again = f"import os, sys; os.execv(sys.executable, [sys.executable, '-c', {SHOW!r}])"
    shown = run(f"from imdsd.host.memory import close_memory; close_memory(); {again}")
    assert shown[0].split()[0] == "1"


def test_a_process_that_leaves_no_core_can_do_so_never_again():
    leaving = "from imdsd.host.memory import leave_no_core; leave_no_core(); leave_no_core()"
    assert run(f"{leaving}{SHOW}")[0].split()[1:] == ["0", "0"]
    again = f"import os, sys; os.execv(sys.executable, [sys.executable, '-c', {SHOW!r}])"
    assert run(f"{leaving}; {again}")[0].split()[1:] == ["0", "0"]


@pytest.mark.parametrize(
    ("prctl", "said"),
    [
        (REFUSES, f"PR_SET_DUMPABLE is refused ({os.strerror(1)}): "),
        ("", "this system has no PR_SET_DUMPABLE: "),
    ],
)
def test_a_system_that_does_not_close_it_is_named_with_what_follows(prctl, said):
    closing = "from imdsd.host.memory import close_memory; print(close_memory())"
    (line,) = run(f"{REFUSING.format(prctl=prctl)}\n{closing}")
    assert line == f"{said}processes of the same user may read this one"
