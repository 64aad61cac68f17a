"""What `imdsd install` leaves behind, used: shells that open later, and profiles."""

from __future__ import annotations

import json
import os
import pty
import subprocess

import pytest

from tests.integration.daemon import running_daemon
from tests.support import BIN, measured_environ, need, scrubbed_environ

AS_ASKED_FOR = {
    "bash": ("bash", "-i", "-c"),
    "bash, login": ("bash", "-l", "-c"),
    "sh, login": ("dash", "-l", "-c"),
    "zsh": ("zsh", "-c"),
    "zsh, interactive login": ("zsh", "-i", "-l", "-c"),
    "fish": ("fish", "-c"),
}
TWO_ROLES = """
[[role]]
name = "dev"
default = true
arn = "arn:aws:iam::123456789012:role/dev"

[[role]]
name = "ops"
arn = "arn:aws:iam::123456789012:role/ops"
region = "eu-west-3"
"""
# As in a container; the service manager of whoever runs the tests is left alone.
WITHOUT_SYSTEMD = (
    "unshare", "--mount", "sh", "-c",
    'if [ -d /run/systemd ]; then mount -t tmpfs none /run/systemd; fi; exec "$@"', "sh",
)  # fmt: skip
PROFILES = """
import boto3, json
session = boto3.Session(profile_name="ops")
print(json.dumps([session.region_name, session.client("sts").get_caller_identity()["Arn"]]))
"""


@pytest.fixture(scope="module")
def home(demo, tmp_path_factory):
    """The home of somebody who has every shell, and whose files have lines already."""
    home = tmp_path_factory.mktemp("home")
    for name in (".bashrc", ".profile", ".zshenv"):
        (home / name).write_text("MINE=1\nexport MINE")
    environ = measured_environ(home)
    demo.room.run(BIN / "imdsd", "install", "--shell", "bash,zsh,fish", environ=environ)
    return home


def variables_in(demo, home, shell, **more):
    """What a shell that starts as named has in its environment, and what it says meanwhile."""
    program, *words = AS_ASKED_FOR[shell]
    # Of its own session: an interactive shell would take the terminal.
    command = (need("setsid"), "--wait", need(program), *words, "env -0")
    done = demo.room.run(*command, environ=scrubbed_environ(home, **more))
    pairs = (line.partition("=") for line in done.stdout.split("\0"))
    return {name: value for name, _, value in pairs}, done.stderr


def complaints(said):
    """What a shell says beside that there is no terminal for its job control."""
    return [line for line in said.splitlines() if "job control" not in line and "ioctl" not in line]


@pytest.mark.parametrize("shell", AS_ASKED_FOR)
def test_a_shell_that_opens_later_has_the_variables(demo, home, shell):
    runtime = demo.environ["IMDSD_RUNTIME_DIR"]
    found, said = variables_in(demo, home, shell, IMDSD_RUNTIME_DIR=runtime)
    assert demo.variables.items() <= found.items()
    assert complaints(said) == []


@pytest.mark.parametrize("shell", [each for each in AS_ASKED_FOR if "fish" not in each])
def test_what_stood_in_the_files_still_counts(demo, home, shell):
    found, _ = variables_in(demo, home, shell)
    assert found["MINE"] == "1"


@pytest.mark.parametrize("shell", AS_ASKED_FOR)
def test_without_a_daemon_a_shell_has_none_and_says_nothing(demo, home, shell, tmp_path):
    found, said = variables_in(demo, home, shell, IMDSD_RUNTIME_DIR=str(tmp_path / "none"))
    assert not [name for name in found if name.startswith("AWS_")]
    assert complaints(said) == []


@pytest.mark.parametrize("shell", AS_ASKED_FOR)
def test_a_role_that_was_chosen_stays_chosen(demo, home, shell):
    runtime = demo.environ["IMDSD_RUNTIME_DIR"]
    chosen = {
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "of another role",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9444/v1/credentials/ops",
    }
    found, _ = variables_in(demo, home, shell, IMDSD_RUNTIME_DIR=runtime, **chosen)
    assert chosen.items() <= found.items()


def test_boto3_is_served_by_the_profile_of_a_further_role(house, tmp_path):
    (home := tmp_path / "home").mkdir()
    config = home / ".config/imdsd/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(TWO_ROLES)
    aws_config = home / ".aws/config"
    aws_config.parent.mkdir()
    aws_config.write_bytes(b"[default]\r\nregion = us-west-2\r\n[profile mine]\r\nregion = x")
    before = aws_config.read_bytes()
    words = ("demo", "--listen", "127.0.0.1:9446", "--config", str(config))
    (work := tmp_path / "daemon").mkdir()
    with running_daemon(house, work, *words) as daemon:
        environ = measured_environ(
            home,
            IMDSD_RUNTIME_DIR=daemon.environ["IMDSD_RUNTIME_DIR"],
            AWS_ENDPOINT_URL_STS=daemon.variables["AWS_ENDPOINT_URL_STS"],
        )
        house.run(BIN / "imdsd", "install", "--profiles", environ=environ)
        done = house.run(BIN / "python", "-c", PROFILES, environ=environ)
        region, arn = json.loads(done.stdout)
        assert region == "eu-west-3"
        assert ":assumed-role/ops/" in arn
        house.run(BIN / "imdsd", "uninstall", "--profiles", environ=environ)
    assert aws_config.read_bytes() == before


def test_a_user_without_systemd_is_served_and_keeps_nothing(demo, tmp_path):
    """The whole round trip by the command itself, in a home of its own."""
    (tmp_path / ".bashrc").write_bytes(b"# mine, without an end")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*")}
    environ = measured_environ(tmp_path, IMDSD_RUNTIME_DIR=demo.environ["IMDSD_RUNTIME_DIR"])
    arn = "arn:aws:iam::123456789012:role/dev"
    imdsd = (*WITHOUT_SYSTEMD, BIN / "imdsd")
    install = (*imdsd, "install", "--user", "--shell", "bash", "--role-arn", arn)
    demo.room.run(*install, environ=environ)
    checked = demo.room.run(BIN / "imdsd", "check-config", environ=environ)
    assert str(tmp_path / ".config/imdsd/config.toml") in checked.stdout
    served = demo.room.run(
        "bash", "-l", "-c", f"{BIN}/aws sts get-caller-identity", environ=environ
    )
    assert "assumed-role" in served.stdout
    assert demo.room.run(*install, environ=environ).stdout == "nothing to do\n"
    demo.room.run(*imdsd, "uninstall", "--user", environ=environ)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert sorted(tmp_path.rglob("*")) == sorted(before)


def test_the_snippet_is_what_a_shell_can_parse(tmp_path):
    environ = scrubbed_environ(tmp_path)
    words = (BIN / "imdsd", "install", "--shell", "bash,zsh,fish")
    subprocess.run(words, env=environ, check=True, capture_output=True)
    for program, name in (("dash", ".profile"), ("bash", ".bashrc"), ("zsh", ".zshenv"), ("fish", ".config/fish/conf.d/imdsd.fish")):  # fmt: skip
        subprocess.run((need(program), "-n", tmp_path / name), check=True)


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 1), ("", 1)])
def test_a_person_at_a_terminal_is_asked(tmp_path, answer, status):
    foreign = tmp_path / ".config/fish/conf.d/imdsd.fish"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("# theirs\n")
    person, terminal = pty.openpty()
    with (
        os.fdopen(person, "r+b", buffering=0) as typed,
        os.fdopen(terminal, "r+b", buffering=0) as shown,
    ):
        typed.write(answer.encode() + b"\n")
        done = subprocess.run(
            (BIN / "imdsd", "install", "--shell", "fish"),
            env=measured_environ(tmp_path),
            stdin=shown,
            stderr=shown,
            stdout=subprocess.PIPE,
            check=False,
        )
        said = typed.read(4096).decode()
    assert done.returncode == status
    assert f"{foreign} stands there already and is not of imdsd. Go on all the same? [y/N]" in said
    assert (foreign.read_text() == "# theirs\n") is (status != 0)


def test_off_a_terminal_nobody_is_asked(tmp_path):
    foreign = tmp_path / ".config/fish/conf.d/imdsd.fish"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("# theirs\n")
    words = (BIN / "imdsd", "install", "--shell", "fish")
    done = subprocess.run(
        words,
        env=measured_environ(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "--yes goes on all the same. Nothing was done." in done.stderr
    assert foreign.read_text() == "# theirs\n"
