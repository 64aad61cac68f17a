"""What a service manager is told of the daemon, and when."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsd.clock import format_instant
from imdsd.credentials.model import RoleState
from imdsd.endpoints.container import why_unavailable
from imdsd.errors import tidy
from imdsd.host.systemd import has_manager, notify, watchdog_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from imdsd.clock import Clock
    from imdsd.credentials.refresher import Refresher
    from imdsd.credentials.roles import Roles
    from imdsd.endpoints.documents import Documents

# systemd takes no datagram of more than 4096 bytes, and `systemctl status` shows one line.
_MOST_CHARACTERS = 1000
_INSISTING_SECONDS = 0.5
# A manager that wants to hear more often could not tell a busy machine from a dead daemon.
_LEAST_FEEDING_SECONDS = 0.01


class Telling:
    """Tell the service manager how the daemon fares; where there is none, do nothing."""

    def __init__(
        self, environ: Mapping[str, str], roles: Roles[Documents], *, clock: Clock
    ) -> None:
        self._environ = environ
        self._roles = roles
        self._clock = clock
        self._ready = False
        self._refused = ""
        self._told = ""
        self._owed: tuple[str, ...] = ()

    async def say_when_ready(self, *, grace_seconds: float) -> None:
        """Say READY once the default role is served, or the grace has passed.

        Said until it is heard: units that wait for us would wait in vain.
        """
        await self._clock.nap(grace_seconds, self._roles.default.published)
        self._ready = True
        self._tell("READY=1")
        while self._owed:
            await self._clock.sleep(_INSISTING_SECONDS)
            self._tell()

    async def keep_status(self) -> None:
        """Say how the roles fare whenever that has changed, or was not heard, for ever."""
        while has_manager(self._environ):
            self._roles.turned.clear()
            if self._line() != self._told:
                self._tell()
            await self._roles.turned.wait()

    async def feed_watchdog(self) -> None:
        """Say from the loop itself that it turns, twice as often as is asked for, for ever."""
        seconds = watchdog_seconds(self._environ, pid=os.getpid())
        while seconds is not None:
            self._send("WATCHDOG=1")
            await self._clock.sleep(max(seconds / 2, _LEAST_FEEDING_SECONDS))

    def reloading(self) -> None:
        """Say that a reload begins; a daemon that is not ready yet keeps the word for later."""
        if self._ready:
            # A manager takes only a READY that comes later than this (sd_notify(3)).
            self._send("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1e6)}")

    def reloaded(self, *, refused: str = "") -> None:
        """Say that a reload has ended, and why it was refused if it was."""
        self._refused = refused
        if self._ready:
            self._tell("READY=1")
        else:
            self._tell()

    def stopping(self) -> None:
        """Say that the daemon stops."""
        notify(self._environ, "STOPPING=1", "STATUS=stopping")

    def failed(self, error: Exception) -> None:
        """Say why the daemon does not start."""
        notify(self._environ, f"STATUS={tidy(str(error), most=_MOST_CHARACTERS)}")

    def _tell(self, *lines: str) -> None:
        """Send `lines` and the status; what is not heard is owed, and told at the next turn.

        A manager that missed the end of a reload would take the daemon for reloading for ever.
        """
        line = self._line()
        owed = tuple(dict.fromkeys((*self._owed, *lines)))
        heard = self._send(*owed, f"STATUS={line}")
        self._owed, self._told = ((), line) if heard else (owed, "")

    def _send(self, *lines: str) -> bool:
        # The loop serves clients: it does not wait for a manager that is busy.
        return notify(self._environ, *lines, patience_seconds=0)

    def _line(self) -> str:
        return status_line(self._roles, now=self._clock.now(), refused=self._refused)


def status_line(roles: Roles[Documents], *, now: datetime, refused: str = "") -> str:
    """Return how the roles fare in one line: the default one, how many are served, what fails."""
    return tidy("; ".join(_clauses(roles, now, refused)), most=_MOST_CHARACTERS)


def _clauses(roles: Roles[Documents], now: datetime, refused: str) -> Iterator[str]:
    every = [refresher for _, refresher in roles]
    default = roles.default
    yield ", ".join(_standing(default, now))
    if len(every) > 1:
        served = sum(refresher.current() is not None for refresher in every)
        yield f"{served} of {len(every)} roles served"
    for refresher in (default, *every):
        if refresher.failure is not None:
            whose = "" if refresher is default else f"{refresher.name} {refresher.state}: "
            yield whose + why_unavailable(refresher)
            break
    if refused:
        yield f"reload refused: {refused}"


def _standing(refresher: Refresher[Documents], now: datetime) -> Iterator[str]:
    state, snapshot = refresher.state, refresher.snapshot
    ends = _at(snapshot.credentials.expires_at, now) if snapshot else ""
    if state is RoleState.OK:
        yield f"{refresher.name} {state} until {ends}"
    else:
        yield f"{refresher.name} {state}"
        if ends:
            yield f"valid until {ends}" if refresher.current() else f"ended {ends}"
    if refresher.refresh_at is None:
        yield "no further refresh"
    elif state is RoleState.OK:
        yield f"next refresh {_at(refresher.refresh_at, now)}"
    elif refresher.failure is not None:
        yield f"next try {_at(refresher.refresh_at, now)}"


def _at(instant: datetime, now: datetime) -> str:
    """Write an instant: the time of day where that is enough."""
    text = format_instant(instant)
    return text.partition("T")[2] if abs(instant - now) < timedelta(days=1) else text
