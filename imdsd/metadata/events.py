"""The only module that knows which events there are, their fields and words, and what is valid."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

from imdsd.errors import ImdsdError

KINDS = ("spot", "rebalance", "maintenance", "autoscaling")
SPOT_ACTIONS = ("hibernate", "stop", "terminate")
MAINTENANCE_CODES = (
    "instance-reboot",
    "system-reboot",
    "system-maintenance",
    "instance-retirement",
    "instance-stop",
)
MAINTENANCE_STATES = ("active", "completed", "canceled")
LIFECYCLE_STATES = (
    "Detached",
    "InService",
    "Standby",
    "Terminated",
    "Warmed:Hibernated",
    "Warmed:Running",
    "Warmed:Stopped",
    "Warmed:Terminated",
)

EVENTS_LIMIT = 100
SECONDS_LIMIT = 366 * 86400
DESCRIPTION_LIMIT = 255

# EC2 tells of a spot interruption two minutes ahead, of maintenance days ahead.
NOTICE_SECONDS = 120
MAINTENANCE_IN_SECONDS = 7 * 86400
MAINTENANCE_LASTS_SECONDS = 86400

EVENT_ID_PREFIX = "instance-event-"
_ID_DIGITS = 17
_HEXADECIMAL = frozenset("0123456789abcdef")
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotEvent:
    """A spot instance is going to be interrupted `in_seconds` after the notice."""

    kind: ClassVar[str] = "spot"
    action: str = "terminate"
    in_seconds: int = NOTICE_SECONDS
    after_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RebalanceEvent:
    """A spot instance is at an elevated risk of interruption."""

    kind: ClassVar[str] = "rebalance"
    after_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceEvent:
    """Maintenance is scheduled, between `in_seconds` and `until_seconds` after the notice."""

    kind: ClassVar[str] = "maintenance"
    code: str
    description: str
    event_id: str
    in_seconds: int
    until_seconds: int
    state: str
    after_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoscalingEvent:
    """An Auto Scaling group moves the instance to a lifecycle state."""

    kind: ClassVar[str] = "autoscaling"
    state: str
    after_seconds: int = 0


Event = SpotEvent | RebalanceEvent | MaintenanceEvent | AutoscalingEvent
"""One event as it was asked for. `after_seconds` after that, its notice appears."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    each.kind: tuple(field.name for field in fields(each))
    for each in (SpotEvent, RebalanceEvent, MaintenanceEvent, AutoscalingEvent)
}
"""The keys of each kind of event, besides `kind`."""


class InvalidEventError(ImdsdError):
    """An event that cannot be: which key, what was found there, what was expected."""

    def __init__(self, key: str, *, found: str, expected: str, hint: str = "") -> None:
        self.key = key
        self.found = found
        self.expected = expected
        self.hint = hint
        ending = f"; {hint}" if hint else ""
        super().__init__(f"{key}: found {found}, expected {expected}{ending}")


def parse_event(document: Mapping[str, object]) -> Event:
    """Return the event that a request body, a configuration table or a command line asks for.

    Keys are `kind` and those of FIELDS; durations are whole seconds. Raises InvalidEventError.
    """
    kind = _Given("event", document).word("kind", KINDS)
    given = _Given(kind, {key: value for key, value in document.items() if key != "kind"})
    given.refuse_unknown()
    return _PARSERS[kind](given)


def parse_kind(word: str) -> str:
    """Return a kind of event; raises InvalidEventError that names the nearest."""
    return _Given("event", {"kind": word}).word("kind", KINDS)


class _Given:
    """The keys given for an event of a kind, each read as what it has to be."""

    def __init__(self, kind: str, values: Mapping[str, object]) -> None:
        self._kind = kind
        self._values = values

    def refuse_unknown(self) -> None:
        """Raise InvalidEventError for a key that this kind of event has not."""
        for key in self._values:
            if key not in FIELDS[self._kind]:
                hint = _unknown_hint(key, self._kind)
                expected = f"a key of {self._kind}: {', '.join(FIELDS[self._kind])}"
                named = key if key.isidentifier() and len(key) < _SHOWN_CHARACTERS else _shown(key)
                raise InvalidEventError(named, found="an unknown key", expected=expected, hint=hint)

    def word(self, key: str, words: tuple[str, ...], default: str | None = None) -> str:
        """Return one of a few words."""
        found = self._values.get(key, default)
        if isinstance(found, str) and found in words:
            return found
        near = _nearest(found, words) if isinstance(found, str) else None
        hint = f"did you mean {near}?" if near else ""
        raise self._refusal(key, f"one of {', '.join(words)}", hint=hint)

    def seconds(self, key: str, default: int) -> int:
        """Return a duration."""
        found = self._values.get(key, default)
        whole = isinstance(found, int) and not isinstance(found, bool)
        if whole and isinstance(found, int) and 0 <= found <= SECONDS_LIMIT:
            return found
        raise self._refusal(key, f"a whole number of seconds from 0 to {SECONDS_LIMIT}")

    def text(self, key: str, default: str, expected: str, fits: Callable[[str], bool]) -> str:
        """Return a text that fits."""
        found = self._values.get(key, default)
        if isinstance(found, str) and fits(found):
            return found
        raise self._refusal(key, expected)

    def has(self, key: str) -> bool:
        """Whether a key was given."""
        return key in self._values

    def _refusal(self, key: str, expected: str, *, hint: str = "") -> InvalidEventError:
        found = _shown(self._values[key]) if key in self._values else "nothing"
        return InvalidEventError(key, found=found, expected=expected, hint=hint)


def _spot(given: _Given) -> SpotEvent:
    return SpotEvent(
        action=given.word("action", SPOT_ACTIONS, "terminate"),
        in_seconds=given.seconds("in_seconds", NOTICE_SECONDS),
        after_seconds=given.seconds("after_seconds", 0),
    )


def _rebalance(given: _Given) -> RebalanceEvent:
    return RebalanceEvent(after_seconds=given.seconds("after_seconds", 0))


def _autoscaling(given: _Given) -> AutoscalingEvent:
    return AutoscalingEvent(
        state=given.word("state", LIFECYCLE_STATES),
        after_seconds=given.seconds("after_seconds", 0),
    )


def _maintenance(given: _Given) -> MaintenanceEvent:
    code = given.word("code", MAINTENANCE_CODES)
    state = given.word("state", MAINTENANCE_STATES, "active")
    # The words of AWS's example for system-reboot: "scheduled reboot".
    usual = f"scheduled {code.rpartition('-')[2]}"
    one_line = f"a text of one line, of 1 to {DESCRIPTION_LIMIT} ASCII characters"
    description = given.text("description", usual, one_line, _is_description)
    begin, end = _window(given)
    derived = _derived_id(code, description, begin, end)
    an_id = f"{EVENT_ID_PREFIX} and {_ID_DIGITS} digits of 0-9a-f"
    return MaintenanceEvent(
        code=code,
        description=description,
        event_id=given.text("event_id", derived, an_id, _is_event_id),
        in_seconds=begin,
        until_seconds=end,
        state=state,
        after_seconds=given.seconds("after_seconds", 0),
    )


def _window(given: _Given) -> tuple[int, int]:
    begin = given.seconds("in_seconds", MAINTENANCE_IN_SECONDS)
    if not given.has("until_seconds"):
        return begin, min(begin + MAINTENANCE_LASTS_SECONDS, SECONDS_LIMIT)
    end = given.seconds("until_seconds", 0)
    if end < begin:
        expected = f"at least {begin} seconds, when it begins (in_seconds)"
        raise InvalidEventError("until_seconds", found=str(end), expected=expected)
    return begin, end


_PARSERS: Mapping[str, Callable[[_Given], Event]] = {
    "spot": _spot,
    "rebalance": _rebalance,
    "maintenance": _maintenance,
    "autoscaling": _autoscaling,
}


def _derived_id(*facts: str | int) -> str:
    """Return the id of an event without one: the same for the same event, whatever its state."""
    digest = hashlib.sha256("\0".join(map(str, facts)).encode()).hexdigest()
    return EVENT_ID_PREFIX + digest[:_ID_DIGITS]


def _is_event_id(text: str) -> bool:
    digits = text.removeprefix(EVENT_ID_PREFIX)
    known = len(text) == len(EVENT_ID_PREFIX) + _ID_DIGITS and len(digits) == _ID_DIGITS
    return known and _HEXADECIMAL.issuperset(digits)


def _is_description(text: str) -> bool:
    # ASCII, as then every event fits the body of a request, which is capped at 1 KiB.
    plain = text.isascii() and text.isprintable()
    return plain and bool(text.strip()) and len(text) <= DESCRIPTION_LIMIT


def _unknown_hint(key: str, kind: str) -> str:
    homes = [other for other, names in FIELDS.items() if key in names]
    if homes:
        return f"{key} belongs to {' and '.join(homes)}"
    near = _nearest(key, FIELDS[kind])
    return f"did you mean {near}?" if near else ""


def _nearest(word: str, words: tuple[str, ...]) -> str | None:
    import difflib  # noqa: PLC0415  # only on the way out

    # Whatever a client sent is compared: at its length in letters, and not over.
    by_lower = {each.lower(): each for each in words}
    near = difflib.get_close_matches(word[:_SHOWN_CHARACTERS].lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def _shown(value: object) -> str:
    """Return a value as a message may show it: short, on one line."""
    if isinstance(value, Mapping | list):
        return "a table" if isinstance(value, Mapping) else f"a list of {len(value)}"
    if value is None:
        return "null"
    text = repr(value) if isinstance(value, str) else str(value).lower()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
