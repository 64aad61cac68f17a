from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from imdsd.errors import UsageError
from tests.fakes.daemon import running_daemon
from tests.fakes.verb import parse, run_verb

# What the entry point does, without its table of verbs.
PROGRAM = (
    "import argparse, sys; from imdsd.cli import exec as verb\n"
    "parser = argparse.ArgumentParser(); verb.configure(parser)\n"
    "sys.exit(verb.run(parser.parse_args()))"
)


@pytest.fixture
def daemon(tmp_path):
    with running_daemon(tmp_path / "run") as daemon:
        yield daemon


@pytest.fixture
def imdsd_exec(daemon, tmp_path):
    def imdsd_exec(*words, **environ):
        command = [sys.executable, "-c", PROGRAM, *map(str, words)]
        environ = {**os.environ, **daemon.environ, "HOME": str(tmp_path), **environ}
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    return imdsd_exec


def test_the_command_has_the_variables_and_not_the_shadows(imdsd_exec, daemon):
    shadows = {"AWS_PROFILE": "corp", "AWS_ACCESS_KEY_ID": "AKIA", "KEPT": "yes"}
    done = imdsd_exec("--", "env", **shadows)
    lines = done.stdout.splitlines()
    assert f"AWS_CONTAINER_AUTHORIZATION_TOKEN={daemon.bearer.reveal()}" in lines
    assert "KEPT=yes" in lines
    assert not [line for line in lines if line.startswith(("AWS_PROFILE", "AWS_ACCESS_KEY_ID"))]
    assert done.stderr == ""


def test_the_sts_of_a_demo_that_is_over_is_left_out_and_another_one_kept(imdsd_exec):
    name = "AWS_ENDPOINT_URL_STS"
    assert name not in imdsd_exec("--", "env", **{name: "http://127.0.0.1:5"}).stdout
    own = "https://sts.example"
    assert f"{name}={own}\n" in imdsd_exec("--", "env", **{name: own}).stdout


def test_the_sts_of_the_demo_that_was_found_comes_before_an_older_ones(tmp_path):
    (tmp_path / "home").mkdir()
    with running_daemon(tmp_path / "run", demo=True, sts_endpoint_url="http://127.0.0.1:6") as demo:
        command = [sys.executable, "-c", PROGRAM, "--", "env"]
        environ = {**demo.environ, "HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"]}
        environ["AWS_ENDPOINT_URL_STS"] = "http://127.0.0.1:5"
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert "AWS_ENDPOINT_URL_STS=http://127.0.0.1:6\n" in done.stdout


def test_it_becomes_the_command(imdsd_exec):
    done = imdsd_exec("--", "sh", "-c", "echo $PPID; exit 42")
    assert done.returncode == 42
    assert int(done.stdout) == os.getpid()


def test_a_signal_is_the_commands_own(imdsd_exec):
    assert imdsd_exec("--", "sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM


def test_the_command_dies_of_a_closed_pipe_as_it_should(imdsd_exec):
    # Python ignores SIGPIPE; were that handed on, this would end in an error message.
    done = imdsd_exec("--", "sh", "-c", "kill -PIPE $$; echo survived")
    assert done.returncode == -signal.SIGPIPE
    assert done.stdout == ""


def test_options_of_the_command_are_its_own(imdsd_exec):
    assert imdsd_exec("--", "echo", "--role", "-x", "--").stdout == "--role -x --\n"
    assert imdsd_exec("echo", "--role").stdout == "--role\n"


def test_a_command_that_is_not_there_ends_with_127(imdsd_exec):
    done = imdsd_exec("--", "no-such-command")
    assert done.returncode == 127
    assert done.stderr == "imdsd: exec: no-such-command: command not found\n"


def test_a_command_that_cannot_be_run_ends_with_126(imdsd_exec, tmp_path):
    (tmp_path / "data").write_text("no program")
    done = imdsd_exec("--", tmp_path / "data")
    assert done.returncode == 126
    assert "Permission denied" in done.stderr


def test_a_profile_with_credentials_is_warned_of(imdsd_exec, tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text("[default]\nrole_arn = arn\n")
    done = imdsd_exec("--", "true")
    assert done.returncode == 0
    assert "imdsd: warning: [default] of" in done.stderr


@pytest.mark.parametrize("words", [[], ["--"], ["--role", "dev"], ["--role", "dev", "--"]])
def test_no_command_is_a_usage_error(daemon, tmp_path, words):
    with pytest.raises(UsageError, match="exec needs a command"):
        run_verb("exec", *words, environ=daemon.environ, home=tmp_path)


def test_the_role_is_an_option_before_the_command():
    _, arguments = parse("exec", "--role", "ops", "--", "aws", "--debug")
    assert arguments.role == "ops"
    assert arguments.command[-2:] == ["aws", "--debug"]
