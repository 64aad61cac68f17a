"""`imdsd serve`: its flags, and what keeps it from serving."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from imdsd.cli import parser_for
from imdsd.config.options import OPTIONS
from tests.fakes.daemon import running_daemon
from tests.support import measured_environ

ARN = "arn:aws:iam::123456789012:role/dev"


def serve(*words, home, **variables):
    environ = measured_environ(home, IMDSD_RUNTIME_DIR=str(home / "run"), **variables)
    return subprocess.run(
        [sys.executable, "-m", "imdsd", "serve", *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_option_has_a_flag_and_its_help_names_the_variable():
    page = parser_for("serve").format_help()
    for option in OPTIONS:
        assert option.flag in page
        assert option.variable in page


def test_flags_that_are_not_given_say_nothing():
    assert set(vars(parser_for("serve").parse_args([])).values()) == {None}


def test_listen_may_be_given_again_and_again():
    words = ["--listen", "127.0.0.1:1", "--listen", "[::1]:2"]
    assert parser_for("serve").parse_args(words).listen == ["127.0.0.1:1", "[::1]:2"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--no-such-flag"], 2, "--no-such-flag"),
        (["extra"], 2, "extra"),
        ([], 78, "--role-arn"),
        (["--role-arn", "dev"], 78, "--role-arn"),
        (["--role-arn", ARN, "--duration-seconds", "899"], 78, "--duration-seconds"),
        (["--role-arn", ARN, "--listen", "somewhere"], 78, "--listen"),
        (["--role-arn", ARN, "--config", "/no/such/file"], 78, "/no/such/file"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_claimed(tmp_path, words, code, said):
    done = serve(*words, home=tmp_path)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "run").exists()


def test_a_second_daemon_names_the_first_and_how_to_have_two(tmp_path):
    with running_daemon(tmp_path / "run") as daemon:
        done = serve("--role-arn", ARN, home=tmp_path)
        pid = daemon.record().pid
    assert done.returncode == 1
    assert f"pid {pid}" in done.stderr
    assert str(tmp_path / "run") in done.stderr
    assert "IMDSD_RUNTIME_DIR" in done.stderr


def test_one_that_stands_by_does_not_fail_beside_another_and_ends_in_order(tmp_path):
    words = (sys.executable, "-m", "imdsd", "serve", "--standby", "--role-arn", ARN)
    environ = measured_environ(tmp_path, IMDSD_RUNTIME_DIR=str(tmp_path / "run"))
    with running_daemon(tmp_path / "run") as daemon:
        with subprocess.Popen(words, env=environ, stderr=subprocess.PIPE, text=True) as beside:
            event = json.loads(beside.stderr.readline())
            beside.terminate()
            assert beside.wait(timeout=60) == 0
        pid = daemon.record().pid
    assert event["event"] == "daemon_standing_by"
    assert f"pid {pid}" in event["reason"]


def test_an_address_that_is_not_here_ends_it_with_one_line_and_the_remedy(tmp_path):
    config = tmp_path / "imdsd.toml"
    config.write_text('listen = [{ address = "192.0.2.1:9254", imds = "off" }]\n')
    words = ["--config", str(config), "--role-arn", ARN, "--token-file", "/no/such/token"]
    done = serve(*words, "--log-level", "error", home=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "192.0.2.1:9254 is not an address of this machine" in line
    assert not (tmp_path / "run/daemon.json").exists()


def test_a_user_that_does_not_exist_is_a_fault_of_the_configuration(tmp_path):
    config = tmp_path / "imdsd.toml"
    config.write_text(f'allow_users = ["no-such-user"]\n[[role]]\nname = "dev"\narn = "{ARN}"\n')
    done = serve("--config", str(config), "--listen", "127.0.0.1:0", home=tmp_path)
    assert done.returncode == 78
    assert "allow_users: found 'no-such-user'" in done.stderr
