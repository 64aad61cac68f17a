from __future__ import annotations

import json
import subprocess

import pytest

from imdsd.errors import NoDaemonError, UsageError
from tests.fakes.daemon import LAST_ERROR, role_entry, running_daemon
from tests.fakes.verb import run_verb
from tests.fakes.waiting_clock import FakeWaitingClock


@pytest.fixture
def daemon(tmp_path):
    with running_daemon(tmp_path / "run") as daemon:
        yield daemon


@pytest.fixture
def env(daemon, tmp_path):
    def env(*words, clock=None, **environ):
        environ = {**daemon.environ, **environ}
        return run_verb("env", *words, environ=environ, home=tmp_path, clock=clock)

    return env


def test_a_shell_that_evaluates_it_has_the_variables(env, daemon, capsys):
    assert env() == 0
    script = capsys.readouterr().out + "env"
    done = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    url = f"http://127.0.0.1:{daemon.address[1]}"
    assert f"AWS_CONTAINER_CREDENTIALS_FULL_URI={url}/v1/credentials" in lines
    assert f"AWS_CONTAINER_AUTHORIZATION_TOKEN={daemon.bearer.reveal()}" in lines
    assert f"AWS_EC2_METADATA_SERVICE_ENDPOINT={url}" in lines
    assert "AWS_REGION=eu-west-1" in lines


def test_json_is_for_programs(env, capsys, tmp_path):
    assert env("--format", "json") == 0
    variables = json.loads(capsys.readouterr().out)
    assert variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] == str(tmp_path / "run/bearer")


def test_a_demos_sts_is_named_and_a_role_without_region_has_the_daemons(tmp_path, capsys):
    demo = {"demo": True, "sts_endpoint_url": "http://127.0.0.1:5", "region": "us-gov-west-1"}
    with running_daemon(tmp_path / "run", **demo) as daemon:
        daemon.says(role_entry(region=""))
        run_verb("env", "--format", "json", environ=daemon.environ, home=tmp_path)
    variables = json.loads(capsys.readouterr().out)
    assert variables["AWS_ENDPOINT_URL_STS"] == "http://127.0.0.1:5"
    assert variables["AWS_REGION"] == "us-gov-west-1"


def test_the_sts_of_a_demo_that_is_over_is_warned_of(env, capsys):
    assert env(AWS_ENDPOINT_URL_STS="http://127.0.0.1:5") == 0
    assert "imdsd: warning: AWS_ENDPOINT_URL_STS sends calls of STS" in capsys.readouterr().err


def test_a_role_is_found_by_its_alias_and_written_by_its_name(env, daemon, capsys):
    daemon.says(role_entry(), role_entry("ops", aliases=["admin"]))
    assert env("--role", "admin", "--format", "json") == 0
    variables = json.loads(capsys.readouterr().out)
    assert variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"].endswith("/v1/credentials/ops")
    assert variables["AWS_EC2_METADATA_DISABLED"] == "true"


def test_an_unknown_role_names_the_nearest(env, daemon, capsys):
    daemon.says(role_entry(), role_entry("production"))
    with pytest.raises(UsageError, match="did you mean 'production'") as caught:
        env("--role", "prodution")
    assert "expected one of dev, production" in str(caught.value)
    assert capsys.readouterr().out == ""


def test_without_a_daemon_nothing_is_printed(tmp_path, capsys):
    environ = {"IMDSD_RUNTIME_DIR": str(tmp_path / "absent")}
    with pytest.raises(NoDaemonError):
        run_verb("env", environ=environ, home=tmp_path)
    assert capsys.readouterr().out == ""


def test_what_would_win_is_told_on_stderr_alone(env, capsys):
    assert env(AWS_PROFILE="corp") == 0
    said = capsys.readouterr()
    assert said.err.startswith("imdsd: warning: AWS_PROFILE ")
    assert "unset AWS_PROFILE" in said.err
    assert "AWS_PROFILE" not in said.out


def test_what_it_sets_itself_is_no_shadow(env, daemon, capsys):
    daemon.says(role_entry(), role_entry("ops"))
    assert env("--role", "ops", AWS_EC2_METADATA_DISABLED="true") == 0
    assert capsys.readouterr().err == ""


def test_a_role_that_is_starting_is_waited_for(env, daemon, capsys):
    daemon.says(role_entry(state="starting", served=False))
    clock = FakeWaitingClock()
    clock.after(4, lambda: daemon.says(role_entry()))
    assert env(clock=clock) == 0
    assert 4 <= clock.passed_seconds < 5
    assert capsys.readouterr().err == ""


def test_after_ten_seconds_it_prints_anyway_with_a_warning(env, daemon, capsys):
    daemon.says(role_entry(state="starting", served=False))
    clock = FakeWaitingClock()
    assert env(clock=clock) == 0
    assert clock.passed_seconds == pytest.approx(10)
    said = capsys.readouterr()
    assert "role 'dev' is starting and has no credentials to serve" in said.err
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" in said.out


def test_a_profile_may_choose_not_to_wait(env, daemon, capsys):
    daemon.says(role_entry(state="starting", served=False))
    clock = FakeWaitingClock()
    assert env("--timeout", "0", clock=clock) == 0
    assert clock.passed_seconds == 0


@pytest.mark.parametrize("state", ["denied", "starting"])
def test_a_role_whose_first_attempt_failed_keeps_no_shell_waiting(env, daemon, capsys, state):
    daemon.says(role_entry(state=state, served=False, last_error=LAST_ERROR))
    clock = FakeWaitingClock()
    assert env(clock=clock) == 0
    assert clock.passed_seconds == 0
    assert "the token command exited with 1; run `ona login`" in capsys.readouterr().err


def test_github_masks_on_stdout_and_sets_in_the_file(env, daemon, capsys, tmp_path):
    file = tmp_path / "github_env"
    file.write_text("EARLIER=1\n")
    assert env("--format", "github", GITHUB_ENV=str(file)) == 0
    assert capsys.readouterr().out == f"::add-mask::{daemon.bearer.reveal()}\n"
    lines = file.read_text().splitlines()
    assert lines[0] == "EARLIER=1"
    assert f"AWS_CONTAINER_AUTHORIZATION_TOKEN={daemon.bearer.reveal()}" in lines


def test_github_outside_of_a_step_masks_first_on_stdout(env, daemon, capsys):
    assert env("--format", "github") == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first == f"::add-mask::{daemon.bearer.reveal()}"
    assert "AWS_REGION=eu-west-1" in others
