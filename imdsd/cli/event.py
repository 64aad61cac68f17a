"""`imdsd event`: have the daemon tell its clients of an interruption, as EC2 would."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any

from imdsd.cli._asking import Caller
from imdsd.errors import NoDaemonError, UsageError
from imdsd.metadata.events import (
    FIELDS,
    KINDS,
    LIFECYCLE_STATES,
    MAINTENANCE_CODES,
    MAINTENANCE_STATES,
    SPOT_ACTIONS,
    InvalidEventError,
    parse_event,
    parse_kind,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imdsd.client import Reply

_OK = 200
_REFUSED = (400, 404, 409)

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile("".join(rf"(?:([0-9]{{1,9}}){unit})?" for unit in _UNITS))
_DURATION_EXPECTED = "a duration such as 120, 120s, 2m, 1h30m or 7d"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per kind of event, `clear` and `list`."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", title="kinds of events, and more")

    def add(name: str, does: str) -> argparse.ArgumentParser:
        sentence = f"{does[0].upper()}{does[1:]}."
        return kinds.add_parser(name, help=does, description=sentence, allow_abbrev=False)

    _configure_spot(add("spot", "announce that the spot instance is interrupted"))
    _configure_rebalance(add("rebalance", "recommend to move work off the spot instance"))
    _configure_maintenance(add("maintenance", "announce maintenance, or that it ended"))
    _configure_autoscaling(add("autoscaling", "announce the next Auto Scaling lifecycle state"))
    _configure_clear(add("clear", "forget events, pending ones too"))
    add("list", "list the events that are set, as without KIND")


def run(arguments: argparse.Namespace) -> int:
    """Set, clear or list events."""
    return perform(arguments, Caller.of_this_process())


def perform(arguments: argparse.Namespace, caller: Caller) -> int:
    """Do it on behalf of a caller, and say what clients see."""
    match arguments.kind:
        case None | "list":
            lines = _list(caller)
        case "clear":
            lines = [_clear(caller, arguments.which)]
        case _:
            lines = [_set(caller, arguments)]
    sys.stdout.writelines(line + "\n" for line in lines)
    return 0


def parse_duration(text: str) -> int:
    """Return the seconds of `120`, `120s`, `2m`, `1h30m` or `7d`; units come largest first."""
    if re.fullmatch("[0-9]{1,9}", text):
        return int(text)
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise argparse.ArgumentTypeError(f"found {text[:60]!r}, expected {_DURATION_EXPECTED}")
    numbers = zip(found.groups(), _UNITS.values(), strict=True)
    return sum(int(number) * seconds for number, seconds in numbers if number)


def _configure_spot(parser: argparse.ArgumentParser) -> None:
    _add(parser, "--action", "ACTION", f"{_words(SPOT_ACTIONS)} (default: terminate)")
    _add_duration(parser, "--in", "when it is interrupted, from the notice on (default: 120s)")
    _add_after(parser)


def _configure_rebalance(parser: argparse.ArgumentParser) -> None:
    _add_after(parser)


def _configure_maintenance(parser: argparse.ArgumentParser) -> None:
    _add(parser, "--code", "CODE", _words(MAINTENANCE_CODES), required=True)
    _add(parser, "--description", "TEXT", "one line (default: 'scheduled reboot' and the like)")
    _add(parser, "--event-id", "ID", "instance-event-… (default: derived from the rest)")
    _add_duration(parser, "--in", "when it may begin, from the notice on (default: 7d)")
    _add_duration(parser, "--until", "when it will have ended (default: a day after --in)")
    _add(parser, "--state", "STATE", f"{_words(MAINTENANCE_STATES)} (default: active)")
    _add_after(parser)


def _configure_autoscaling(parser: argparse.ArgumentParser) -> None:
    _add(parser, "--state", "STATE", _words(LIFECYCLE_STATES), required=True)
    _add_after(parser)


def _configure_clear(parser: argparse.ArgumentParser) -> None:
    kinds = f"only events of this kind: {_words(KINDS)} (default: all)"
    parser.add_argument("which", metavar="KIND", nargs="?", help=kinds)


def _add(
    parser: argparse.ArgumentParser, flag: str, shown: str, says: str, *, required: bool = False
) -> None:
    # What is not given is left to the daemon's own defaults.
    parser.add_argument(
        flag, metavar=shown, default=argparse.SUPPRESS, required=required, help=says
    )


def _add_duration(parser: argparse.ArgumentParser, flag: str, says: str) -> None:
    parser.add_argument(
        flag,
        metavar="DURATION",
        dest=f"{flag.removeprefix('--')}_seconds",
        type=parse_duration,
        default=argparse.SUPPRESS,
        help=says,
    )


def _add_after(parser: argparse.ArgumentParser) -> None:
    _add_duration(parser, "--after", "when the notice appears, from now on (default: at once)")


def _words(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _set(caller: Caller, arguments: argparse.Namespace) -> str:
    kind: str = arguments.kind
    given = {name: value for name, value in vars(arguments).items() if name in FIELDS[kind]}
    event = {"kind": kind, **given}
    try:
        parse_event(event)
    except InvalidEventError as error:
        flag = "--" + error.key.removesuffix("_seconds").replace("_", "-")
        raise UsageError(f"{flag}{str(error).removeprefix(error.key)}") from None
    return _line(_done(caller.find_daemon().post("/events", event)))


def _clear(caller: Caller, which: str | None) -> str:
    try:
        path = f"/events/{parse_kind(which)}" if which else "/events"
    except InvalidEventError as error:
        raise UsageError(str(error)) from None
    count = _done(caller.find_daemon().delete(path)).get("cleared")
    return f"{count} event{'' if count == 1 else 's'} cleared"


def _list(caller: Caller) -> list[str]:
    entries = _done(caller.find_daemon().get("/events")).get("events") or []
    return [_line(entry) for entry in entries] or ["no events are set"]


def _done(reply: Reply) -> Mapping[str, Any]:
    """Return what the daemon answered; raises UsageError for what it refused."""
    if reply.status in _REFUSED:
        raise UsageError(reply.message)
    if reply.status != _OK:
        raise NoDaemonError(f"the daemon answers /events with {reply.status}: {reply.message}")
    return reply.document


def _line(entry: Mapping[str, Any]) -> str:
    """Say what a client sees, from when on, and where."""
    try:
        return _told(entry)
    except KeyError as error:
        raise NoDaemonError(f"the daemon's answer lacks {error}; is it of this version?") from None


def _told(entry: Mapping[str, Any]) -> str:
    seen = "seen now" if entry["in_force"] else f"seen from {entry['appears_at']} on"
    where = " and ".join(entry["paths"])
    by = "; configured" if entry["configured"] else ""
    return f"{entry['kind']}: {_what(entry)}; {seen} at {where}{by}"


def _what(entry: Mapping[str, Any]) -> str:
    match entry["kind"]:
        case "spot":
            return f"{entry['action']} at {entry['time']}"
        case "maintenance":
            window = f"from {entry['not_before']} to {entry['not_after']}"
            return f"{entry['code']} {window}, {entry['state']}, {entry['event_id']}"
        case "autoscaling":
            return str(entry["state"])
        case _:
            return f"notice of {entry['notice_time']}"
