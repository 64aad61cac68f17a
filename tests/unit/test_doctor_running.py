from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile

import pytest

from imdsd import __version__
from imdsd.doctor.finding import Level, Surroundings
from imdsd.doctor.machine.running import meet
from imdsd.host.runtime_directory import RuntimeDirectory
from tests.fakes.daemon import LAST_ERROR, FakeDaemon, role_entry, running_daemon, status_document
from tests.fakes.examined import codes, only
from tests.fakes.waiting_clock import FakeWaitingClock

HERE = [("127.0.0.1", 1)]


def around(tmp_path, **environ):
    return Surroundings(
        environ, os.geteuid(), tmp_path, FakeWaitingClock(), root=tmp_path / "no-such-root"
    )


@pytest.fixture
def daemon(tmp_path):
    with running_daemon(tmp_path / "run") as daemon:
        daemon.routes["GET", "/status"] = (200, {**status_document(), "version": __version__})
        yield daemon


def met(tmp_path, daemon):
    return meet(around(tmp_path, **daemon.environ), listen=HERE)


def test_a_daemon_is_told_with_its_user_version_and_listeners(tmp_path, daemon):
    encounter = met(tmp_path, daemon)
    assert codes(encounter.findings) == ["daemon.running", "daemon.role-ok"]
    assert encounter.addresses == {daemon.address}
    assert encounter.findings[0].facts["version"] == __version__
    assert "until 2030-01-01T01:00:00Z" in encounter.findings[1].found
    assert {path for _, path in daemon.requests} == {"/status"}, "nothing is refreshed"


def test_a_daemon_of_another_version_is_named(tmp_path, daemon):
    daemon.routes["GET", "/status"] = (200, {**status_document(), "version": "0.0.1"})
    found = only(met(tmp_path, daemon).findings, "daemon.other-version")
    assert "0.0.1" in found.found
    assert "start the daemon again" in found.remedy


def test_what_the_daemon_warns_of_is_passed_on(tmp_path, daemon):
    document = {**status_document(), "warnings": ["reload refused: listen"]}
    daemon.routes["GET", "/status"] = (200, document)
    found = only(met(tmp_path, daemon).findings, "daemon.warned")
    assert found.found == "reload refused: listen"
    assert "SIGHUP" in found.remedy


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("degraded", "daemon.role-degraded"),
        ("denied", "daemon.role-denied"),
        ("expired", "daemon.role-expired"),
    ],
)
def test_a_role_that_fails_is_told_with_the_last_error_and_its_remedy(
    tmp_path, daemon, state, code
):
    daemon.says(role_entry(state=state, last_error=LAST_ERROR))
    found = only(met(tmp_path, daemon).findings, code)
    assert LAST_ERROR["reason"] in found.found
    assert found.remedy == LAST_ERROR["remedy"]


def test_a_role_that_starts_is_a_warning(tmp_path, daemon):
    daemon.says(role_entry(state="starting", expires_at=None))
    assert "ask again" in only(met(tmp_path, daemon).findings, "daemon.role-starting").remedy


def test_a_role_that_never_was_served_for_an_error_is_a_failure(tmp_path, daemon):
    daemon.says(role_entry(state="starting", expires_at=None, last_error=LAST_ERROR))
    found = only(met(tmp_path, daemon).findings, "daemon.role-failing")
    assert found.level is Level.FAILURE
    assert found.remedy == LAST_ERROR["remedy"]


def test_without_a_daemon_it_says_how_to_start_one(tmp_path):
    (found,) = meet(around(tmp_path), listen=HERE).findings
    assert found.code == "daemon.none"
    assert "imdsd serve" in found.remedy
    assert "systemctl start imdsd" in found.remedy


def test_a_port_that_somebody_else_has_is_told_with_whose_it_is(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        (found,) = meet(around(tmp_path), listen=[squatter.getsockname()]).findings
    assert found.code == "daemon.port-taken"
    assert found.facts["user"] in found.found
    assert f"sport = :{squatter_port(found)}" in found.remedy
    assert "systemctl status imdsd" in found.remedy, "a socket unit listens without a daemon"
    assert "set IMDSD_RUNTIME_DIR" in found.remedy


def squatter_port(found):
    return found.facts["port"]


def test_several_daemons_are_told_with_the_variable_that_chooses(tmp_path):
    # As two logins leave them: one by its own variable, one where root's daemons are.
    with running_daemon(tmp_path / "one") as one, running_daemon(tmp_path / "imdsd") as other:
        told = {
            "RUNTIME_DIRECTORY": one.environ["IMDSD_RUNTIME_DIR"],
            "XDG_RUNTIME_DIR": str(tmp_path),
        }
        (found,) = meet(around(tmp_path, **told), listen=HERE).findings
        assert found.code == "daemon.several"
        assert "IMDSD_RUNTIME_DIR" in found.remedy
        assert other.environ["IMDSD_RUNTIME_DIR"] in found.found


def test_a_daemon_that_does_not_listen_yet_is_starting(tmp_path):
    environ = {"IMDSD_RUNTIME_DIR": str(tmp_path / "run")}
    with RuntimeDirectory.acquire(environ, uid=os.geteuid()):
        (found,) = meet(around(tmp_path, **environ), listen=HERE).findings
    assert found.code == "daemon.starting"
    assert "few seconds" in found.remedy


def test_a_daemon_whose_listener_is_gone_does_not_answer(tmp_path):
    daemon = FakeDaemon(tmp_path / "run")
    daemon.bearer  # noqa: B018  # it writes the file
    daemon.announce()
    try:
        (found,) = meet(around(tmp_path, **daemon.environ), listen=HERE).findings
    finally:
        daemon.close()
    assert found.code == "daemon.unreachable"
    assert "see its log" in found.remedy


def test_a_daemon_that_answers_nonsense_does_not_answer(tmp_path, daemon):
    daemon.routes["GET", "/status"] = (500, {"Message": "broken"})
    (found,) = met(tmp_path, daemon).findings
    assert found.code == "daemon.unreachable"
    assert "500" in found.found


AS_STRANGER = (
    "import os, socket, sys\n"
    "os.setgroups([]); os.setuid(12345)\n"
    "held = socket.create_server(('127.0.0.1', 0))\n"
    "print(held.getsockname()[1], flush=True)\n"
    "sys.stdin.read()\n"
)
AS_ONE_WHO_MAY_NOT = (
    "import json, os, pathlib, sys\n"
    "from imdsd.clock import SystemClock\n"
    "from imdsd.doctor.finding import Surroundings\n"
    "from imdsd.doctor.machine.running import meet\n"
    "os.setgroups([]); os.setuid(12345)\n"
    "around = Surroundings({'IMDSD_RUNTIME_DIR': sys.argv[1]}, 12345, pathlib.Path('/'),"
    " SystemClock())\n"
    "(found,) = meet(around, listen=[]).findings\n"
    "print(json.dumps([found.code, found.remedy]))\n"
)
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_another_user_at_the_daemon_s_port_is_told(tmp_path, daemon):
    with subprocess.Popen([sys.executable, "-c", AS_STRANGER], **PIPES) as stranger:
        port = int(stranger.stdout.readline())
        daemon.announce(listeners=(f"127.0.0.1:{port}",))
        (found,) = met(tmp_path, daemon).findings
        stranger.communicate()
    assert found.code == "daemon.stranger"
    assert "12345" in found.found
    assert f"sport = :{port}" in found.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_a_directory_that_may_not_be_read_is_told_with_the_group():
    with tempfile.TemporaryDirectory() as place, running_daemon(f"{place}/run") as daemon:
        os.chmod(place, 0o755)  # noqa: PTH101
        where = daemon.environ["IMDSD_RUNTIME_DIR"]
        done = subprocess.run(
            [sys.executable, "-c", AS_ONE_WHO_MAY_NOT, where],
            capture_output=True,
            text=True,
            check=True,
        )
    code, remedy = json.loads(done.stdout)
    assert code == "daemon.forbidden"
    assert "usermod -aG imdsd uid 12345" in remedy
