"""What becomes of the limit on descriptors."""

from __future__ import annotations

import subprocess
import sys
from resource import RLIM_INFINITY

import pytest

from imdsd.daemon.descriptors import LEAST, soft_limit
from imdsd.errors import ConfigurationError

RAISE = """
import resource
from imdsd.daemon.descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 1000))
raise_limit()
raise_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted"),
    [
        (256, 4096, 1024),
        (1024, 4096, 1024),
        (2048, 4096, 2048),
        (64, 1000, 1000),
        (64, LEAST, LEAST),
        (LEAST, LEAST, LEAST),
        (256, RLIM_INFINITY, 1024),
        (4096, RLIM_INFINITY, 4096),
        (RLIM_INFINITY, RLIM_INFINITY, RLIM_INFINITY),
    ],
)
def test_the_limit_is_raised_to_what_is_enough_and_never_lowered(soft, hard, wanted):
    assert soft_limit(soft, hard) == wanted


def test_a_limit_that_clients_could_use_up_is_refused_with_what_would_do():
    with pytest.raises(ConfigurationError) as caught:
        soft_limit(64, LEAST - 1)
    assert str(caught.value) == (
        f"limits of this process: open files (RLIMIT_NOFILE): found {LEAST - 1}, expected {LEAST} or more: "
        "256 connections and 64 for all else; raise LimitNOFILE= of the unit, or "
        "`ulimit -Hn` where the daemon is started"
    )


def test_the_process_has_what_is_wanted_and_keeps_its_hard_limit():
    command = [sys.executable, "-c", RAISE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1000 1000\n"
