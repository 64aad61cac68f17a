"""Another process of the daemon's own user, without privileges: what it can see of the daemon."""

import asyncio
import json
import os
import subprocess
import sys

from tests.system.machine import as_user

USER = 54323
WAYS = {"mem", "environ", "maps", "fd", "a descriptor", "ptrace"}

# In a process of its own the daemon lacks what is named; everything else is as it is.
_WITHOUT = """
import sys
from imdsd.host import memory
for name in sys.argv.pop(1).split():
    setattr(memory, name, str)
from imdsd.cli import main
sys.exit(main())
"""

_INTRUDE = """
import ctypes, json, os, sys
pid, libc = int(sys.argv[1]), ctypes.CDLL(None, use_errno=True)

def opened(name):
    os.close(os.open(f"/proc/{pid}/{name}", os.O_RDONLY))

def attach():
    if libc.ptrace(0x4206, pid, None, None):  # PTRACE_SEIZE: ends with this process
        raise OSError(ctypes.get_errno(), "ptrace")

def drop_capabilities():
    header, none = (ctypes.c_uint * 2)(0x20080522, 0), (ctypes.c_uint * 6)()
    if libc.capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")

seen = {}
def attempt(way, act):
    try:
        act()
        seen[way] = "open"
    except PermissionError:
        seen[way] = "refused"

for name in ("mem", "environ", "maps"):
    attempt(name, lambda: opened(name))
attempt("a descriptor", lambda: os.readlink(f"/proc/{pid}/fd/1"))
attempt("ptrace", attach)
# Above they match those of the daemon, or it would be out of reach for that; a listing needs none.
drop_capabilities()
attempt("fd", lambda: os.listdir(f"/proc/{pid}/fd"))
print(json.dumps(seen))
"""


def without(*names):
    """Return what runs `imdsd` in which these functions of `imdsd.host.memory` do nothing."""
    return [sys.executable, "-c", _WITHOUT, " ".join(names)]


def same_user(argv):
    """Return a command that runs as one user, who is not root, whoever runs the tests."""
    return as_user(USER, argv) if os.geteuid() == 0 else argv


async def intrude(pid):
    """Return what each way into a process gave its own user: `open` or `refused`."""
    command = same_user([sys.executable, "-I", "-c", _INTRUDE, str(pid)])
    done = await asyncio.to_thread(
        subprocess.run, command, env={}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert set(seen) == WAYS
    return seen
