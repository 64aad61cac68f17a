from __future__ import annotations

import pytest

from imdsd.cli import main
from imdsd.errors import NoCredentialsError, NoDaemonError, UsageError
from tests.fakes.daemon import LAST_ERROR, FakeDaemon, error_document, role_entry, running_daemon
from tests.fakes.verb import run_verb
from tests.fakes.waiting_clock import FakeWaitingClock


@pytest.fixture
def daemon(tmp_path):
    with running_daemon(tmp_path / "run") as daemon:
        yield daemon


def wait(daemon, tmp_path, *words, clock=None):
    return run_verb("wait", *words, environ=daemon.environ, home=tmp_path, clock=clock)


def test_a_role_that_is_served_needs_no_waiting(daemon, tmp_path, capsys):
    clock = FakeWaitingClock()
    assert wait(daemon, tmp_path, clock=clock) == 0
    assert clock.passed_seconds == 0
    assert capsys.readouterr() == ("", "")


def test_it_returns_when_the_role_can_be_served(daemon, tmp_path):
    daemon.says(role_entry(), role_entry("ops", state="expired", served=False))
    clock = FakeWaitingClock()
    clock.after(30, lambda: daemon.says(role_entry(), role_entry("ops")))
    assert wait(daemon, tmp_path, "--role", "ops", clock=clock) == 0
    assert 30 <= clock.passed_seconds < 31


def test_a_degraded_role_can_still_be_served(daemon, tmp_path):
    daemon.says(role_entry(state="degraded", last_error=LAST_ERROR))
    assert wait(daemon, tmp_path) == 0


def test_the_time_over_it_tells_state_and_last_error(daemon, tmp_path):
    daemon.says(role_entry(state="denied", served=False, last_error=LAST_ERROR))
    clock = FakeWaitingClock()
    with pytest.raises(NoCredentialsError) as caught:
        wait(daemon, tmp_path, "--timeout", "7.5", clock=clock)
    assert clock.passed_seconds == pytest.approx(7.5)
    assert str(caught.value) == (
        "after 7.5 s role 'dev' is denied and has no credentials to serve:"
        " mint: the token command exited with 1; run `ona login`"
    )


PUT_OFF = role_entry(state="starting", served=False, refresh_at="2031-01-01T00:00:00Z")


def test_a_first_attempt_that_is_put_off_is_made_now_since_somebody_waits(daemon, tmp_path):
    daemon.says(PUT_OFF)

    def made():
        daemon.says(role_entry())
        return 503, error_document("CredentialsUninitialized", "not yet")

    daemon.routes["GET", "/v1/credentials/dev"] = made
    clock = FakeWaitingClock()
    assert wait(daemon, tmp_path, clock=clock) == 0
    assert clock.passed_seconds == 0
    assert daemon.requests.count(("GET", "/v1/credentials/dev")) == 1


@pytest.mark.parametrize(
    "role",
    [
        {**PUT_OFF, "refresh_at": "2000-01-01T00:00:00Z"},
        {**PUT_OFF, "refresh_at": None},
        {**PUT_OFF, "last_error": LAST_ERROR},
        {**PUT_OFF, "state": "expired"},
    ],
    ids=["under way", "never", "tried", "had some"],
)
def test_no_other_attempt_is_brought_forward(daemon, tmp_path, role):
    daemon.says(role)
    with pytest.raises(NoCredentialsError):
        wait(daemon, tmp_path, "--timeout", "3")
    assert set(daemon.requests) == {("GET", "/status")}


def test_an_attempt_that_was_brought_forward_in_vain_is_not_brought_forward_again(daemon, tmp_path):
    daemon.says(PUT_OFF)
    with pytest.raises(NoCredentialsError, match="after 3 s"):
        wait(daemon, tmp_path, "--timeout", "3")
    assert daemon.requests.count(("GET", "/v1/credentials/dev")) == 1


def test_a_daemon_that_starts_meanwhile_counts_against_the_same_time(tmp_path):
    daemon = FakeDaemon(tmp_path / "run").says(role_entry(state="starting", served=False))
    clock = FakeWaitingClock()
    clock.after(15, lambda: daemon.listen().announce())
    try:
        with pytest.raises(NoCredentialsError):
            wait(daemon, tmp_path, "--timeout", "20", clock=clock)
    finally:
        daemon.close()
    assert clock.passed_seconds == pytest.approx(20)


def test_a_daemon_that_appears_at_the_last_moment_is_found(tmp_path):
    environ = {"IMDSD_RUNTIME_DIR": str(tmp_path / "run")}
    started, clock = [], FakeWaitingClock()
    clock.after(55, lambda: started.append(FakeDaemon(tmp_path / "run").listen().announce()))
    try:
        assert run_verb("wait", environ=environ, home=tmp_path, clock=clock) == 0
    finally:
        started[0].close()
    assert 55 <= clock.passed_seconds < 56


def test_without_a_daemon_the_whole_time_is_waited_and_that_none_came_is_said(tmp_path):
    environ = {"IMDSD_RUNTIME_DIR": str(tmp_path / "absent")}
    clock = FakeWaitingClock()
    with pytest.raises(NoDaemonError, match="none appeared within 20 s"):
        run_verb("wait", "--timeout", "20", environ=environ, home=tmp_path, clock=clock)
    assert clock.passed_seconds == pytest.approx(20)


def test_a_daemon_that_does_not_answer_yet_is_asked_again(daemon, tmp_path):
    daemon.routes["GET", "/status"] = (503, {"message": "busy"})
    clock = FakeWaitingClock()
    clock.after(10, lambda: daemon.says(role_entry()))
    assert wait(daemon, tmp_path, clock=clock) == 0
    assert 10 <= clock.passed_seconds < 11


def test_a_daemon_that_never_answers_is_told_of_when_the_time_is_over(daemon, tmp_path):
    daemon.routes["GET", "/status"] = (503, {"message": "busy"})
    clock = FakeWaitingClock()
    with pytest.raises(NoDaemonError, match="/status with 503: busy"):
        wait(daemon, tmp_path, "--timeout", "20", clock=clock)
    assert clock.passed_seconds == pytest.approx(20)


@pytest.mark.parametrize("timeout", ["-1", "nan", "soon", ""])
def test_a_time_that_is_none_is_a_usage_error(timeout, capsys):
    assert main(["wait", f"--timeout={timeout}"]) == 2
    assert "expected a number of seconds, 0 or more" in capsys.readouterr().err


def test_an_unknown_role_is_not_waited_for(daemon, tmp_path):
    with pytest.raises(UsageError, match="no role 'ops', expected one of dev"):
        wait(daemon, tmp_path, "--role", "ops")
