"""How events are written: for people on a terminal, as JSON lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

from imdsd.clock import SystemClock, format_instant
from imdsd.telemetry.leaving_out import leaving_out
from imdsd.telemetry.tracebacks import told

with leaving_out("rich"):
    # Megabytes, for tracebacks that show what `told` leaves out.
    import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

get_logger = structlog.get_logger

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

QUIET_LOGGERS = ("aiobotocore", "aiohttp", "asyncio", "botocore", "urllib3")
"""Held at WARNING at every level: botocore's DEBUG prints the web identity token and the keys."""


class _PatientLogger:
    """Write a line at a time; a full disk or a closed stderr must not stop the daemon."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = exception = critical = msg


class _PatientLoggerFactory:
    def __init__(self, stream: TextIO) -> None:
        self._logger = _PatientLogger(stream)

    def __call__(self, *_arguments: object) -> _PatientLogger:
        return self._logger


class _Forwarder(logging.Handler):
    """Hand what libraries log to the one stream, in the one format."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001  # a library's slip in a log call must not become ours
            text = str(record.msg)
        # structlog knows the five levels only; a library may have one between them.
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        # Of an exception the kind alone: its text may quote a secret.
        kind = record.exc_info[0] if record.exc_info else None
        raised = {"exception": kind.__name__} if kind else {}
        structlog.get_logger(record.name).log(
            level, "library_message", library=record.name, detail=text, **raised
        )


def configure_logging(*, level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Send every event at or above `level` to `stream`, stderr by default.

    `log_format` is `text`, `json`, or `auto`: text on a terminal and JSON lines elsewhere.
    """
    out = stream or sys.stderr
    terminal = out.isatty()
    text = log_format == "text" or (log_format == "auto" and terminal)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _stamped,
            _with_written_instants,
            _with_told_exception,
            *_renderers(text=text, colours=terminal),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_PatientLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Forwarder()]
    root.setLevel(max(_LEVELS[level], logging.WARNING))
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def _renderers(*, text: bool, colours: bool) -> tuple[Processor, ...]:
    if text:
        return (structlog.dev.ConsoleRenderer(colors=colours),)
    return (_ordered, structlog.processors.JSONRenderer())


def _ordered(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    first = ("timestamp", "level", "event")
    return {**{key: event[key] for key in first}, **event}


def _stamped(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = format_instant(SystemClock().now())
    return event


def _with_told_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        event["exception"] = told(error)
    return event


def _with_written_instants(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, datetime):
            event[key] = format_instant(value)
    return event
