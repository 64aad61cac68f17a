"""The profiles of [role.files]: what is served stands in them too, as far as the disk allows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from imdsd.clock import SystemClock
from imdsd.errors import CredentialsFileError
from imdsd.host.aws_credentials_file import ProfileKeys, remove_profile, write_profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imdsd.clock import Clock
    from imdsd.config import FilesConfig, RoleConfig
    from imdsd.credentials.model import Credentials, D
    from imdsd.credentials.roles import Roles
    from imdsd.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

RETRY_SECONDS = 30.0
"""How long after a failure the disk is tried again."""

_NOTE = "serve, which keeps it fresh"


STOP_SECONDS = 1.0
"""How long a write that is under way may take once the daemon stops."""

Change = Callable[["FilesConfig", ProfileKeys | None], None]
"""Write credentials into a profile of a file, or take them out; it may raise."""


def change_on_disk(files: FilesConfig, keys: ProfileKeys | None) -> None:
    """Do it to the real file."""
    path, uid, pause = files.credentials_file, os.geteuid(), SystemClock().pause
    if keys is None:
        remove_profile(path, files.profile, uid=uid, pause=pause)
    else:
        write_profile(path, files.profile, keys, uid=uid, pause=pause)


def held_by(roles: Roles[D]) -> dict[str, Credentials]:
    """Return the credentials that each role holds, by its name."""
    return {
        definition.name: refresher.snapshot.credentials
        for definition, refresher in roles
        if refresher.snapshot is not None
    }


class CredentialFiles:
    """Bring files in line with what is served, one after the other, in a thread.

    Whoever publishes only leaves word: no request and no refresh waits for a disk.
    """

    def __init__(
        self,
        roles: Sequence[RoleConfig],
        *,
        clock: Clock,
        metrics: Metrics,
        change: Change = change_on_disk,
    ) -> None:
        self._change = change
        self._clock = clock
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._held: dict[str, Credentials] = {}
        self._written: dict[FilesConfig, Credentials] = {}
        self._failures: dict[FilesConfig, str] = {}
        self._wanted = _wanted(roles)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went wrong with each file that is not in line, and what to do."""
        return tuple(f"[role.files]: {failure}" for failure in self._failures.values())

    def published(self, role: str, credentials: Credentials) -> None:
        """Take note of what is served from now on."""
        self._held[role] = credentials
        if role in self._wanted:
            self._metrics.file_is(role, current=False)
            self._wake.set()

    def replace(self, roles: Sequence[RoleConfig], *, held: Mapping[str, Credentials]) -> None:
        """Take another configuration over, and what its roles hold; nothing is obtained anew."""
        wanted = _wanted(roles)
        for role in self._wanted.keys() - wanted.keys():
            self._metrics.file_is(role, current=None)
        self._wanted, self._held = wanted, dict(held)
        self._failures = {
            files: failure for files, failure in self._failures.items() if self._minds(files)
        }
        self._wake.set()

    async def run(self) -> None:
        """Write and take out what is due, for ever; what is written stays when this is cancelled.

        A restart must not take credentials away from tools that work, and they end by themselves.
        """
        while True:
            self._wake.clear()
            await self._take_out()
            for role, files in tuple(self._wanted.items()):
                await self._bring_in_line(role, files)
            if self._failures:
                await self._clock.nap(RETRY_SECONDS, self._wake)
            else:
                await self._wake.wait()

    async def _bring_in_line(self, role: str, files: FilesConfig) -> None:
        held = self._held.get(role)
        if held is None or self._written.get(files) is held:
            return
        keys = ProfileKeys(
            held.access_key_id, held.secret_access_key, held.session_token, held.expires_at, _NOTE
        )
        if not await self._try(files, keys, role=role):
            return
        first, self._written[files] = files not in self._written, held
        if self._wanted.get(role) == files:
            self._metrics.file_is(role, current=self._held.get(role) is held)
        if first:
            log.info("credentials_file_written", role=role, **_described(files))

    async def _take_out(self) -> None:
        """Take out what nobody keeps fresh any more, and what a role may no longer serve."""
        current = {files for role, files in self._wanted.items() if role in self._held}
        for files in [files for files in self._written if files not in current]:
            if await self._try(files, None):
                del self._written[files]
                log.info("credentials_file_cleared", **_described(files))

    async def _try(self, files: FilesConfig, keys: ProfileKeys | None, **role: str) -> bool:
        changing = asyncio.create_task(asyncio.to_thread(self._change, files, keys))
        try:
            await asyncio.shield(changing)
        except asyncio.CancelledError:
            # A write that is cut off would leave its draft behind.
            await asyncio.wait((changing,), timeout=STOP_SECONDS)
            raise
        except CredentialsFileError as error:
            self._failed(files, error, role)
            return False
        except Exception as error:  # noqa: BLE001  # no file may end a daemon that serves
            remedy = "report it, with what `imdsd status` says"
            found = CredentialsFileError(f"internal error: {type(error).__name__}", remedy=remedy)
            self._failed(files, found, role)
            return False
        self._failures.pop(files, None)
        return True

    def _failed(
        self, files: FilesConfig, error: CredentialsFileError, role: Mapping[str, str]
    ) -> None:
        if not self._minds(files):
            return
        news, self._failures[files] = self._failures.get(files) != str(error), str(error)
        level = "warning" if news else "debug"
        told = {**role, **_described(files), "reason": error.reason, "remedy": error.remedy}
        getattr(log, level)("credentials_file_failed", **told)

    def _minds(self, files: FilesConfig) -> bool:
        return files in self._wanted.values() or files in self._written


def _wanted(roles: Sequence[RoleConfig]) -> dict[str, FilesConfig]:
    return {role.name: role.files for role in roles if role.files is not None}


def _described(files: FilesConfig) -> dict[str, str]:
    return {"file": str(files.credentials_file), "profile": files.profile}
