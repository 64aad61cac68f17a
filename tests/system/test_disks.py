"""A disk that is full or read-only, under the log, the run-time directory or everything."""

import signal
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

from imdsd.sandbox import faults
from tests.support import need
from tests.system.daemon import DaemonProcess
from tests.system.machine import need_root
from tests.system.settings import AUDIENCE, role, settings

# A disk of 64 KiB over the run-time directory, with room for the log too; then the daemon.
SMALL_DISK = """
mount -t tmpfs -o size=64k,mode=700 tmpfs "$0" && exec "$@" 2>> "$0/log"
"""
# The last page of the log too, or a few lines would still find room.
FILL = (
    'for each in filler log; do cat /dev/zero >> "$0/$each" 2>/dev/null; done;'
    ' ! echo more > "$0/more" 2>/dev/null'
)
READ_ONLY_ROOT = 'mount -t tmpfs -o mode=700 tmpfs "$0" && mount -o remount,bind,ro / && exec "$@"'
STOP_SECONDS = 5.0


class Inside:
    """The mount namespace of a daemon."""

    def __init__(self, daemon, place):
        self._enter = [need("nsenter"), "--target", str(daemon.pid), "--mount"]
        self._place = place
        self.path = Path(f"/proc/{daemon.pid}/root{place}")

    def run(self, script):
        subprocess.run([*self._enter, "sh", "-c", script, str(self._place)], check=True, timeout=30)


@asynccontextmanager
async def behind(daemons, text, script, *, place):
    """A daemon in a mount namespace of its own; `place` is the script's first word."""
    need_root()  # to mount
    place.mkdir(mode=0o700, exist_ok=True)
    prefix = [need("unshare"), "--mount", "sh", "-c", script, str(place)]
    daemon = daemons.serve(text, prefix=prefix)
    inside = Inside(daemon, place)
    daemon.directory = Path(f"/proc/{daemon.pid}/root{daemon.directory}")
    yield daemon, inside


async def refreshed(daemon):
    """See that a refresh replaces what is held, and return the access key id."""
    held = await daemon.access_key_id()
    assert (await daemon.refresh()).status == 200
    anew = await daemon.access_key_id()
    assert anew not in (held, None)
    return anew


async def ended_in_order(daemon):
    daemon.send(signal.SIGTERM)
    assert await daemon.ended() == 0


async def test_a_disk_that_fills_up_has_no_effect_on_serving(daemons, sandbox):
    run = daemons.place() / "run"
    async with behind(daemons, settings(sandbox), SMALL_DISK, place=run) as (daemon, inside):
        await daemon.ready()
        inside.run(FILL)
        held = await refreshed(daemon)
        sandbox.sts.faults.always(faults.throttling())
        assert (await daemon.refresh()).status == 503
        assert await daemon.access_key_id() == held
        lost = (inside.path / "log").read_text()
        assert "refresh_failed" not in lost

        # With room again the log goes on, and what nobody could write meanwhile is not repeated.
        sandbox.sts.faults.clear()
        inside.run('rm "$0/filler"')
        await refreshed(daemon)
        log = (inside.path / "log").read_text()
        assert "credentials_refreshed" in log.removeprefix(lost)
        assert "Traceback" not in log
        await ended_in_order(daemon)


@asynccontextmanager
async def after_another(daemons, text, *, end):
    """A second daemon, which starts where `end` ended a first one, on a disk that is full by now."""
    run = daemons.place() / "run"
    async with behind(daemons, text, SMALL_DISK, place=run) as (daemon, inside):
        await daemon.ready()
        bearer = daemon.bearer
        # Two daemons, one after the other, on one disk: the second enters the namespace.
        keeper = subprocess.Popen(
            [*inside._enter, "sh", "-c", "echo entered; exec sleep 60"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd="/",
        )
        try:
            # While there is a process in it still to be entered by.
            assert keeper.stdout.readline() == b"entered\n"
            await end(daemon)
            enter = [need("nsenter"), "--target", str(keeper.pid), "--mount"]
            subprocess.run([*enter, "sh", "-c", FILL, str(run)], check=True, timeout=30)
            again = daemons.serve(text, prefix=enter)
            again.directory = Path(f"/proc/{keeper.pid}/root{run}")
            yield again
            assert again.bearer == bearer
            await ended_in_order(again)
        finally:
            keeper.kill()
            keeper.communicate()


async def test_a_full_run_time_directory_holds_up_no_restart(daemons, sandbox):
    """The record that a daemon left which was killed gives its room to the next."""
    async with after_another(daemons, settings(sandbox), end=DaemonProcess.kill) as daemon:
        await daemon.ready()
        await refreshed(daemon)


async def test_a_full_run_time_directory_holds_up_no_start(daemons, sandbox):
    """A daemon that ended in order has left no room: SDKs are served, who looks is told why."""
    async with after_another(daemons, settings(sandbox), end=ended_in_order) as daemon:
        (serving,) = await daemon.until(
            lambda: daemon.events("daemon_serving"), what="the second daemon serves"
        )
        port = int(serving["listeners"][0].rpartition(":")[2])

        async def served():
            reply = await daemon.ask(
                "GET", "/v1/credentials", port=port, Authorization=daemon.bearer
            )
            return reply.status == 200

        await daemon.until(served, what="a client that knows the address is served")
        (told,) = daemon.events("record_unwritten")
        assert "No space left on device; free space" in told["detail"]
        status = await daemon.ask("GET", "/status", port=port)
        assert status.json["warnings"] == [told["detail"]]
        assert not daemon.record


async def test_a_root_that_is_read_only_has_no_effect_on_serving(daemons, sandbox):
    """From the start, with a run-time directory on another disk, as hardened machines have it."""
    run = daemons.place() / "run"
    async with behind(daemons, settings(sandbox), READ_ONLY_ROOT, place=run) as (daemon, _):
        await daemon.ready()
        await refreshed(daemon)
        assert "Traceback" not in daemon.log
        await ended_in_order(daemon)


async def test_a_disk_that_turns_read_only_has_no_effect_on_serving(daemons, sandbox):
    """As the kernel does to a file system with errors, the run-time directory included."""
    run = daemons.place() / "run"
    command = {"command": ["cat", str(daemons.place() / "token")]}
    (daemons.place() / "token").write_text(sandbox.issuer.issue(AUDIENCE).reveal())
    text = settings(sandbox, role(sandbox, token=command))
    async with behind(daemons, text, 'exec "$@"', place=run) as (daemon, inside):
        await daemon.ready()
        inside.run('mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"')
        await refreshed(daemon)
        done = await daemons.cli("status")
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in daemon.log
        await ended_in_order(daemon)
