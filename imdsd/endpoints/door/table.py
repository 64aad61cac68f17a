"""The only module that knows which connections are open, what each waits for, and who must go."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import chain
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imdsd.endpoints.door.limits import Limits

# A flood would otherwise have a deadline of its own in every turn of the loop.
SWEEP_SECONDS = 0.1
# A loop that comes so late to a deadline stood still: the process was stopped, the machine slept.
LATE_SECONDS = 0.5


class Clockwork(Protocol):
    """What the table needs of an event loop."""

    def time(self) -> float:
        """Return the loop's time in seconds."""
        ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> asyncio.TimerHandle:
        """Have `callback` called at that time."""
        ...


class Member(Protocol):
    """A connection as the table sees it."""

    phase: Phase | None

    @property
    def uid(self) -> int | None:
        """The user at the other end, None where the kernel cannot tell."""
        ...

    def unread(self) -> bool:
        """Whether a request, of which nothing was read yet, waits in the socket's queue."""
        ...

    def overdue(self, phase: Phase) -> None:
        """End the connection: its time in this phase is over."""
        ...

    def displaced(self) -> None:
        """End the connection: somebody else needs its place."""
        ...

    def close(self) -> None:
        """End the connection: the daemon stops."""
        ...


class Phase:
    """What connections wait for; `members` has them by when each began to, the longest first."""

    __slots__ = ("limit_seconds", "members")

    def __init__(self, limit_seconds: float | None = None) -> None:
        self.limit_seconds = limit_seconds
        self.members: dict[Member, float] = {}

    def deadline(self) -> float | None:
        """Return the loop's time at which the first of them is overdue, None if none can be."""
        if self.limit_seconds is None or not self.members:
            return None
        return next(iter(self.members.values())) + self.limit_seconds

    def overdue(self, now: float) -> Iterator[Member]:
        """Give those whose time is over."""
        while (deadline := self.deadline()) is not None and deadline <= now:
            yield next(iter(self.members))


class ConnectionTable:
    """Hold every open connection to its deadline, and all of them to their number.

    With `per_user`, and past half of the places, a user who has half of them makes place for a new
    connection by one of their own.
    """

    def __init__(self, loop: Clockwork, limits: Limits, *, per_user: bool = False) -> None:
        self.limits = limits
        self.head = Phase(limits.head_seconds)
        self.body = Phase()  # whoever reads it has a deadline
        self.work = Phase()  # ours
        self.write = Phase(limits.write_seconds)
        self.idle = Phase(limits.idle_seconds)
        self.farewell = Phase(limits.farewell_seconds)
        self._inside = (self.head, self.body, self.work, self.write, self.idle)
        self._loop = loop
        self._per_user = per_user
        self._next_sweep: asyncio.TimerHandle | None = None
        self._excused = False
        self._all_asked: asyncio.Event | None = None

    def __len__(self) -> int:
        """Return how many connections have a place."""
        head, body, work, write, idle = self._inside
        return (
            len(head.members)
            + len(body.members)
            + len(work.members)
            + len(write.members)
            + len(idle.members)
        )

    def admit(self, member: Member) -> bool:
        """Give a new connection a place, if need be that of one that waits for its client.

        The longest idle one goes first, then the oldest that has not sent a whole request, then
        the oldest that does not read its answer. False where the daemon works for all of them.
        """
        if not self._has_place(member):
            return False
        self.enter(member, self.head)
        return True

    def enter(self, member: Member, phase: Phase) -> None:
        """Take note of what a connection waits for from now on."""
        self.leave(member)
        member.phase = phase
        now = self._loop.time()
        phase.members[member] = now
        if phase.limit_seconds is not None:
            self._sweep_by(now + phase.limit_seconds)

    def rest(self, member: Member) -> None:
        """Take note that a connection is idle, again or for the first time."""
        if member.phase is not self.idle:
            self.enter(member, self.idle)
            return
        # Its deadline only moves away: no sweep has to come sooner.
        members = self.idle.members
        del members[member]
        members[member] = self._loop.time()

    def leave(self, member: Member) -> None:
        """Take note that a connection is gone."""
        phase, member.phase = member.phase, None
        if phase is None:
            return
        del phase.members[member]
        if self._all_asked is not None and not self.head.members:
            self._all_asked.set()

    def since(self, member: Member) -> float:
        """Return when the head of a member's request began to be awaited; now, if it was not."""
        return self.head.members.get(member, self._loop.time())

    def has_spare(self) -> bool:
        """Whether one more connection may be told why it ends."""
        return len(self.farewell.members) < self.limits.spare_connections

    def has_plenty(self) -> bool:
        """Whether a new connection has a place whoever's it is, and takes none."""
        return len(self) < self.limits.connections // 2

    async def until_all_asked(self, *, seconds: float) -> None:
        """Wait until no request's head is awaited, at most for `seconds`."""
        if not self.head.members:
            return
        self._all_asked = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._all_asked.wait()

    def empty(self) -> None:
        """End every connection that is left."""
        for member in (*self._members(), *self.farewell.members):
            self.leave(member)
            member.close()

    def _has_place(self, newcomer: Member) -> bool:
        taken, half = len(self), self.limits.connections // 2
        if self._per_user and taken >= half:
            uid = newcomer.uid
            if sum(each.uid == uid for each in self._members()) >= half:
                return self._displace(lambda each: each.uid == uid)
        return taken < self.limits.connections or self._displace(lambda _: True)

    def _displace(self, may_go: Callable[[Member], bool]) -> bool:
        for phase in (self.idle, self.head, self.body, self.write):
            for member in phase.members:
                # Whose request is here already has not to be waited for.
                if may_go(member) and (phase is self.write or not member.unread()):
                    self.leave(member)
                    member.displaced()
                    return True
        return False

    def _members(self) -> Iterator[Member]:
        return chain.from_iterable(phase.members for phase in self._inside)

    def _sweep_by(self, when: float) -> None:
        if self._next_sweep is not None:
            if self._next_sweep.when() <= when:
                return
            self._next_sweep.cancel()
        self._next_sweep = self._loop.call_at(when, self._sweep)

    def _sweep(self) -> None:
        assert self._next_sweep is not None  # noqa: S101  # it is what calls
        now, due = self._loop.time(), self._next_sweep.when()
        self._next_sweep = None
        # What clients sent meanwhile is heard before any of them is told to have been too slow.
        self._excused = now - due > LATE_SECONDS and not self._excused
        if self._excused:
            self._sweep_by(now + SWEEP_SECONDS)
            return
        phases = (*self._inside, self.farewell)
        for phase in phases:
            for member in phase.overdue(now):
                self.leave(member)
                member.overdue(phase)
        deadlines = [deadline for phase in phases if (deadline := phase.deadline()) is not None]
        if deadlines:
            self._sweep_by(max(min(deadlines), now + SWEEP_SECONDS))
