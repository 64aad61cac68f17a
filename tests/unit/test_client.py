from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from imdsd.client import find_daemon
from imdsd.client.finding import judge_other_end, reachable_address
from imdsd.client.http import request
from imdsd.client.status import DaemonStatus
from imdsd.client.waiting import Deadline
from imdsd.errors import NoDaemonError, UsageError
from imdsd.host.peer import PeerLookup
from imdsd.secret import Secret
from tests.fakes.daemon import LAST_ERROR, FakeDaemon, role_entry, running_daemon, status_document
from tests.fakes.waiting_clock import FakeWaitingClock

UID = os.geteuid()


@pytest.fixture
def clock():
    return FakeWaitingClock()


@pytest.fixture
def daemon(tmp_path):
    with running_daemon(tmp_path / "run") as daemon:
        yield daemon


@pytest.fixture
def quiet_daemon(tmp_path):
    """A daemon that holds its lock and does nothing else yet."""
    daemon = FakeDaemon(tmp_path / "run")
    yield daemon
    daemon.close()


def look(environ, clock, **changes):
    return find_daemon(environ, **{"uid": UID, "clock": clock, **changes})


def test_the_running_daemon_is_found_and_asked(daemon, clock):
    found = look(daemon.environ, clock)
    reply = found.get("/status")
    assert reply.status == 200
    assert reply.document["version"] == "0.1.0"
    assert found.base_url == f"http://127.0.0.1:{daemon.address[1]}"
    assert found.bearer_file.read_text() == found.bearer.reveal()


def test_the_bearer_is_sent(daemon, clock):
    assert look(daemon.environ, clock).get("/v1/credentials").status == 200


def test_errors_are_replies_with_a_code_and_a_message(daemon, clock):
    reply = look(daemon.environ, clock).post("/refresh/nobody")
    assert (reply.status, reply.code, reply.message) == (404, "NotFound", "no such")


def test_an_ipv6_listener_is_asked_too(tmp_path, clock):
    daemon = FakeDaemon(tmp_path / "run")
    try:
        daemon.listen("::1").announce()
        found = look(daemon.environ, clock)
        assert found.base_url.startswith("http://[::1]:")
        assert found.get("/status").status == 200
    finally:
        daemon.close()


def test_a_record_whose_listener_is_not_open_is_no_daemon_to_ask(quiet_daemon, clock):
    quiet_daemon.announce(listeners=("127.0.0.1:1",))
    with pytest.raises(NoDaemonError, match="whose listener is not open"):
        look(quiet_daemon.environ, clock)


def test_without_a_daemon_every_place_is_named_at_once(tmp_path, clock):
    environ = {"TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "session")}
    with pytest.raises(NoDaemonError) as caught:
        look(environ, clock, root=tmp_path)
    assert clock.passed_seconds == 0
    for place in ("session/imdsd", f"imdsd-{UID}", "run/imdsd"):
        assert f"{tmp_path}/{place}: no daemon" in str(caught.value)
    assert "imdsd serve" in str(caught.value)


def test_a_daemon_that_is_about_to_appear_has_three_seconds(tmp_path, clock):
    environ = {"IMDSD_RUNTIME_DIR": str(tmp_path / "run")}
    with pytest.raises(NoDaemonError):
        look(environ, clock, wait_seconds=10)
    assert clock.passed_seconds == pytest.approx(3)


def test_a_daemon_that_appears_within_the_grace_is_found(tmp_path, clock):
    started = []
    clock.after(2, lambda: started.append(FakeDaemon(tmp_path / "run").listen().announce()))
    try:
        environ = {"IMDSD_RUNTIME_DIR": str(tmp_path / "run")}
        assert look(environ, clock, wait_seconds=10).get("/status").status == 200
    finally:
        started[0].close()


def test_a_daemon_that_holds_its_lock_is_waited_for_longer(quiet_daemon, clock):
    clock.after(8, lambda: quiet_daemon.listen().announce())
    assert look(quiet_daemon.environ, clock, wait_seconds=10).record.pid == os.getpid()
    assert 8 <= clock.passed_seconds < 9


def test_a_daemon_that_never_listens_is_given_up_at_the_deadline(quiet_daemon, clock):
    with pytest.raises(NoDaemonError, match="is starting and does not listen yet"):
        look(quiet_daemon.environ, clock, wait_seconds=10)
    assert clock.passed_seconds == pytest.approx(10)


def test_nobody_is_waited_for_unless_asked(quiet_daemon, clock):
    with pytest.raises(NoDaemonError):
        look(quiet_daemon.environ, clock)
    assert clock.passed_seconds == 0


def test_several_daemons_are_named_with_the_way_to_choose(tmp_path, clock):
    (tmp_path / "run").mkdir()
    environ = {"TMPDIR": str(tmp_path)}
    with (
        running_daemon(tmp_path / "run/imdsd") as first,
        running_daemon(tmp_path / f"imdsd-{UID}") as second,
        pytest.raises(UsageError) as caught,
    ):
        look(environ, clock, root=tmp_path)
    assert str(first.runtime.path) in str(caught.value)
    assert str(second.runtime.path) in str(caught.value)
    assert "IMDSD_RUNTIME_DIR" in str(caught.value)


def test_a_daemon_in_the_fixed_place_is_found_without_a_variable(tmp_path, clock):
    (tmp_path / "var/tmp").mkdir(parents=True)
    with running_daemon(tmp_path / "var/tmp/imdsd") as daemon:
        found = look({}, clock, root=tmp_path)
        assert found.bearer_file == daemon.runtime.path / "bearer"
        assert found.get("/v1/credentials").status == 200


@contextmanager
def planted(root, kind):
    """What another user put in the fixed place before any daemon of ours: at best, a daemon."""
    place = root / "var/tmp/imdsd"
    place.parent.mkdir(parents=True)
    place.parent.chmod(0o1777)
    with running_daemon(root / "theirs" if kind == "link" else place) as theirs:
        for path in (theirs.runtime.path, *theirs.runtime.path.iterdir()):
            os.chown(path, 12345, -1)
        if kind == "readable":
            theirs.runtime.path.chmod(0o755)
            for path in theirs.runtime.path.iterdir():
                path.chmod(0o644)
        if kind == "link":
            place.symlink_to(theirs.runtime.path)
            os.chown(place, 12345, -1, follow_symlinks=False)
        yield theirs


@pytest.mark.skipif(UID != 0, reason="needs a second user")
@pytest.mark.parametrize("kind", ["private", "readable", "link"])
def test_a_daemon_that_another_user_planted_in_the_fixed_place_is_not_believed(
    tmp_path, clock, kind
):
    with planted(tmp_path, kind) as theirs:
        with pytest.raises(NoDaemonError) as caught:
            look({}, clock, root=tmp_path)
        assert theirs.requests == []
    text = str(caught.value)
    why = "not a directory" if kind == "link" else "belongs to uid 12345"
    assert f"{tmp_path}/var/tmp/imdsd: {why}" in text
    assert text.startswith("no daemon is running (")
    assert text.endswith("start one with `imdsd serve` or `imdsd demo`")


@pytest.mark.skipif(UID != 0, reason="needs a second user")
@pytest.mark.parametrize("kind", ["private", "readable", "link"])
def test_what_is_planted_in_the_fixed_place_hides_no_daemon_elsewhere(tmp_path, clock, kind):
    (tmp_path / "run").mkdir()
    with planted(tmp_path, kind) as theirs, running_daemon(tmp_path / "run/imdsd") as ours:
        assert look({}, clock, root=tmp_path).bearer == ours.bearer
        assert theirs.requests == []


@pytest.mark.skipif(UID != 0, reason="needs a second user")
def test_a_planted_directory_that_may_not_be_entered_is_told_as_anothers():
    # Not pytest's own folder, which other users may not enter.
    with tempfile.TemporaryDirectory(prefix="imdsd-planted-") as root:
        place = Path(root, "var/tmp/imdsd")
        place.mkdir(parents=True)
        Path(root).chmod(0o755)
        place.chmod(0o700)
        os.chown(place, 12345, -1)
        told = subprocess.run(
            [sys.executable, "-c", ASK_AS_OTHER, root], capture_output=True, text=True, check=True
        )
    assert f"{place}: belongs to uid 12345" in told.stdout
    assert "usermod" not in told.stdout


# A user who may not look into what stands there.
ASK_AS_OTHER = """
import os, sys
from pathlib import Path
from imdsd.client import find_daemon
from imdsd.clock import SystemClock
from imdsd.errors import NoDaemonError
os.setgroups([]); os.setuid(12346)
try:
    find_daemon({}, uid=12346, clock=SystemClock(), root=Path(sys.argv[1]))
except NoDaemonError as error:
    print(error)
"""


AS_STRANGER = (
    "import os, socket, sys\n"
    "os.setgroups([]); os.setuid(12345)\n"
    "held = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
    "print(held.getsockname()[1], flush=True)\n"
    "held.settimeout(0)\n"
    "sys.stdin.read()\n"
    "try: held.accept(); print('called')\n"
    "except BlockingIOError: print('left alone')"
)


TAKES_ONE = (
    "import os, socket, sys\n"
    "os.setgroups([]); os.setuid(12345)\n"
    "held = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
    "print(held.getsockname()[1], flush=True)\n"
    "if not sys.stdin.readline(): sys.exit()\n"
    "taken, _ = held.accept(); held.close(); print('taken', flush=True)\n"
    "sys.stdin.read(); print(taken.recv(9).decode())\n"
)


class Squatter:
    """Another user's listener; `accept` has it take one caller and stop listening."""

    def __init__(self, port=0):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [sys.executable, "-c", TAKES_ONE, str(port)]
        self._process = subprocess.Popen(command, **pipes)
        self.port = int(self._process.stdout.readline())

    def accept(self):
        self._process.stdin.write("accept\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "taken\n"

    def heard(self):
        """Take the caller who came, and return the beginning of what was sent."""
        self.accept()
        return self._process.communicate()[0].strip()

    def close(self):
        self._process.communicate()


class Stranger:
    """Another user's listener; tells whether anybody called."""

    def __init__(self, port=0):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [sys.executable, "-c", AS_STRANGER, str(port)]
        self._process = subprocess.Popen(command, **pipes)
        self.port = int(self._process.stdout.readline())

    def says(self):
        said, _ = self._process.communicate()
        return said.strip()


@pytest.mark.skipif(UID != 0, reason="needs a second user")
def test_another_users_listener_is_refused_without_a_word(quiet_daemon, clock):
    stranger = Stranger()
    quiet_daemon.announce(listeners=(f"127.0.0.1:{stranger.port}",))
    with pytest.raises(NoDaemonError, match="is held by uid 12345"):
        look(quiet_daemon.environ, clock, wait_seconds=10)
    assert stranger.says() == "left alone"
    assert clock.passed_seconds == 0


@pytest.mark.skipif(UID != 0, reason="needs a second user")
def test_a_port_that_changed_hands_since_is_refused_without_a_word(tmp_path, clock):
    with running_daemon(tmp_path / "run") as daemon:
        found = look(daemon.environ, clock)
        port = daemon.address[1]
    stranger = Stranger(port)
    with pytest.raises(NoDaemonError, match="is held by uid 12345"):
        found.get("/v1/credentials")
    assert stranger.says() == "left alone"


@pytest.mark.skipif(UID != 0, reason="needs a second user")
@pytest.mark.parametrize("accepts", [True, False], ids=["accepted", "not accepted yet"])
def test_a_port_that_changes_hands_before_the_connect_gets_no_bearer(accepts):
    squatter = Squatter()
    with (
        socket.create_connection(("127.0.0.1", squatter.port)) as connection,
        PeerLookup() as lookup,
    ):
        if accepts:
            squatter.accept()
        with pytest.raises(NoDaemonError, match="is held by uid 12345"):
            judge_other_end(lookup, connection, uid=UID)
    squatter.close()


class TurningClock(FakeWaitingClock):
    """Does something the second time it is asked from now on."""

    def turn(self, action):
        self._actions = [lambda: None, action]

    def monotonic(self):
        if getattr(self, "_actions", ()):
            self._actions.pop(0)()
        return super().monotonic()


@pytest.mark.skipif(UID != 0, reason="needs a second user")
def test_a_port_that_changes_hands_between_the_look_and_the_connect_gets_no_bearer(tmp_path):
    clock, came = TurningClock(), []
    daemon = FakeDaemon(tmp_path / "run").listen().announce()
    found = look(daemon.environ, clock)
    port = daemon.address[1]

    def change_hands():
        daemon.close()
        came.append(Squatter(port))

    # The first question sets the deadline; the second comes between the look and the connect.
    clock.turn(change_hands)
    with pytest.raises(NoDaemonError, match="is held by uid 12345"):
        found.get("/v1/credentials")
    assert came[0].heard() == ""


@pytest.mark.parametrize("accepts", [True, False], ids=["accepted", "not accepted yet"])
def test_the_other_end_of_our_own_daemon_is_not_refused(accepts):
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as connection,
        PeerLookup() as lookup,
    ):
        accepted = listener.accept()[0] if accepts else None
        judge_other_end(lookup, connection, uid=UID)
        if accepted:
            accepted.close()


def test_nothing_is_sent_where_the_connection_is_refused_after_the_connect(clock):
    def refuse(_connection):
        raise NoDaemonError("a stranger")

    deadline = Deadline.after(5, clock=clock)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with pytest.raises(NoDaemonError, match="a stranger"):
            request(address, "GET", "/", bearer=Secret("b"), deadline=deadline, judge=refuse)
        with listener.accept()[0] as accepted:
            assert accepted.recv(1) == b""


def test_a_daemon_that_went_away_is_said_to_be_gone(tmp_path, clock):
    with running_daemon(tmp_path / "run") as daemon:
        found = look(daemon.environ, clock)
    with pytest.raises(NoDaemonError, match="Connection refused"):
        found.get("/status")


def test_a_bearer_that_was_opened_to_others_is_not_used(daemon, clock):
    (daemon.runtime.path / "bearer").chmod(0o620)
    with pytest.raises(NoDaemonError, match="mode 0620"):
        look(daemon.environ, clock)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"half": '])
def test_an_answer_that_is_not_ours_is_refused(daemon, clock, body):
    daemon.routes["GET", "/status"] = (200, body)
    with pytest.raises(NoDaemonError, match="no answer from the daemon"):
        look(daemon.environ, clock).get("/status")


def test_an_answer_without_end_is_refused(daemon, clock):
    daemon.routes["GET", "/status"] = (200, b"x" * 2_000_000)
    with pytest.raises(NoDaemonError, match="over 1048576 bytes"):
        look(daemon.environ, clock).get("/status")


@pytest.mark.parametrize(
    ("listeners", "address"),
    [
        (("[::1]:1", "169.254.170.2:80", "127.0.0.1:9254"), ("127.0.0.1", 9254)),
        (("0.0.0.0:9254",), ("127.0.0.1", 9254)),
        (("[::]:9254",), ("::1", 9254)),
        (("192.0.2.1:5", "[::1]:6"), ("::1", 6)),
        (("127.0.0.2:7", "0.0.0.0:8"), ("127.0.0.2", 7)),
    ],
)
def test_the_listener_that_most_sdks_reach_is_chosen(listeners, address):
    assert reachable_address(listeners) == address


@pytest.mark.parametrize("listeners", [(), ("127.0.0.1",), ("127.0.0.1:http",)])
def test_listeners_nobody_can_reach_are_refused(listeners):
    with pytest.raises(NoDaemonError):
        reachable_address(listeners)


def test_a_status_reads_into_values():
    roles = (role_entry(last_error=LAST_ERROR, aliases=["old"], state="degraded"),)
    status = DaemonStatus.parse(status_document(*roles))
    assert status.roles[0].aliases == ("old",)
    assert status.roles[0].expires_at.hour == 1
    assert status.roles[0].refreshed is None
    assert str(status.roles[0].last_error) == (
        "mint: the token command exited with 1; run `ona login`"
    )


def test_a_role_that_never_had_credentials_reads_too():
    nothing = {"expires_at": None, "refresh_at": None, "account_id": None}
    status = DaemonStatus.parse(status_document(role_entry(**nothing)))
    assert status.roles[0].expires_at is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"state": 5}, "state is 5, expected str"),
        ({"expires_at": "soon"}, "expires_at is 'soon', expected an instant"),
        ({"refreshes": "3"}, "refreshes is '3', expected int"),
        ({"last_error": "x"}, "last_error is 'x', expected Mapping"),
    ],
)
def test_a_status_of_the_wrong_kind_names_the_key(changes, named):
    with pytest.raises(NoDaemonError, match=named):
        DaemonStatus.parse(status_document(role_entry(**changes)))


def test_roles_that_are_no_objects_are_refused():
    with pytest.raises(NoDaemonError, match="expected an object"):
        DaemonStatus.parse({**status_document(), "roles": ["dev"]})


def test_a_deadline_is_never_polled_beyond(clock):
    deadline = Deadline.after(0.25, clock=clock)
    for _ in range(3):
        deadline.poll(0.1)
    assert deadline.passed
    assert clock.passed_seconds == pytest.approx(0.25)
