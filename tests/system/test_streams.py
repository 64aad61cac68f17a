"""A log that cannot be written costs the log, nothing else."""

import signal
from pathlib import Path

import pytest

from imdsd.sandbox.faults import throttling
from tests.system.machine import need_file, need_root
from tests.system.settings import settings

CLOSED = ("sh", "-c", 'exec "$0" "$@" 2>&-')
ALL_CLOSED = ("sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-')
FULL = ("sh", "-c", 'exec "$0" "$@" 2>/dev/full')
BOTH_FULL = ("sh", "-c", 'exec "$0" "$@" >/dev/full 2>&1')


@pytest.mark.parametrize(
    ("prefix", "log_format"),
    [(CLOSED, "json"), (ALL_CLOSED, "text"), (FULL, "json"), (BOTH_FULL, "text")],
    ids=["closed", "all-closed", "full", "both-full"],
)
async def test_serving_does_not_depend_on_the_log(daemons, sandbox, prefix, log_format):
    need_file(Path("/dev/full"))
    text = settings(sandbox, log_level="debug", log_format=log_format)
    daemon = await daemons.serve(text, prefix=prefix).ready()
    held = await daemon.access_key_id()
    sandbox.sts.faults.always(throttling())
    for _ in range(3):
        assert (await daemon.refresh()).status == 503
    assert await daemon.access_key_id() == held
    sandbox.sts.faults.clear()
    assert (await daemon.refresh()).status == 200
    daemon.send(signal.SIGTERM)
    assert await daemon.ended() == 0


async def test_no_file_takes_the_place_of_a_closed_stream(daemons, sandbox):
    need_root()  # to see what a daemon has open
    daemon = await daemons.serve(settings(sandbox), prefix=ALL_CLOSED).ready()
    for number in range(3):
        assert Path(f"/proc/{daemon.pid}/fd/{number}").readlink() == Path("/dev/null")


@pytest.mark.parametrize("prefix", [CLOSED, FULL])
async def test_an_error_keeps_its_exit_code_when_nobody_can_be_told(daemons, prefix):
    config = daemons.configure("nonsense = 1")
    done = await daemons.cli("serve", "--config", str(config), prefix=prefix)
    assert done.returncode == 78
