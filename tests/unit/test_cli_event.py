"""`imdsd event`, asking the real endpoint behind a fake daemon's socket."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from structlog.testing import capture_logs

from imdsd.cli import main
from imdsd.cli.event import parse_duration
from imdsd.endpoints.door.limits import BODY_BYTES
from imdsd.endpoints.events import EventsEndpoint
from imdsd.endpoints.message import Request
from imdsd.errors import NoDaemonError, UsageError
from imdsd.metadata.event_board import EventBoard
from imdsd.metadata.events import DESCRIPTION_LIMIT, KINDS, SECONDS_LIMIT, parse_event
from tests.fakes.clock import ManualClock
from tests.fakes.daemon import error_document, running_daemon
from tests.fakes.verb import run_verb

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"
SPOT_PATH = "/latest/meta-data/spot/instance-action"
TERMINATION_PATH = "/latest/meta-data/spot/termination-time"


@pytest.fixture
def board():
    return EventBoard(ManualClock())


@pytest.fixture
def daemon(tmp_path, board):
    with running_daemon(tmp_path / "run") as daemon:
        # Whether the bearer was sent is checked by the fake daemon itself.
        endpoint = EventsEndpoint(board, authorized=lambda _request: True)
        paths = ("/events", *(f"/events/{kind}" for kind in KINDS))
        for method in ("GET", "POST", "DELETE"):
            for path in paths:
                daemon.routes[method, path] = answer_of(endpoint, daemon, method, path)
        yield daemon


def answer_of(endpoint, daemon, method, path):
    def answer():
        headers = CIMultiDictProxy(CIMultiDict())
        request = Request(method, path, headers, None, daemon.bodies[-1])
        with capture_logs():
            reply = asyncio.run(endpoint.answer(request))
        return reply.status, json.loads(reply.body)

    return answer


@pytest.fixture
def event(daemon, tmp_path, capsys):
    def event(*words):
        assert run_verb("event", *words, environ=daemon.environ, home=tmp_path) == 0
        return capsys.readouterr().out

    return event


def refusal(event, *words):
    with pytest.raises(UsageError) as caught:
        event(*words)
    return str(caught.value)


# What is set, and said of it


def test_a_spot_interruption_says_what_clients_see_and_where(event, board):
    assert event("spot") == (
        f"spot: terminate at 2026-01-01T00:02:00Z; seen now at {SPOT_PATH} and {TERMINATION_PATH}\n"
    )
    assert "meta-data/spot/instance-action" in board.leaves()


def test_a_delayed_notice_says_from_when_it_is_seen(event, board):
    assert event("spot", "--action", "stop", "--in", "1m30s", "--after", "30s") == (
        f"spot: stop at 2026-01-01T00:02:00Z; seen from 2026-01-01T00:00:30Z on at {SPOT_PATH}\n"
    )
    assert "meta-data/spot/instance-action" not in board.leaves()


def test_a_recommendation_says_when_it_was_made(event):
    assert event("rebalance") == (
        "rebalance: notice of 2026-01-01T00:00:00Z; "
        "seen now at /latest/meta-data/events/recommendations/rebalance\n"
    )


def test_maintenance_says_its_window_and_id(event):
    options = ("--code", "system-reboot", "--in", "1h", "--until", "2h", "--description", "mine")
    identity = "instance-event-0123456789abcdef0"
    assert event("maintenance", *options, "--event-id", identity) == (
        "maintenance: system-reboot from 2026-01-01T01:00:00Z to 2026-01-01T02:00:00Z, active, "
        f"{identity}; seen now at /latest/meta-data/events/maintenance/scheduled\n"
    )


def test_maintenance_that_was_set_is_completed_by_saying_so(event, board):
    event("maintenance", "--code", "instance-stop")
    said = event("maintenance", "--code", "instance-stop", "--state", "completed")
    assert said.endswith("seen now at /latest/meta-data/events/maintenance/history\n")
    assert len(board.entries()) == 1


def test_a_lifecycle_state_is_told(event):
    assert event("autoscaling", "--state", "Warmed:Stopped") == (
        "autoscaling: Warmed:Stopped; "
        "seen now at /latest/meta-data/autoscaling/target-lifecycle-state\n"
    )


def test_the_largest_event_fits_the_body_of_a_request(event, daemon):
    longest = ("--description", '"' * DESCRIPTION_LIMIT, "--after", "366d", "--in", "366d", "--until", "366d")  # fmt: skip
    event("maintenance", "--code", "instance-retirement", "--state", "completed", "--event-id", "instance-event-0123456789abcdef0", *longest)  # fmt: skip
    assert len(daemon.bodies[-1]) <= BODY_BYTES


def test_what_is_not_given_is_left_to_the_daemon(event, daemon):
    event("spot")
    assert json.loads(daemon.bodies[-1]) == {"kind": "spot"}
    event("rebalance", "--after", "0")
    assert json.loads(daemon.bodies[-1]) == {"kind": "rebalance", "after_seconds": 0}


# Listing and clearing


@pytest.mark.parametrize("words", [(), ("list",)])
def test_a_list_has_a_line_for_each_event_and_says_which_are_configured(event, board, words):
    assert event(*words) == "no events are set\n"
    board.replace_configured([parse_event({"kind": "autoscaling", "state": "Standby"})])
    said = event("spot", "--after", "5")
    configured, pending = event(*words).splitlines()
    assert configured.endswith("target-lifecycle-state; configured")
    assert pending == said.strip()


def test_clearing_says_how_many(event):
    event("rebalance")
    event("spot")
    event("autoscaling", "--state", "InService")
    assert event("clear", "spot") == "1 event cleared\n"
    assert event("clear") == "2 events cleared\n"
    assert event("clear") == "0 events cleared\n"


# What cannot be


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("spot", "--action", "terminat"), "--action: found 'terminat', expected one of hibernate, stop, terminate; did you mean terminate?"),
        (("autoscaling", "--state", "detached"), "did you mean Detached?"),
        (("maintenance", "--code", "system-reboot", "--event-id", "x"), "--event-id: found 'x', expected instance-event- and 17 digits of 0-9a-f"),
        (("maintenance", "--code", "system-reboot", "--in", "2h", "--until", "1h"), "--until: found 3600, expected at least 7200 seconds, when it begins (in_seconds)"),
        (("spot", "--in", "400d"), "--in: found 34560000, expected a whole number of seconds from 0 to 31622400"),
        (("clear", "sport"), "did you mean spot?"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anybody_is_asked(event, daemon, words, message):
    assert refusal(event, *words).endswith(message)
    assert daemon.requests == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sopt",), "did you mean spot?"),
        (("spot", "--in", "5x"), "argument --in: found '5x', expected a duration such as 120, 120s, 2m, 1h30m or 7d"),
        (("maintenance",), "the following arguments are required: --code"),
        (("autoscaling",), "the following arguments are required: --state"),
    ],
)  # fmt: skip
def test_words_that_are_none_are_a_matter_of_usage(words, message, capsys):
    assert main(["event", *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert message in told.err
    assert "Try: imdsd event" in told.err


@pytest.mark.parametrize("status", [400, 404, 409])
def test_what_the_daemon_refuses_is_told_as_it_says(event, daemon, status):
    daemon.routes["POST", "/events"] = (status, error_document("InvalidEvent", "not so"))
    assert refusal(event, "spot") == "not so"


def test_another_answer_is_no_success(event, daemon):
    daemon.routes["POST", "/events"] = (403, error_document("Refused", "not you"))
    with pytest.raises(NoDaemonError, match="answers /events with 403: not you"):
        event("spot")


def test_an_answer_of_another_version_is_told_as_one(event, daemon):
    daemon.routes["POST", "/events"] = (200, {"kind": "spot"})
    with pytest.raises(NoDaemonError, match="lacks 'in_force'"):
        event("spot")


def test_without_a_daemon_that_is_said(tmp_path):
    with pytest.raises(NoDaemonError, match="no daemon is running"):
        run_verb("event", "spot", environ={"TMPDIR": str(tmp_path)}, home=tmp_path)


# Durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("120", 120), ("120s", 120), ("2m", 120), ("1h30m", 5400), ("7d", 604800), ("1d1h1m1s", 90061), ("90m", 5400)],
)  # fmt: skip
def test_a_duration_is_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "s", "-1", "+1", "1.5h", "1e3", "30m1h", "1h30", "1 h", "1H", "\u0661", "1w", "1m\n", "9" * 5000]
)  # fmt: skip
def test_what_is_no_duration_is_refused_with_what_is_expected(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a duration such as 120"):
        parse_duration(text)


@given(st.integers(0, 400), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_a_duration_is_the_sum_of_its_parts(days, hours, minutes, seconds):
    written = f"{days}d{hours}h{minutes}m{seconds}s"
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    assert parse_duration(written) == parse_duration(str(total)) == total
    assert parse_duration(re.sub(r"(?<!\d)0[dhms]", "", written) or "0") == total


@given(st.text() | st.text("0123456789dhms"))
def test_any_text_is_a_duration_or_refused(text):
    with contextlib.suppress(argparse.ArgumentTypeError):
        assert parse_duration(text) >= 0


@given(st.integers(0, SECONDS_LIMIT))
def test_every_duration_that_an_event_may_have_can_be_written(seconds):
    assert parse_duration(f"{seconds}s") == seconds


# The document


@pytest.mark.parametrize("kind", [*KINDS, "clear"])
def test_the_help_of_a_kind_is_as_shown(kind):
    environ = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "imdsd", "event", kind, "--help"]
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    blocks = re.findall(r"(?ms)^```text\n(.*?)^```$", DOCUMENT.read_text())
    assert done.stdout.split() in [block.split() for block in blocks]
