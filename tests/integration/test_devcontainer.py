"""An Ona environment without Ona: no systemd, no root, and shells that never saw the service.

What `imdsd install --ona` wrote into a repository is all that the service and the shells are told.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.integration.daemon import ASSUMED_ROLE, BOTO3, ROLE
from tests.support import BIN, Room, need
from tests.system.machine import as_user, eventually, need_root

DEVELOPER = 51234
REGION = "eu-central-1"
# Each container has its own /var/tmp; this one is private to the processes that are given it.
IN_CONTAINER = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /var/tmp && exec "$@"')
# What it is asked for is as much part of the promise as that it is asked.
ONA = """#!/bin/sh
test "$*" = "idp token --audience sts.amazonaws.com" || exit 64
echo "$$" >> "{mints}"
curl -fsS "{issuer}/token?audience=$4" | sed 's/.*"value": "\\([^"]*\\)".*/\\1/'
"""
# An open shell's child that outlives the service: it asks again when a file is there.
STAYS = """
import boto3, pathlib, sys, time
for name in sys.argv[1:]:
    while not pathlib.Path(name).exists():
        time.sleep(0.05)
    print(boto3.Session().get_credentials().access_key, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a repository: one user, a home, and what its files say."""

    room: Room
    place: Path
    plumbing: dict[str, str]

    @property
    def repository(self) -> Path:
        return self.place / "repository"

    @property
    def commands(self) -> dict[str, str]:
        text = (self.repository / ".ona/automations.yaml").read_text()
        return yaml.safe_load(text)["services"]["aws-credentials"]["commands"]

    @property
    def service_environ(self) -> dict[str, str]:
        """As little as a service may have: no variable of a shell, and no directory of a user's."""
        path = os.pathsep.join((str(self.place / "bin"), os.defpath))
        home = str(self.place / "home")
        return {"PATH": path, "HOME": home, "GITPOD_ENVIRONMENT_ID": "0191b6c5", **self.plumbing}

    @property
    def shell_environ(self) -> dict[str, str]:
        """What a terminal of an editor has, opened long after: `containerEnv`, and its own."""
        text = (self.repository / ".devcontainer/devcontainer.json").read_text()
        return {
            **json.loads(text)["containerEnv"],
            **self.plumbing,
            "PATH": os.pathsep.join((str(BIN), os.defpath)),
            "HOME": str(self.place / "home"),
            "TMPDIR": str(self.place / "elsewhere"),
            "XDG_RUNTIME_DIR": str(self.place / "session"),
        }

    def as_developer(self, *command: str | Path) -> list[str]:
        words = as_user(DEVELOPER, [str(each) for each in command])
        return [*IN_CONTAINER, str(self.place / "var-tmp"), *words]

    @contextmanager
    def service(self, name="log"):
        """Start the service as Ona does, and enter when its ready command has succeeded."""
        log, environ = self.place / name, self.service_environ
        start = self.as_developer("sh", "-c", self.commands["start"])
        with self.room.running(*start, environ=environ, stdout=log, stderr=log) as process:
            ready = self.as_developer("sh", "-c", self.commands["ready"])
            done = self.room.try_run(*ready, environ=environ)
            assert done.returncode == 0, done.stderr + log.read_text()
            yield process

    def run(self, *command, environ=None, check=True):
        environ = self.shell_environ if environ is None else environ
        done = self.room.try_run(*self.as_developer(*command), environ=environ)
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    @property
    def log(self) -> str:
        return (self.place / "log").read_text()


@pytest.fixture
def container(demo):
    need_root()
    need("sed")
    issuer = re.search(r"issuer +(http://\S+)", demo.guide)[1]
    sts_url = demo.variables["AWS_ENDPOINT_URL_STS"]
    # Not pytest's own folder, which other users may not enter.
    with tempfile.TemporaryDirectory(prefix="imdsd-container-") as made:
        place = Path(made)
        place.chmod(0o755)
        container = Container(demo.room, place, {"AWS_ENDPOINT_URL_STS": sts_url})
        mints = place / "home/mints"
        for name in ("bin", "home/.local/bin", "home/.config/imdsd", "elsewhere", "session"):
            (place / name).mkdir(parents=True)
        (place / "home/.local/bin/imdsd").symlink_to(BIN / "imdsd")
        (place / "home/.config/imdsd/config.toml").write_text(
            f'[[role]]\nsts_endpoint_url = "{sts_url}"\n'
        )
        for path in (place / "home", *(place / "home").rglob("*")):
            os.chown(path, DEVELOPER, DEVELOPER, follow_symlinks=False)
        (place / "var-tmp").mkdir()
        (place / "var-tmp").chmod(0o1777)
        program = place / "bin/ona"
        program.write_text(ONA.format(issuer=issuer, mints=mints))
        program.chmod(0o755)
        install_in(container)
        yield container


def install_in(container):
    """Have the repository's administrator run the one command."""
    repository = container.repository
    (repository / ".git").mkdir(parents=True)
    words = ("--role-arn", ROLE, "--region", REGION, "--package", "imdsd")
    subprocess.run(
        (BIN / "imdsd", "install", "--ona", *words),
        cwd=repository,
        env={"PATH": os.defpath, "HOME": str(container.place)},
        check=True,
        timeout=60,
    )


def arn_by(container, *command, environ=None):
    return json.loads(container.run(*command, environ=environ).stdout)["Arn"]


AWS = (BIN / "aws", "sts", "get-caller-identity", "--output", "json")
PYTHON = (sys.executable, "-c", BOTO3)


def test_a_shell_that_opens_later_is_served_by_the_service(container):
    with container.service():
        for client in (AWS, PYTHON):
            assert arn_by(container, *client).startswith(ASSUMED_ROLE)
        assert f"uid {DEVELOPER}" not in container.log
        status = json.loads(container.run(BIN / "imdsd", "status", "--json").stdout)
        assert status["roles"][0]["state"] == "ok"
    assert (container.place / "home/mints").exists()


def test_the_doctor_finds_nothing_amiss_in_such_a_shell(container):
    path = os.pathsep.join((str(container.place / "bin"), container.shell_environ["PATH"]))
    environ = {**container.shell_environ, "GITPOD_ENVIRONMENT_ID": "0191b6c5", "PATH": path}
    words = 'cd "$0" && exec imdsd doctor --role-arn "$1" --json'
    with container.service():
        done = container.run("sh", "-c", words, container.repository, ROLE, environ=environ)
    findings = json.loads(done.stdout)["findings"]
    amiss = {each["code"] for each in findings if each["level"] in ("warning", "failure")}
    # The STS of this test, which is on loopback.
    assert amiss == {"sdks.sts-on-loopback"}
    assert "editors.ignored" in {each["code"] for each in findings}


def test_a_shell_of_another_user_is_not_served_by_the_metadata_service(container):
    """The control: it is the user that lets the others in."""
    with container.service():
        environ = dict(container.shell_environ)
        del environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        assert arn_by(container, *PYTHON, environ=environ).startswith(ASSUMED_ROLE)
        other = [
            *IN_CONTAINER,
            str(container.place / "var-tmp"),
            *as_user(DEVELOPER + 1, [str(each) for each in PYTHON]),
        ]
        done = container.room.try_run(*other, environ=environ)
        assert done.returncode != 0
        assert "Unable to locate credentials" in done.stderr


@pytest.mark.parametrize("number", ["TERM", "KILL"])
def test_open_shells_keep_working_after_a_resume(container, number):
    first, again = container.place / "first", container.place / "again"
    stays = container.as_developer(sys.executable, "-c", STAYS, first, again)
    with container.room.running(*stays, environ=container.shell_environ) as open_shell:
        with container.service() as process:
            first.touch()
            before = open_shell.stdout.readline()
            printed = container.run("sh", "-c", 'eval "$(imdsd env)" && env -0').stdout
            with_bearer = dict(line.split("=", 1) for line in printed.split("\0") if line)
            container.run("kill", f"-{number}", process.pid)
            assert process.wait(timeout=30) == (0 if number == "TERM" else -9)
        with container.service():
            again.touch()
            after = open_shell.stdout.readline()
            assert open_shell.wait(timeout=60) == 0
            # The bearer is the one that was there before.
            for environ in (container.shell_environ, with_bearer):
                assert arn_by(container, *AWS, environ=environ).startswith(ASSUMED_ROLE)
    assert before.startswith("ASIA")
    assert after.startswith("ASIA")
    assert before != after


async def test_a_service_that_is_started_twice_fails_neither_time_and_takes_over(container):
    log = container.place / "log-of-second"
    with container.service() as first, container.service(log.name) as second:
        await eventually(lambda: "daemon_standing_by" in log.read_text(), what="it stands by")
        assert second.poll() is None
        first.terminate()
        assert first.wait(timeout=30) == 0
        await eventually(lambda: "daemon_serving" in log.read_text(), what="it serves")
        container.run(BIN / "imdsd", "wait")
        assert arn_by(container, *AWS).startswith(ASSUMED_ROLE)
        second.terminate()
        assert second.wait(timeout=30) == 0


@pytest.mark.parametrize("lacks", [("AWS_CONTAINER",), ("AWS_CONTAINER", "AWS_EC2", "IMDSD_")])
def test_a_login_shell_with_the_lines_of_install_is_served_with_the_bearers_value(container, lacks):
    """For tools that read the bearer's value only, and for shells of ssh, which lack every one."""
    container.run(BIN / "imdsd", "install", "--shell", "bash")
    bare = {
        name: value for name, value in container.shell_environ.items() if not name.startswith(lacks)
    }
    words = f'echo "$AWS_CONTAINER_AUTHORIZATION_TOKEN"; {" ".join(map(str, AWS))}'
    with container.service():
        printed = container.run("bash", "-l", "-c", words, environ=bare).stdout
    bearer, _, document = printed.partition("\n")
    assert bearer == (container.place / "var-tmp/imdsd/bearer").read_text()
    assert json.loads(document)["Arn"].startswith(ASSUMED_ROLE)


def test_a_command_that_fails_is_a_service_that_is_not_ready(container):
    (container.place / "bin/ona").write_text("#!/bin/sh\necho no such principal >&2; exit 1\n")
    start = container.as_developer("sh", "-c", container.commands["start"])
    log, environ = container.place / "log", container.service_environ
    with container.room.running(*start, environ=environ, stdout=log, stderr=log):
        ready = container.commands["ready"].replace("--timeout 10", "--timeout 3")
        done = container.room.try_run(*container.as_developer("sh", "-c", ready), environ=environ)
        assert done.returncode == 4
        assert "no such principal" in done.stderr


def test_where_imdsd_is_not_installed_the_service_says_so(container):
    (container.place / "home/.local/bin/imdsd").unlink()
    start = container.as_developer("sh", "-c", container.commands["start"])
    done = container.room.try_run(*start, environ=container.service_environ)
    assert done.returncode == 127
    assert "imdsd: not found" in done.stderr
