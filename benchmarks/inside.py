"""What is run inside a daemon to look at it, or to have it do otherwise: options for its Python.

Behind them comes `-m imdsd serve …`, which each of these then does.
"""

from __future__ import annotations

_RUN = """
import runpy, sys
sys.argv[:] = sys.argv[2:]
runpy.run_module("imdsd", run_name="__main__", alter_sys=True)
"""

# As it was before there was a process for it: the SDK in the daemon, imported in a thread.
_EXCHANGE_ITSELF = """
import imdsd.daemon.boot
from imdsd.sts import StsExchange
imdsd.daemon.boot.ProcessExchange = lambda _process, region, **more: StsExchange(region, **more)
"""

# What a daemon has loaded when it ends; `python -X importtime` names failed imports too.
_TELL_MODULES = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
"""

# From one wait of the loop to the next, in the processor time of its thread.
_TELL_STRETCHES = """
import atexit, json, selectors, sys, time
stretches, wait = [], selectors.EpollSelector.select
began = time.thread_time()
def select(self, timeout=None):
    global began
    stretches.append((time.monotonic(), time.thread_time() - began))
    found = wait(self, timeout)
    began = time.thread_time()
    return found
selectors.EpollSelector.select = select
atexit.register(lambda: print(json.dumps(stretches), file=sys.stderr))
"""


def exchanging_itself() -> tuple[str, str]:
    """Have the daemon ask STS itself."""
    return "-c", _EXCHANGE_ITSELF + _RUN


def telling_modules() -> tuple[str, str]:
    """Have it end its log with the modules that it had loaded."""
    return "-c", _TELL_MODULES + _RUN


def telling_stretches(*, exchanging_itself: bool) -> tuple[str, str]:
    """Have it end its log with when each turn of its loop ended, and how long that took.

    Seconds of the monotonic clock, which all processes share, and of the thread's processor time.
    """
    return "-c", _EXCHANGE_ITSELF * exchanging_itself + _TELL_STRETCHES + _RUN
