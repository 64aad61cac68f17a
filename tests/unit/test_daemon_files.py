"""[role.files]: files follow what is served, and nothing waits for them."""

from __future__ import annotations

import asyncio
import queue
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from imdsd.config import FilesConfig
from imdsd.credentials.model import Credentials
from imdsd.credentials.roles import Roles
from imdsd.daemon.files import RETRY_SECONDS, CredentialFiles, held_by
from imdsd.errors import CredentialsFileError
from imdsd.secret import Secret
from tests.fakes.clock import settle
from tests.fakes.refresh import Bench

DEV = FilesConfig(Path("/home/me/.aws/credentials"), "imdsd-dev")
ELSEWHERE = FilesConfig(Path("/home/me/.aws/credentials"), "elsewhere")
FULL = CredentialsFileError("the disk is full", remedy="free space")
ARN = "arn:aws:iam::123456789012:role/dev"


@dataclass(frozen=True, slots=True)
class Role:
    """What of a role's configuration counts here."""

    name: str
    files: FilesConfig | None


ROLE = Role("dev", DEV)


@dataclass
class Disk:
    """Takes profiles, or refuses them as it is told; `changes` says what was done, in order."""

    bench: Bench
    files: CredentialFiles = None
    refusal: Exception | None = None
    holds: dict = field(default_factory=dict)
    changes: queue.Queue = field(default_factory=queue.Queue)
    thread_may_go: threading.Event = field(default_factory=threading.Event)

    def change(self, files, keys):
        assert threading.current_thread() is not threading.main_thread()
        self.thread_may_go.wait(30)
        if self.refusal is None:
            self.holds[files.profile] = keys and keys.access_key_id
        self.changes.put(keys and keys.access_key_id)
        if self.refusal is not None:
            raise self.refusal

    async def next(self):
        """Return what was written next, None for what was taken out."""
        found = await asyncio.to_thread(self.changes.get, timeout=30)
        # The thread has to come home too.
        while any(task.get_coro().__name__ == "to_thread" for task in asyncio.all_tasks()):
            await settle()
        await settle()
        return found

    @property
    def quiet(self):
        return self.changes.empty()

    def credentials(self, key_id="ASIA1"):
        now = self.bench.clock.now()
        until = now + timedelta(hours=1)
        secrets = Secret("secret"), Secret("token")
        return Credentials(key_id, *secrets, now, until, ARN, ARN, "env", "eu-central-1")

    def current(self, role="dev"):
        return self.bench.metric("imdsd_credentials_file_current", role=role)


@pytest.fixture
def disk():
    disk = Disk(Bench())
    disk.thread_may_go.set()
    yield disk
    disk.thread_may_go.set()


@asynccontextmanager
async def following(disk, *roles):
    disk.files = CredentialFiles(
        roles or (ROLE,), clock=disk.bench.clock, metrics=disk.bench.metrics, change=disk.change
    )
    task = asyncio.create_task(disk.files.run())
    try:
        yield disk.files
    finally:
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()


async def test_what_is_published_is_written(disk):
    async with following(disk) as files:
        files.published("dev", disk.credentials())
        assert disk.current() == 0
        assert await disk.next() == "ASIA1"
        assert disk.current() == 1
        files.published("dev", disk.credentials("ASIA2"))
        assert await disk.next() == "ASIA2"
    assert disk.quiet
    assert disk.holds == {"imdsd-dev": "ASIA2"}  # the end of the daemon leaves it


async def test_a_role_without_a_file_is_written_nowhere(disk):
    async with following(disk, ROLE, Role("other", None)) as files:
        files.published("other", disk.credentials("ASIA2"))
        files.published("dev", disk.credentials())
        assert await disk.next() == "ASIA1"
    assert disk.quiet


async def test_a_disk_that_hangs_keeps_nobody_waiting_and_takes_the_last_word(disk):
    async with following(disk) as files:
        disk.thread_may_go.clear()
        for key_id in ("ASIA1", "ASIA2", "ASIA3"):
            files.published("dev", disk.credentials(key_id))
            await settle()
        assert disk.current() == 0
        disk.thread_may_go.set()
        assert [await disk.next(), await disk.next()] == ["ASIA1", "ASIA3"]
        assert disk.current() == 1


async def test_a_failure_is_told_once_and_tried_again(disk):
    disk.refusal = FULL
    with capture_logs() as logs:
        async with following(disk) as files:
            files.published("dev", disk.credentials())
            await disk.next()
            assert files.warnings == ("[role.files]: the disk is full; free space",)
            assert disk.current() == 0
            await disk.bench.clock.advance(RETRY_SECONDS)
            await disk.next()
            disk.refusal = CredentialsFileError("it is read-only", remedy="x")
            await disk.bench.clock.advance(RETRY_SECONDS)
            await disk.next()
            disk.refusal = None
            await disk.bench.clock.advance(RETRY_SECONDS)
            assert await disk.next() == "ASIA1"
            assert files.warnings == ()
            assert disk.current() == 1
    events = [(log["log_level"], log["event"]) for log in logs]
    assert events == [
        ("warning", "credentials_file_failed"),
        ("debug", "credentials_file_failed"),
        ("warning", "credentials_file_failed"),
        ("info", "credentials_file_written"),
    ]
    assert logs[0]["remedy"] == "free space"
    assert logs[0]["role"] == "dev"


async def test_no_surprise_of_the_disk_ends_the_daemon(disk):
    disk.refusal = ValueError("a secret")
    with capture_logs() as logs:
        async with following(disk) as files:
            files.published("dev", disk.credentials())
            await disk.next()
            assert files.warnings[0].startswith("[role.files]: internal error: ValueError")
            disk.refusal = None
            await disk.bench.clock.advance(RETRY_SECONDS)
            assert await disk.next() == "ASIA1"
    assert "a secret" not in str(logs)


async def test_a_reload_that_changes_nothing_writes_nothing(disk):
    async with following(disk) as files:
        held = disk.credentials()
        files.published("dev", held)
        await disk.next()
        files.replace((ROLE,), held={"dev": held})
        await settle()
    assert disk.quiet


async def test_a_reload_with_another_profile_moves_the_credentials(disk):
    async with following(disk) as files:
        held = disk.credentials()
        files.published("dev", held)
        await disk.next()
        files.replace((Role("dev", ELSEWHERE),), held={"dev": held})
        assert [await disk.next(), await disk.next()] == [None, "ASIA1"]
    assert disk.holds == {"imdsd-dev": None, "elsewhere": "ASIA1"}


@pytest.mark.parametrize("roles", [(), (Role("dev", None),)])
async def test_a_reload_without_the_file_or_the_role_takes_the_credentials_out(disk, roles):
    async with following(disk) as files:
        held = disk.credentials()
        files.published("dev", held)
        await disk.next()
        files.replace(roles, held={role.name: held for role in roles})
        assert await disk.next() is None
        assert "imdsd_credentials_file_current{" not in disk.bench.metrics.render().decode()


async def test_a_reload_that_adds_a_file_writes_what_is_held(disk):
    async with following(disk, Role("dev", None)) as files:
        held = disk.credentials()
        files.published("dev", held)
        files.replace((ROLE,), held={"dev": held})
        assert await disk.next() == "ASIA1"


async def test_what_a_role_may_no_longer_serve_is_taken_out(disk):
    async with following(disk) as files:
        files.published("dev", disk.credentials())
        await disk.next()
        files.replace((ROLE,), held={})  # another ARN: nothing is held until the first publish
        assert await disk.next() is None
        files.published("dev", disk.credentials("ASIA2"))
        assert await disk.next() == "ASIA2"


async def test_a_profile_that_passes_to_another_role_is_written_over(disk):
    async with following(disk) as files:
        files.published("dev", disk.credentials())
        await disk.next()
        files.replace((Role("b", DEV),), held={"b": disk.credentials("ASIAB")})
        assert await disk.next() == "ASIAB"


async def test_taking_out_is_tried_again_too(disk):
    async with following(disk) as files:
        files.published("dev", disk.credentials())
        await disk.next()
        disk.refusal = FULL
        files.replace((), held={})
        await disk.next()
        assert files.warnings
        disk.refusal = None
        await disk.bench.clock.advance(RETRY_SECONDS)
        assert await disk.next() is None
        assert files.warnings == ()


async def test_a_file_that_is_given_up_is_complained_of_no_more(disk):
    disk.refusal = FULL
    async with following(disk) as files:
        files.published("dev", disk.credentials())
        await disk.next()
        files.replace((), held={})
        assert files.warnings == ()


async def test_the_end_waits_for_a_write_that_is_under_way(disk):
    async with following(disk) as files:
        disk.thread_may_go.clear()
        files.published("dev", disk.credentials())
        await settle()
        threading.Timer(0.05, disk.thread_may_go.set).start()
    assert disk.holds == {"imdsd-dev": "ASIA1"}


async def test_roles_tell_what_they_publish_and_what_they_hold():
    bench, told = Bench(), []
    workshop = replace(bench.workshop, published=lambda role, held: told.append((role, held)))
    roles = Roles([bench.definition(), bench.definition("b")], workshop, default="dev")
    assert held_by(roles) == {}
    await roles.default.refresh()
    ((role, held),) = told
    assert held_by(roles) == {"dev": held}
    assert role == "dev"
