"""The process that asks STS: when there is one, and what is told when it cannot be asked."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from imdsd.clock import SystemClock
from imdsd.daemon.exchanging import ExchangeProcess, ProcessExchange
from imdsd.errors import DurationRefusedError, ExchangeError, Retry
from imdsd.sandbox import faults
from imdsd.sandbox.app import Sandbox, SandboxRole
from tests.support import measured_environ
from tests.unit.test_sts import ROLE, SECOND, run

FOR_EVER = 600.0
SOON = 0.05


@pytest.fixture
async def sandbox():
    roles = [SandboxRole(ROLE, max_session_seconds=7200), SandboxRole(SECOND)]
    async with Sandbox(clock=SystemClock(), roles=roles) as running:
        yield running


@pytest.fixture
def environ(tmp_path):
    return measured_environ(tmp_path)


@asynccontextmanager
async def process_of(environ, **options):
    process = ExchangeProcess(environ, **options)
    try:
        yield process
    finally:
        await process.close()


@pytest.fixture
async def process(environ):
    async with process_of(environ, linger_seconds=FOR_EVER) as process:
        yield process


async def ask(process, sandbox, **changes):
    exchange = ProcessExchange(process, "eu-central-1", endpoint_url=sandbox.sts_url)
    token = sandbox.issuer.issue("sts.amazonaws.com")
    return await run(exchange, token, **changes)


def children():
    """The pids of the processes that this one started and that are still known."""
    return {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }


async def the_process(before):
    """The pid of the one process that there is now, and was not before."""
    while len(started := children() - before) != 1:
        await asyncio.sleep(SOON)  # noqa: TID251  # another process is waited for
    (pid,) = started
    return pid


async def none_left(before):
    while children() - before:
        await asyncio.sleep(SOON)  # noqa: TID251


async def test_it_gives_what_sts_issued(process, sandbox):
    session = await ask(process, sandbox, chain=(SECOND,))
    assert session.access_key_id.startswith("ASIA")
    assert session.assumed_role_arn.endswith("assumed-role/second/imdsd-box")
    assert session.secret_access_key.reveal()
    assert session.expires_at.tzinfo is not None


async def test_it_refuses_as_sts_does(process, sandbox):
    with pytest.raises(ExchangeError) as caught:
        await ask(process, sandbox, role_arn=f"{ROLE}-of-nobody")
    assert (caught.value.code, caught.value.retry) == ("AccessDenied", Retry.LIMITED)
    with pytest.raises(DurationRefusedError):
        await ask(process, sandbox, duration_seconds=43200)


async def test_jobs_at_the_same_time_share_a_process_and_are_answered_one_by_one(process, sandbox):
    before = children()
    sandbox.sts.faults.once(faults.hang())
    late = asyncio.create_task(ask(process, sandbox))
    await sandbox.sts.faults.until_hanging()
    await asyncio.gather(*(ask(process, sandbox) for _ in range(3)))
    assert not late.done()
    assert len(children() - before) == 1
    late.cancel()


async def test_it_ends_when_there_is_nothing_to_do_and_comes_back_when_there_is(environ, sandbox):
    before = children()
    async with process_of(environ, linger_seconds=SOON) as process:
        await ask(process, sandbox)
        async with asyncio.timeout(30):
            await none_left(before)
        await ask(process, sandbox)
        assert len(children() - before) == 1
    assert children() <= before


async def test_one_that_is_closed_ends_though_sts_hangs(environ, sandbox):
    before = children()
    sandbox.sts.faults.once(faults.hang())
    async with process_of(environ, linger_seconds=FOR_EVER) as process:
        asked = asyncio.create_task(ask(process, sandbox))
        await sandbox.sts.faults.until_hanging()
        async with asyncio.timeout(30):
            await process.close()
        with pytest.raises(ExchangeError, match="ended with status 0 before it answered"):
            await asked
    assert children() <= before


async def test_one_that_hangs_is_killed_and_replaced(environ, sandbox):
    before = children()
    async with process_of(environ, linger_seconds=FOR_EVER, patience_seconds=FOR_EVER) as process:
        await ask(process, sandbox)
        pid = await the_process(before)
        os.kill(pid, signal.SIGSTOP)
        process._patience_seconds = SOON
        with pytest.raises(ExchangeError, match=r"no answer within 0\.05 s and was killed") as told:
            await ask(process, sandbox)
        assert told.value.code == "Timeout"
        process._patience_seconds = FOR_EVER
        await ask(process, sandbox)
        assert await the_process(before) != pid


async def test_who_waits_for_one_that_is_killed_is_told_how_it_ended(process, sandbox):
    before = children()
    sandbox.sts.faults.once(faults.hang())
    asked = asyncio.create_task(ask(process, sandbox))
    await sandbox.sts.faults.until_hanging()
    os.kill(await the_process(before), signal.SIGKILL)
    with pytest.raises(ExchangeError) as caught:
        await asked
    assert "was killed by signal 9 before it answered" in caught.value.reason
    assert "-m imdsd.daemon.exchanging.worker" in caught.value.remedy
    assert caught.value.retryable


async def test_one_that_cannot_be_started_is_told(environ, sandbox, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with process_of(environ) as process:
        with pytest.raises(ExchangeError, match="cannot be started: No such file or directory"):
            await ask(process, sandbox)


async def test_one_that_breaks_at_once_is_told(environ, sandbox, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    async with process_of(environ) as process:
        with pytest.raises(ExchangeError, match="ended with status 1 before it answered"):
            await ask(process, sandbox)


async def test_one_that_was_started_early_does_the_first_job(environ, sandbox):
    before = children()
    async with process_of(environ, linger_seconds=FOR_EVER) as process:
        process.start_early()
        pid = await the_process(before)
        await process.adopt()
        await ask(process, sandbox)
        assert await the_process(before) == pid


async def test_one_that_was_started_early_in_vain_ends(environ, monkeypatch):
    monkeypatch.setattr("imdsd.daemon.exchanging.process.EARLY_SECONDS", SOON)
    before = children()
    async with process_of(environ) as process:
        process.start_early()
        await process.adopt()
        async with asyncio.timeout(30):
            await none_left(before)


def test_one_that_was_started_early_and_never_taken_in_ends(environ):
    before = children()
    with ExchangeProcess(environ) as process:
        process.start_early()
        assert len(children() - before) == 1
    assert children() <= before


async def test_one_that_cannot_be_started_early_is_told_when_it_is_needed(
    environ, sandbox, monkeypatch
):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with process_of(environ) as process:
        process.start_early()
        await process.adopt()
        with pytest.raises(ExchangeError, match="cannot be started"):
            await ask(process, sandbox)


async def test_who_gives_up_while_it_starts_leaves_nothing_behind(environ, sandbox):
    before = children()
    async with process_of(environ, linger_seconds=FOR_EVER) as process:
        asked = asyncio.create_task(ask(process, sandbox))
        while not children() - before:
            await asyncio.sleep(0)  # noqa: TID251  # a turn of the loop
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert children() <= before


async def test_it_sees_proxies_and_nothing_that_would_mislead_the_sdk(tmp_path, sandbox):
    before = children()
    misleading = {"AWS_ACCESS_KEY_ID": "AKIA", "PYTHONSTARTUP": "/x", "IMDSD_CONFIG": "/x"}
    handed_over = {"LISTEN_FDS": "1", "NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1"}
    proxies = {"HTTPS_PROXY": "http://127.0.0.1:9", "SSL_CERT_FILE": "/etc/ssl/cert.pem"}
    environ = {**measured_environ(tmp_path), **misleading, **handed_over, **proxies}
    async with process_of(environ, linger_seconds=FOR_EVER) as process:
        await ask(process, sandbox)
        text = Path(f"/proc/{await the_process(before)}/environ").read_text()
    seen = dict(each.split("=", 1) for each in text.split("\0") if each)
    assert not {*misleading, *handed_over} & seen.keys()
    assert {name: seen[name] for name in proxies} == proxies


def test_a_person_may_see_whether_it_would_work(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "imdsd.daemon.exchanging.worker"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=measured_environ(tmp_path),
        check=True,
    )
    assert done.stdout.startswith("imdsd can exchange tokens with STS")


def test_it_does_nothing_for_a_daemon_that_is_gone(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "imdsd.daemon.exchanging.worker", "1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=measured_environ(tmp_path),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
