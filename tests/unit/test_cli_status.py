from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.cli._telling import duration, relative
from imdsd.cli.status import draw
from imdsd.client import DaemonStatus
from imdsd.errors import NoDaemonError
from tests.fakes.daemon import LAST_ERROR, role_entry, running_daemon, status_document
from tests.fakes.verb import run_verb
from tests.fakes.waiting_clock import NOW, FakeWaitingClock


@pytest.fixture
def daemon(tmp_path):
    with running_daemon(tmp_path / "run") as daemon:
        yield daemon


@pytest.fixture
def status(daemon, tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)

    def status(*words, clock=None):
        return run_verb("status", *words, environ=daemon.environ, home=tmp_path, clock=clock)

    return status


def test_the_table_says_which_role_until_when_and_from_where(status, capsys):
    assert status() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "imdsd 0.1.0  pid 4242 · started now · 127.0.0.1:9254"
    (row,) = [line for line in lines if line.strip().startswith("dev")]
    for fact in ("★", "ok", "in 60 min", "in 28 min", "3", "command", "arn:aws:iam::123456789012"):
        assert fact in row


def test_without_a_terminal_there_are_no_colours_and_an_arn_stays_whole(status, daemon, capsys):
    long = "arn:aws:iam::123456789012:role/path/" + "r" * 40
    daemon.says(role_entry(role_arn=long))
    status()
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert long in text


def test_a_narrow_terminal_has_the_arn_under_the_table():
    from rich.console import Console

    console = Console(width=80, record=True, file=io.StringIO())
    role = role_entry(aliases=["old"], failures=12)
    console.print(draw(DaemonStatus.parse(status_document(role)), now=NOW, wide=False))
    *_, row, _, below = console.export_text().splitlines()
    for fact in ("dev ★", "ok", "in 60 min", "in 28 min", "3 ok 12 failed", "command"):
        assert fact in row
    assert below == "dev  arn:aws:iam::123456789012:role/dev · eu-west-1 · also old"


def test_the_last_error_and_its_remedy_stand_below_the_table(status, daemon, capsys):
    daemon.says(role_entry(), role_entry("ops", state="denied", failures=7, last_error=LAST_ERROR))
    status()
    text = capsys.readouterr().out
    table, _, below = text.rpartition(" · eu-west-1")
    assert "3 ok 7 failed" in table
    assert "ops  mint failed now: the token command exited with 1 (MintFailed)" in below
    assert "remedy  run `ona login`" in below


def test_an_error_that_is_over_is_not_shown(status, daemon, capsys):
    daemon.says(role_entry(last_error=LAST_ERROR))
    status()
    assert "MintFailed" not in capsys.readouterr().out


def test_a_token_that_cannot_be_minted_again_is_no_next_refresh(status, daemon, capsys):
    daemon.says(role_entry(renewable=False, refresh_at=None))
    status()
    assert "never" in capsys.readouterr().out


def test_text_that_looks_like_markup_is_shown_as_it_is(status, daemon, capsys):
    error = {**LAST_ERROR, "reason": "[bold]odd[/nonsense]"}
    daemon.says(role_entry(state="denied", token_source="[red]x", last_error=error))
    assert status() == 0
    text = capsys.readouterr().out
    assert "[bold]odd[/nonsense]" in text
    assert "[red]x" in text


def test_a_demo_and_the_daemons_warnings_are_told(status, daemon, capsys):
    document = {**status_document(), "demo": True, "warnings": ["session under 1800 s"]}
    daemon.routes["GET", "/status"] = (200, document)
    status()
    text = capsys.readouterr().out
    assert "DEMO" in text
    assert "warning  session under 1800 s" in text


def test_json_is_the_document_as_it_is(status, daemon, capsys):
    document = {**status_document(), "later": [1]}
    daemon.routes["GET", "/status"] = (200, document)
    assert status("--json") == 0
    assert json.loads(capsys.readouterr().out) == document


def test_a_watch_draws_every_two_seconds_until_it_is_interrupted(status, daemon):
    clock = FakeWaitingClock()

    def interrupt():
        raise KeyboardInterrupt

    clock.after(6, interrupt)
    assert status("--watch", clock=clock) == 0
    assert daemon.requests == [("GET", "/status")] * 3


def test_a_watch_outlives_the_daemon(tmp_path, capsys):
    clock = FakeWaitingClock()

    def interrupt():
        raise KeyboardInterrupt

    clock.after(2, interrupt)
    environ = {"IMDSD_RUNTIME_DIR": str(tmp_path / "absent")}
    assert run_verb("status", "--watch", environ=environ, home=tmp_path, clock=clock) == 0
    assert "no daemon" in capsys.readouterr().out


def test_without_a_daemon_it_says_so(tmp_path):
    environ = {"IMDSD_RUNTIME_DIR": str(tmp_path / "absent")}
    with pytest.raises(NoDaemonError):
        run_verb("status", environ=environ, home=tmp_path)


def test_a_daemon_that_refuses_the_question_is_quoted(status, daemon):
    daemon.routes["GET", "/status"] = (403, {"message": "not you"})
    with pytest.raises(NoDaemonError, match="answers /status with 403: not you"):
        status()


def test_nothing_heavy_is_imported_before_a_verb_draws():
    verbs = "env, exec, wait, credential_process, status, refresh"
    script = (
        f"import sys; from imdsd.cli import {verbs}\n"
        "heavy = {'rich', 'aiohttp', 'botocore', 'http.client', 'msgspec', 'structlog'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "now"),
        (59, "in 59 s"),
        (119, "in 119 s"),
        (1620, "in 27 min"),
        (7199, "in 119 min"),
        (18720, "in 5 h 12 min"),
        (273600, "in 3 d 4 h"),
        (-90, "90 s ago"),
    ],
)
def test_instants_are_told_relative_to_now(seconds, text):
    assert relative(NOW + timedelta(seconds=seconds), now=NOW) == text


def test_no_instant_is_a_dash():
    assert relative(None, now=NOW) == "—"


@given(seconds=st.integers(0, 10**8))
def test_no_more_is_promised_than_is_left(seconds):
    factors = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    words = duration(seconds).split()
    told = sum(
        int(count) * factors[unit] for count, unit in zip(words[::2], words[1::2], strict=True)
    )
    assert told <= seconds < told + max(60, told // 24)
