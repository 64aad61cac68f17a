"""How events are written, what libraries may say, and what must never stop the daemon."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
import structlog

from imdsd.secret import Secret
from imdsd.telemetry.log import QUIET_LOGGERS, configure_logging

CANARY = "canary-0123456789"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def restored():
    """Logging belongs to the whole process: leave it as it was."""
    root = logging.getLogger()
    names = (None, *QUIET_LOGGERS)
    levels = [logging.getLogger(name).level for name in names]
    handlers = root.handlers[:]
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    for name, level in zip(names, levels, strict=True):
        logging.getLogger(name).setLevel(level)


def configured(*, level="info", log_format="auto", stream=None):
    stream = stream or io.StringIO()
    configure_logging(level=level, log_format=log_format, stream=stream)
    return stream


def events(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_where_nobody_watches():
    out = configured()
    structlog.get_logger("x").info("credentials_refreshed", role="dev", seconds=3)
    (event,) = events(out)
    instant = datetime.fromisoformat(event.pop("timestamp"))
    assert instant.utcoffset() == timedelta()
    assert event == {"event": "credentials_refreshed", "level": "info", "role": "dev", "seconds": 3}


@pytest.mark.parametrize(
    ("log_format", "stream", "json_lines"),
    [
        ("auto", io.StringIO, True),
        ("auto", Terminal, False),
        ("json", Terminal, True),
        ("text", io.StringIO, False),
    ],
)
def test_the_format_follows_the_terminal_unless_it_is_chosen(log_format, stream, json_lines):
    out = configured(log_format=log_format, stream=stream())
    structlog.get_logger().info("it_happened", role="dev")
    line = out.getvalue()
    assert line.startswith("{") is json_lines
    assert "it_happened" in line
    assert "dev" in line


def test_text_is_coloured_on_a_terminal_only():
    on_terminal = configured(log_format="text", stream=Terminal())
    structlog.get_logger().info("it_happened")
    in_file = configured(log_format="text")
    structlog.get_logger().info("it_happened")
    assert "\x1b[" in on_terminal.getvalue()
    assert "\x1b[" not in in_file.getvalue()


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_events_below_the_level_are_not_written(level, written):
    out = configured(level=level)
    log = structlog.get_logger()
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("it_happened")
    assert [event["level"] for event in events(out)] == written


def test_instants_are_written_as_everywhere_else():
    out = configured()
    instant = datetime(2030, 1, 1, 2, 3, 4, 567, tzinfo=timezone(timedelta(hours=2)))
    structlog.get_logger().info("it_happened", at=instant)
    assert events(out)[0]["at"] == "2030-01-01T00:03:04Z"


def test_a_logger_made_before_the_configuration_obeys_it():
    log = structlog.get_logger("early")
    out = configured()
    log.info("it_happened")
    assert events(out)[0]["event"] == "it_happened"


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_secret_prints_redacted_in_every_format(log_format):
    out = configured(log_format=log_format)
    structlog.get_logger().info("it_happened", secret=Secret(CANARY), held=[Secret(CANARY)])
    assert "Secret(…)" in out.getvalue() or "Secret(\\u2026)" in out.getvalue()
    assert CANARY not in out.getvalue()


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("given", [True, "the exception"])
def test_a_traceback_shows_kind_and_place_but_not_what_the_exception_says(log_format, given):
    out = configured(log_format=log_format)
    token = CANARY[:6] + CANARY[6:]
    try:
        raise ValueError(token)
    except ValueError as error:
        structlog.get_logger().error(
            "refresh_crashed", exc_info=error if given == "the exception" else given
        )
    assert "ValueError" in out.getvalue()
    assert "test_telemetry_log.py" in out.getvalue()
    assert CANARY not in out.getvalue()


def test_without_an_exception_there_is_no_traceback():
    out = configured()
    structlog.get_logger().error("loop_error", exc_info=None)
    assert "exception" not in events(out)[0]


# Libraries


def test_what_libraries_log_arrives_in_the_one_format():
    out = configured()
    logging.getLogger("some.library").warning("%d things", 3)
    (event,) = events(out)
    del event["timestamp"]
    assert event == {
        "event": "library_message",
        "level": "warning",
        "library": "some.library",
        "detail": "3 things",
    }


@pytest.mark.parametrize("level", ["debug", "info"])
@pytest.mark.parametrize("name", [*QUIET_LOGGERS, "botocore.auth", "aiohttp.access", "other"])
def test_libraries_are_held_at_warning_though_we_say_everything(level, name):
    out = configured(level=level)
    for number in (logging.DEBUG, logging.INFO):
        logging.getLogger(name).log(number, "the token is %s", CANARY)
    assert out.getvalue() == ""
    logging.getLogger(name).warning("take care")
    assert events(out)[0]["detail"] == "take care"


def test_botocore_says_nothing_of_what_it_signs_though_we_say_everything():
    out = configured(level="debug")
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    keys = Credentials("ASIAX", CANARY, CANARY)
    SigV4Auth(keys, "sts", "eu-central-1").add_auth(AWSRequest("GET", "http://127.0.0.1/"))
    assert out.getvalue() == ""


def test_errors_only_silences_the_warnings_of_libraries():
    out = configured(level="error")
    logging.getLogger("some.library").warning("take care")
    assert out.getvalue() == ""


@pytest.mark.parametrize(("number", "name"), [(35, "warning"), (45, "error"), (90, "critical")])
def test_a_level_of_a_librarys_own_counts_as_the_one_below(number, name):
    out = configured()
    logging.getLogger("some.library").log(number, "it happened")
    assert events(out)[0]["level"] == name


def test_a_slip_in_a_librarys_log_call_does_not_become_ours():
    out = configured()
    logging.getLogger("some.library").warning("%d things", "three")
    assert events(out)[0]["detail"] == "%d things"


async def test_what_asyncio_says_arrives_too():
    out = configured()
    asyncio.get_running_loop().call_exception_handler({"message": "something leaked"})
    assert "something leaked" in events(out)[0]["detail"]


# A stream that fails


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


class Unencodable(io.StringIO):
    def write(self, text):
        text.encode("ascii")
        return super().write(text)


@pytest.mark.parametrize("stream", [Full, Unencodable])
def test_a_stream_that_refuses_a_line_stops_nobody(stream):
    configured(log_format="text", stream=stream())
    structlog.get_logger().error("it_happened", where="Zürich")
    logging.getLogger("some.library").error("Zürich")


def test_a_stream_that_is_closed_stops_nobody():
    out = configured()
    out.close()
    structlog.get_logger().error("it_happened")


def test_a_reader_of_stderr_who_goes_away_stops_nobody():
    code = (
        "import structlog; from imdsd.telemetry.log import configure_logging as c;"
        "c(level='info', log_format='auto'); input();"
        "[structlog.get_logger().info('it_happened') for _ in range(100)]; print('still here')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    with process:
        process.stderr.close()
        process.stdin.write("\n")
        process.stdin.close()
        assert process.stdout.read() == "still here\n"
        process.wait(30)


def test_the_wall_clock_is_what_stamps_an_event():
    out = configured()
    before = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251  # compared with what is read
    structlog.get_logger().info("it_happened")
    after = datetime.now(UTC)  # noqa: TID251
    assert before <= datetime.fromisoformat(events(out)[0]["timestamp"]) <= after
