"""`/events`: events that handlers of interruptions are tested with, set and cleared on demand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from imdsd.clock import format_instant
from imdsd.endpoints.container import unauthorized
from imdsd.endpoints.message import (
    READ_METHODS,
    Answer,
    Request,
    error_answer,
    json_answer,
    method_not_allowed,
)
from imdsd.metadata.event_board import Entry, TooManyEventsError
from imdsd.metadata.event_forms import instants_of, paths_of
from imdsd.metadata.events import FIELDS, InvalidEventError, parse_event, parse_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsd.metadata.event_board import EventBoard

log = structlog.get_logger(__name__)

PATH = "/events"
_METHODS = (*READ_METHODS, "POST", "DELETE")
# Whatever a person wrote is for clients to read, not for the log to repeat.
_UNLOGGED = frozenset({"description"})


class EventsEndpoint:
    """Set, list and clear events for whoever shows the bearer."""

    def __init__(self, board: EventBoard, *, authorized: Callable[[Request], bool]) -> None:
        self._board = board
        self._authorized = authorized

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path is one of this endpoint's."""
        return path == PATH or path.startswith(PATH + "/")

    def answer_now(self, request: Request) -> Answer | None:  # noqa: ARG002
        """Return None: most of these requests have a body."""
        return None

    async def answer(self, request: Request) -> Answer:
        """Return what came of it; a body is looked at only once the bearer was."""
        allowed = _METHODS if request.path == PATH else ("DELETE",)
        if request.method not in allowed:
            return method_not_allowed(*allowed)
        if not self._authorized(request):
            return unauthorized()
        if request.method == "POST":
            return self._set(request.body)
        if request.method == "DELETE":
            return self._clear(request.path.removeprefix(PATH).removeprefix("/"))
        return _line(200, {"events": [_described(entry) for entry in self._board.entries()]})

    def _set(self, body: bytes) -> Answer:
        try:
            entry = self._board.add(parse_event(_object(body)))
        except InvalidEventError as error:
            return error_answer(400, "InvalidEvent", str(error))
        except TooManyEventsError as error:
            return error_answer(409, "TooManyEvents", str(error))
        log.info("event_set", **_told(entry), appears_at=format_instant(entry.appears_at))
        return _line(200, _described(entry))

    def _clear(self, word: str) -> Answer:
        try:
            kind = parse_kind(word) if word else None
        except InvalidEventError as error:
            return error_answer(404, "EventKindNotFound", str(error))
        cleared = self._board.clear(kind)
        if cleared:
            log.info("events_cleared", kind=kind or "all", cleared=cleared)
        return _line(200, {"cleared": cleared})


def _object(body: bytes) -> dict[str, object]:
    """Return the JSON object of a body; raises InvalidEventError."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidEventError(
            "the body", found="something else", expected='a JSON object such as {"kind": "spot"}'
        )
    return document


def _described(entry: Entry) -> dict[str, object]:
    """Return an entry as clients of this endpoint read it."""
    instants = {
        "appears_at": entry.appears_at,
        **instants_of(entry.event, entry.appears_at),
    }
    return {
        "kind": entry.event.kind,
        **{name: getattr(entry.event, name) for name in FIELDS[entry.event.kind]},
        "configured": entry.configured,
        "in_force": entry.in_force,
        **{name: format_instant(instant) for name, instant in instants.items()},
        "paths": [f"/latest/{path}" for path in paths_of(entry.event)],
    }


def _told(entry: Entry) -> dict[str, object]:
    """Return what the log tells of an entry."""
    names = [name for name in FIELDS[entry.event.kind] if name not in _UNLOGGED]
    return {"kind": entry.event.kind, **{name: getattr(entry.event, name) for name in names}}


def _line(status: int, document: object) -> Answer:
    """Return a JSON answer that ends its line, as a person at a prompt likes it."""
    answer = json_answer(status, document)
    return replace(answer, body=answer.body + b"\n")
