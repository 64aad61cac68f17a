"""What a service manager hears of the daemon, word by word, as time goes by."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from contextlib import asynccontextmanager

import pytest

from imdsd.credentials.roles import Roles
from imdsd.daemon.telling import Telling, status_line
from imdsd.errors import ExchangeError, ListenError, MintError, Retry
from tests.fakes.clock import settle
from tests.fakes.refresh import Bench, web_identity_token

UNREACHABLE = ExchangeError("STS could not be reached", code="Unreachable", remedy="look at it")
DENIED = ExchangeError("no", retry=Retry.NEVER)


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path):
        self.environ = {"NOTIFY_SOCKET": str(path)}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

        self._said = []

    def listen(self):
        """Take in what has come: the queue of a kernel may hold no more than ten."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._said.append(self.socket.recv(4096).decode())

    def heard(self):
        """Return what was said since the last question, one text a datagram."""
        self.listen()
        said, self._said = self._said, []
        return said


@pytest.fixture
def manager(tmp_path):
    manager = Manager(tmp_path / "notify")
    with manager.socket:
        yield manager


@pytest.fixture
def bench():
    # The first refresh is drawn from the last half of its interval.
    return Bench(draw=lambda: 0.0)


@asynccontextmanager
async def telling(bench, manager, *definitions, environ=None, grace_seconds=20.0, listening=True):
    """Roles at work, and somebody who tells of them."""
    loop = asyncio.get_running_loop()
    if listening:
        loop.add_reader(manager.socket, manager.listen)
    roles = Roles(definitions or (bench.definition(),), bench.workshop, default="dev")
    told = Telling({**manager.environ, **(environ or {})}, roles, clock=bench.clock)
    tasks = [
        asyncio.create_task(each)
        for each in (
            roles.run(),
            told.say_when_ready(grace_seconds=grace_seconds),
            told.keep_status(),
            told.feed_watchdog(),
        )
    ]
    await settle()
    try:
        yield told
    finally:
        loop.remove_reader(manager.socket)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_ready_is_said_with_the_first_credentials(bench, manager):
    bench.exchange.takes_seconds = 2
    async with telling(bench, manager):
        assert manager.heard() == ["STATUS=dev starting"]
        await bench.clock.advance(2)
        ready, *more = manager.heard()
    # START is midnight; an hour from when it was asked for, and 1680 s to the refresh.
    assert ready == "READY=1\nSTATUS=dev ok until 01:00:02Z, next refresh 00:28:00Z"
    assert more == []


async def test_ready_is_said_after_the_grace_though_nothing_is_served(bench, manager):
    bench.source.next.extend([MintError("no token", remedy="log in")] * 1000)
    async with telling(bench, manager, grace_seconds=20):
        await bench.clock.advance(19)
        assert not [each for each in manager.heard() if "READY" in each]
        await bench.clock.advance(1)
        (ready,) = [each for each in manager.heard() if "READY" in each]
    assert ready.startswith("READY=1\nSTATUS=dev starting, next try 00:00:")
    assert ready.endswith("; no token; log in (stage: mint)")


async def test_a_status_is_said_when_it_changes_and_not_by_the_clock(bench, manager):
    async with telling(bench, manager):
        assert len(manager.heard()) == 2
        await bench.clock.advance(1600)
        assert manager.heard() == []
        await bench.clock.advance(100)
        assert manager.heard() == ["STATUS=dev ok until 01:28:00Z, next refresh 00:56:00Z"]


async def test_a_failure_is_said_with_its_reason_until_when_and_when_next(bench, manager):
    async with telling(bench, manager):
        bench.exchange.always = UNREACHABLE
        manager.heard()
        await bench.clock.advance(1680)
        (status,) = manager.heard()
        assert status.startswith("STATUS=dev degraded, valid until 01:00:00Z, next try 00:28:")
        assert status.endswith("; STS could not be reached; look at it (stage: exchange)")

        await bench.clock.advance(2000)
        *_, status = manager.heard()
        assert status.startswith("STATUS=dev expired, ended 01:00:00Z, next try 01:01:")

        bench.exchange.always = None
        await bench.clock.advance(120)
        *_, status = manager.heard()
        assert status.startswith("STATUS=dev ok until 02:")
        assert "could not" not in status


async def test_credentials_that_end_are_told_without_a_failure(bench, manager):
    bench.source.renewable = False
    ends = bench.clock.now().timestamp() + 600
    bench.source.next.append(web_identity_token(bench.clock, exp=ends))
    async with telling(bench, manager):
        await bench.clock.advance(3600)
        *_, before, last = manager.heard()
    assert before.endswith("STATUS=dev ok until 01:00:00Z, no further refresh")
    assert last.startswith("STATUS=dev expired, ended 01:00:00Z, no further refresh; the token of")


async def test_what_is_denied_is_said_beside_what_is_still_served(bench, manager):
    async with telling(bench, manager):
        bench.exchange.always = DENIED
        await bench.clock.advance(1680)
        *_, status = manager.heard()
    assert status.startswith("STATUS=dev denied, valid until 01:00:00Z, next try ")


async def test_several_roles_are_counted_and_the_one_that_fails_is_named(bench, manager):
    other = bench.definition("other", role_arn="arn:aws:iam::123456789012:role/other")
    bench.exchange.next.extend([bench.exchange.session(3600), DENIED])
    async with telling(bench, manager, bench.definition(), other):
        *_, status = manager.heard()
    assert status.endswith("; 1 of 2 roles served; other denied: no (stage: exchange)")


async def test_of_roles_that_fail_the_default_one_is_named(bench, manager):
    other = bench.definition("other", role_arn="arn:aws:iam::123456789012:role/other")
    bench.exchange.always = DENIED
    async with telling(bench, manager, other, bench.definition()):
        *_, status = manager.heard()
    assert status.startswith("STATUS=dev denied")
    assert status.endswith("; 0 of 2 roles served; no (stage: exchange)")


async def test_an_instant_of_another_day_is_written_whole(bench):
    roles = Roles([bench.definition()], bench.workshop, default="dev")
    await roles.default.refresh()
    bench.clock.step(30 * 3600)
    line = status_line(roles, now=bench.clock.now())
    assert line.startswith("dev expired, ended 2026-01-01T01:00:00Z")


async def test_a_status_is_one_line_that_fits_a_datagram(bench, manager):
    bench.exchange.always = ExchangeError("x\ny" + "z" * 9000, remedy="w" * 9000)
    async with telling(bench, manager) as told:
        told.reloaded(refused="one\ntwo " + "v" * 9000)
        for each in manager.heard():
            assert "\n" not in each
            assert len(each) < 1100


# Reloads


async def test_a_reload_is_said_from_its_beginning_to_its_end(bench, manager):
    async with telling(bench, manager) as told:
        manager.heard()
        told.reloading()
        told.reloaded()
        begins, ends = manager.heard()
    # The clock of a bench begins at 1000 s.
    assert begins == "RELOADING=1\nMONOTONIC_USEC=1000000000"
    assert ends == "READY=1\nSTATUS=dev ok until 01:00:00Z, next refresh 00:28:00Z"


async def test_a_refused_reload_is_ready_again_and_stays_in_the_status(bench, manager):
    async with telling(bench, manager) as told:
        told.reloading()
        told.reloaded(refused="listen cannot change while running: restart instead")
        *_, ends = manager.heard()
        assert ends.startswith("READY=1\nSTATUS=dev ok until ")
        assert ends.endswith(
            "; reload refused: listen cannot change while running: restart instead"
        )
        await bench.clock.advance(1680)
        *_, later = manager.heard()
        assert "reload refused" in later

        told.reloading()
        told.reloaded()
        *_, ends = manager.heard()
        assert "refused" not in ends


async def test_a_reload_before_the_first_credentials_makes_nobody_ready(bench, manager):
    bench.exchange.takes_seconds = 10
    async with telling(bench, manager) as told:
        told.reloading()
        told.reloaded(refused="no")
        assert manager.heard() == ["STATUS=dev starting", "STATUS=dev starting; reload refused: no"]
        await bench.clock.advance(10)
        assert manager.heard()[0].startswith("READY=1\n")


# The watchdog


async def test_the_watchdog_is_fed_twice_as_often_as_is_asked_for(bench, manager):
    watchdog = {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}
    async with telling(bench, manager, environ=watchdog):
        assert manager.heard().count("WATCHDOG=1") == 1
        await bench.clock.advance(600)
        assert manager.heard() == ["WATCHDOG=1"] * 20


async def test_a_watchdog_that_nobody_could_satisfy_does_not_keep_the_loop_busy(bench, manager):
    async with telling(bench, manager, environ={"WATCHDOG_USEC": "1"}):
        manager.heard()
        await bench.clock.advance(1)
        assert 0 < len(manager.heard()) <= 100


async def test_the_watchdog_is_fed_though_nothing_else_goes_well(bench, manager):
    bench.exchange.always = DENIED
    async with telling(bench, manager, environ={"WATCHDOG_USEC": "60000000"}):
        manager.heard()
        await bench.clock.advance(7200)
        assert manager.heard().count("WATCHDOG=1") == 240


async def test_without_a_watchdog_nothing_is_fed(bench, manager):
    async with telling(bench, manager):
        await bench.clock.advance(600)
        assert "WATCHDOG=1" not in manager.heard()


# The end, and managers that do not listen


async def test_the_end_is_said_before_it_comes(bench, manager):
    async with telling(bench, manager) as told:
        manager.heard()
        told.stopping()
        assert manager.heard() == ["STOPPING=1\nSTATUS=stopping"]


async def test_a_start_that_fails_says_why_in_one_line(bench, manager):
    async with telling(bench, manager) as told:
        manager.heard()
        told.failed(ListenError("127.0.0.1:9254 is in use\nby somebody"))
        assert manager.heard() == ["STATUS=127.0.0.1:9254 is in use by somebody"]


def fill(manager):
    """Leave no room for another word."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filling:
        filling.connect(manager.environ["NOTIFY_SOCKET"])
        filling.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                filling.send(b"x")


async def test_the_end_of_a_reload_and_a_status_are_said_until_they_are_heard(bench, manager):
    async with telling(bench, manager, listening=False) as told:
        manager.heard()
        fill(manager)
        told.reloading()
        told.reloaded(refused="no")
        assert set(manager.heard()) == {"x"}
        await bench.clock.advance(30)
        (said,) = manager.heard()
        assert said.startswith("READY=1\nSTATUS=dev ok until ")
        assert said.endswith("; reload refused: no")
        await bench.clock.advance(300)
        assert manager.heard() == []


async def test_ready_is_said_until_it_is_heard(bench, manager):
    fill(manager)
    async with telling(bench, manager, listening=False):
        assert set(manager.heard()) == {"x"}
        await bench.clock.advance(1)
        assert manager.heard() == ["READY=1\nSTATUS=dev ok until 01:00:00Z, next refresh 00:28:00Z"]


async def test_without_a_manager_everybody_is_left_in_peace(bench, manager):
    async with telling(bench, manager, environ={"NOTIFY_SOCKET": ""}) as told:
        told.reloading()
        told.reloaded()
        told.stopping()
        await bench.clock.advance(3600)
    assert manager.heard() == []
