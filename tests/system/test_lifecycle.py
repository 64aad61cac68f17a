"""From the start of the process to its end."""

import asyncio
import signal
import stat
import time

import pytest

from imdsd.daemon.service import DRAIN_SECONDS
from imdsd.endpoints.door.limits import LIMITS
from imdsd.sandbox.faults import hang
from imdsd.tokens.command import _STOPPING_SECONDS
from tests.system.machine import alive, descendants, eventually
from tests.system.settings import role, settings

STOP_SECONDS = 5.0
"""What is promised of the end; and what a busy machine may add without waiting for a deadline."""
NOISE_SECONDS = 3.0

STUBBORN = """#!/bin/sh
trap '' TERM
sleep 1000 &
setsid sleep 1000 &
touch "$1"
wait
sleep 1000
"""


async def stopped(daemon, number=signal.SIGTERM):
    """Stop the daemon and return its exit status, within what is promised."""
    began = time.monotonic()
    daemon.send(number)
    code = await daemon.ended()
    assert time.monotonic() - began < STOP_SECONDS + NOISE_SECONDS
    return code


def stubborn_command(daemons):
    """A token command that hangs, ignores SIGTERM, and has a child that went its own way."""
    script = daemons.place() / "stubborn"
    script.write_text(STUBBORN)
    script.chmod(0o755)
    return {"command": [str(script), str(daemons.place() / "started")]}


@pytest.mark.parametrize("verb", [("wait",), ("exec", "--", "true")], ids=["wait", "exec"])
async def test_a_spread_start_is_cut_short_by_who_waits_for_it(daemons, sandbox, verb):
    daemon = await daemons.serve(settings(sandbox, startup_spread_seconds=3600)).listening()
    assert (await daemon.ask("GET", "/readyz")).status == 503
    assert sandbox.sts.requests == []
    done = await daemons.cli(*verb)
    assert (done.returncode, done.stderr) == (0, "")
    assert (await daemon.credentials()).status == 200
    assert len(sandbox.sts.requests) == 1


async def test_a_starting_daemon_says_so_until_credentials_are_there(daemons, sandbox):
    sandbox.sts.faults.always(hang())
    daemon = await daemons.serve(settings(sandbox)).listening()
    early = await daemon.credentials()
    assert early.status == 503
    assert early.json["Code"] == "CredentialsUninitialized"
    assert early.headers["retry-after"] == "1"
    assert (await daemon.ask("GET", "/healthz")).status == 200
    assert (await daemon.ask("GET", "/readyz")).status == 503
    assert (await daemon.role())["state"] == "starting"

    sandbox.sts.faults.clear()
    await daemon.ready()
    assert (await daemon.credentials()).status == 200
    assert (await daemon.ask("GET", "/readyz")).json["state"] == "ok"
    role_status = await daemon.role()
    assert (role_status["state"], role_status["refreshes"]) == ("ok", 1)
    assert sandbox.sts.signed_exchanges == 0


async def test_the_files_are_private_and_only_the_bearer_outlives_the_daemon(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    bearer = daemon.directory / "bearer"
    assert stat.S_IMODE(daemon.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(bearer.stat().st_mode) == 0o600
    assert daemon.record["pid"] == daemon.pid
    before = bearer.read_bytes()
    assert await stopped(daemon) == 0
    # The lock has the number of a process, nothing else.
    assert {path.name for path in daemon.directory.iterdir()} == {"bearer", "daemon.lock"}
    assert bearer.read_bytes() == before


def test_what_an_end_may_wait_for_takes_no_longer_than_is_promised():
    assert _STOPPING_SECONDS + DRAIN_SECONDS + LIMITS.newcomer_seconds < STOP_SECONDS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_daemon_with_success(daemons, sandbox, number):
    daemon = await daemons.serve(settings(sandbox)).ready()
    assert await stopped(daemon, number) == 0
    assert [event["event"] for event in daemon.events()][-1] == "daemon_stopping"
    assert "Traceback" not in daemon.log


async def test_a_signal_right_after_the_bind_ends_the_daemon(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).listening()
    assert await stopped(daemon) == 0


async def test_a_request_in_flight_is_answered_before_the_daemon_ends(daemons, sandbox):
    sandbox.sts.faults.always(hang())
    daemon = await daemons.serve(settings(sandbox)).listening()
    await sandbox.sts.faults.until_hanging()
    held = asyncio.create_task(daemon.credentials())
    await daemon.ask("GET", "/healthz")  # answered behind the one that is held
    assert await stopped(daemon) == 0
    assert (await held).status == 503


async def test_a_refresh_that_somebody_waits_for_does_not_keep_the_daemon(daemons, sandbox):
    daemon = await daemons.serve(settings(sandbox)).ready()
    sandbox.sts.faults.always(hang())
    waiting = asyncio.create_task(daemon.refresh())
    await sandbox.sts.faults.until_hanging()
    assert await stopped(daemon) == 0
    answer = (await asyncio.gather(waiting, return_exceptions=True))[0]
    assert isinstance(answer, ConnectionError) or answer.status == 503


async def test_a_hanging_token_command_dies_with_all_it_started(daemons, sandbox):
    command = stubborn_command(daemons)
    daemon = await daemons.serve(settings(sandbox, role(sandbox, token=command))).listening()
    await eventually((daemons.place() / "started").exists, what="the command runs")
    family = descendants(daemon.pid)
    assert len(family) >= 4  # the guard, the shell, and two that sleep
    assert await stopped(daemon) == 0
    assert not [pid for pid in family if alive(pid)]


async def test_the_demo_serves_and_stops(daemons):
    daemon = await daemons.demo().ready()
    assert (await daemon.credentials()).json["RoleArn"].endswith(":role/imdsd-demo")
    assert daemon.record["demo"]
    assert "daemon" in (daemon.directory.parent / "stdout").read_text()
    assert await stopped(daemon) == 0


async def test_a_demo_with_a_command_ends_as_the_command_does(daemons):
    script = 'test -n "$AWS_CONTAINER_CREDENTIALS_FULL_URI" && exit 23'
    done = await daemons.cli("demo", "--listen", "127.0.0.1:0", "--", "sh", "-c", script)
    assert done.returncode == 23, done.stderr
    assert done.stdout == ""
