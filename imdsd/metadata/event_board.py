"""The only module that decides which events apply now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING

from imdsd.errors import ImdsdError
from imdsd.metadata.event_forms import leaves_of
from imdsd.metadata.events import EVENTS_LIMIT, Event, MaintenanceEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from imdsd.clock import Clock

_NEVER = datetime.max.replace(tzinfo=UTC)


class TooManyEventsError(ImdsdError):
    """The board is full."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event on the board: when its notice appears, whether it has, and who asked for it."""

    event: Event
    appears_at: datetime
    in_force: bool
    configured: bool


class EventBoard:
    """Hold events, pending or in force, until they are cleared or replaced.

    One event of each kind is in force, but of maintenance one of each event id: one that falls
    due takes the place of the one before. What is in force stays so when the clock steps back.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: tuple[Entry, ...] = ()
        self._configured: tuple[Event, ...] = ()
        self._next = _NEVER
        self._generation = 0
        self._leaves = leaves_of(())

    def generation(self) -> int:
        """Return a number that changes whenever what `leaves` returns does."""
        if self._clock.now() >= self._next:
            self._settle(self._entries)
        return self._generation

    def leaves(self) -> Mapping[str, bytes]:
        """Return what applies now, by path below a version; both lists of maintenance always."""
        self.generation()
        return self._leaves

    def entries(self) -> tuple[Entry, ...]:
        """Return what is pending or in force, in the order of the notices."""
        self.generation()
        return self._entries

    def add(self, event: Event) -> Entry:
        """Set an event, from now on; return it as it stands then.

        Raises TooManyEventsError when the board is full.
        """
        before = self.entries()
        if len(before) >= EVENTS_LIMIT:
            raise TooManyEventsError(
                f"{EVENTS_LIMIT} events are set, and no more can be;"
                " clear some with `imdsd event clear`"
            )
        entry = self._entry(event, configured=False)
        self._settle((*before, entry))
        return replace(entry, in_force=entry.appears_at <= self._clock.now())

    def clear(self, kind: str | None = None) -> int:
        """Forget all events, or those of a kind, whoever asked for them; return how many."""
        before = self.entries()
        self._settle(_without(before, lambda entry: kind in (None, entry.event.kind)))
        return len(before) - len(self._entries)

    def replace_configured(self, events: Iterable[Event]) -> None:
        """Take the events of a configuration: drop those it no longer has, set those it now has.

        Those of both stay as they are, cleared ones too. Durations of new ones count from now.
        """
        new, known = tuple(events), self._configured
        kept = _without(self.entries(), lambda each: each.configured and each.event not in new)
        added = (self._entry(each, configured=True) for each in new if each not in known)
        self._configured = new
        self._settle((*kept, *added))

    def _entry(self, event: Event, *, configured: bool) -> Entry:
        # Whole seconds, as the forms are: one that is due now must not wait for the next second.
        appears_at = self._clock.now().replace(microsecond=0) + _seconds(event.after_seconds)
        return Entry(event, appears_at, in_force=False, configured=configured)

    def _settle(self, entries: Iterable[Entry]) -> None:
        """Put entries in force that are due, and note when the next will be."""
        now = self._clock.now()
        self._entries = _settled(entries, now=now)
        pending = (each.appears_at for each in self._entries if not each.in_force)
        self._next = min(pending, default=_NEVER)
        leaves = leaves_of((each.event, each.appears_at) for each in self._entries if each.in_force)
        if leaves != self._leaves:
            self._leaves = leaves
            self._generation += 1


def _settled(entries: Iterable[Entry], *, now: datetime) -> tuple[Entry, ...]:
    """Return the entries in the order of their notices, without those whose place was taken."""
    given = tuple(entries)
    # What is in force stays in front: after a step of the clock its notice may lie ahead.
    held = [each for each in given if each.in_force]
    pending = sorted((each for each in given if not each.in_force), key=attrgetter("appears_at"))
    due = [*held, *(replace(each, in_force=each.appears_at <= now) for each in pending)]
    last = {_place(each.event): number for number, each in enumerate(due) if each.in_force}
    return tuple(
        each
        for number, each in enumerate(due)
        if not each.in_force or last[_place(each.event)] == number
    )


def _place(event: Event) -> str:
    return event.event_id if isinstance(event, MaintenanceEvent) else event.kind


def _without(entries: Iterable[Entry], unwanted: Callable[[Entry], bool]) -> tuple[Entry, ...]:
    return tuple(each for each in entries if not unwanted(each))


def _seconds(number: int) -> timedelta:
    return timedelta(seconds=number)
