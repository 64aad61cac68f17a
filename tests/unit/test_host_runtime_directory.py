from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from imdsd.errors import AlreadyRunningError, RuntimeDirectoryError
from imdsd.host.runtime_directory import (
    MINT_GAP_SECONDS,
    RuntimeDirectory,
    candidates,
    find_daemons,
    search_path,
)
from tests.support import lack, need

UID = os.geteuid()
NAMELESS = 54321
ROOT = Path(__file__).parents[2]
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def place(tmp_path):
    return {"IMDSD_RUNTIME_DIR": str(tmp_path / "run")}


def acquire(environ, **changes):
    return RuntimeDirectory.acquire(environ, **{"uid": UID, **changes})


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_chosen_directory_is_the_only_candidate():
    environ = {"IMDSD_RUNTIME_DIR": "/chosen", "XDG_RUNTIME_DIR": "/run/user/7"}
    assert candidates(environ, uid=0) == (Path("/chosen"),)
    assert search_path(environ, uid=0) == (Path("/chosen"),)


def test_candidates_go_from_the_unit_over_the_session_to_the_temporary_one():
    environ = {"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/run/user/7"}
    assert candidates(environ, uid=7) == (
        Path("/run/a"),
        Path("/run/user/7/imdsd"),
        Path("/tmp/imdsd-7"),
    )


def test_root_has_a_directory_of_the_system():
    assert candidates({"TMPDIR": "/var/tmp"}, uid=0) == (
        Path("/run/imdsd"),
        Path("/var/tmp/imdsd-0"),
    )


def test_clients_look_where_a_daemon_with_other_variables_would_be():
    assert search_path({"TMPDIR": "/scratch"}, uid=NAMELESS) == (
        Path(f"/scratch/imdsd-{NAMELESS}"),
        Path(f"/run/user/{NAMELESS}/imdsd"),
        Path("/run/imdsd"),
        Path(f"/tmp/imdsd-{NAMELESS}"),
        Path("/var/tmp/imdsd"),
    )


def test_a_client_looks_where_a_unit_for_its_user_serves_from():
    assert Path("/run/imdsd-user/root") in search_path({}, uid=0)


def test_an_acquired_directory_is_private(place):
    with acquire(place) as runtime:
        assert mode(runtime.path) == 0o700
        assert mode(runtime.path / "daemon.lock") == 0o600


def test_a_directory_in_use_is_locked_against_the_cleaning_of_old_files(place):
    with acquire(place) as runtime:
        descriptor = os.open(runtime.path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.close(descriptor)


def test_a_second_daemon_is_told_the_first_ones_pid_and_the_way_out(place):
    with acquire(place) as first, pytest.raises(AlreadyRunningError) as caught:
        acquire(place)
    assert f"pid {os.getpid()}" in str(caught.value)
    assert str(first.path) in str(caught.value)
    assert "IMDSD_RUNTIME_DIR" in str(caught.value)


def test_a_directory_that_is_left_can_be_acquired_again(place):
    acquire(place).close()
    acquire(place).close()


def test_the_lock_is_not_inherited_by_commands(place):
    runtime = acquire(place)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        runtime.close()
        try:
            acquire(place).close()
        finally:
            child.kill()


def test_the_lock_of_a_killed_daemon_is_free_and_its_record_is_gone(place, tmp_path):
    script = (
        "import os, signal; from imdsd.host.runtime_directory import RuntimeDirectory\n"
        "runtime = RuntimeDirectory.acquire(os.environ, uid=os.geteuid())\n"
        "(runtime.path / 'daemon.json').write_text('{}')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], env={**os.environ, **place}, check=False)
    assert (tmp_path / "run/daemon.json").exists()
    assert find_daemons(place, uid=UID) == ()
    with acquire(place) as runtime:
        assert not (runtime.path / "daemon.json").exists()


def test_the_first_usable_candidate_is_taken(tmp_path):
    environ = {
        "RUNTIME_DIRECTORY": str(tmp_path / "absent/deep"),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    with acquire(environ, root=tmp_path) as runtime:
        assert runtime.path == tmp_path / "imdsd"


def test_every_unusable_candidate_is_named_with_its_reason(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "open").mkdir()
    (tmp_path / "open/imdsd").mkdir()
    (tmp_path / "open/imdsd").chmod(0o770)
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    (tmp_path / f"imdsd-{UID}").symlink_to(target)
    environ = {
        "RUNTIME_DIRECTORY": str(tmp_path / "file"),
        "XDG_RUNTIME_DIR": str(tmp_path / "open"),
        "TMPDIR": str(tmp_path),
    }
    with pytest.raises(RuntimeDirectoryError) as caught:
        acquire(environ, root=tmp_path / "absent")
    text = str(caught.value)
    assert f"{tmp_path}/file is not a directory" in text
    assert f"{tmp_path}/open/imdsd has mode 0770, writable by others" in text
    assert f"{tmp_path}/imdsd-{UID} is not a directory (symbolic links are refused)" in text
    assert "set IMDSD_RUNTIME_DIR" in text


@pytest.mark.skipif(UID != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(place, tmp_path):
    (tmp_path / "run").mkdir(mode=0o700)
    os.chown(tmp_path / "run", 12345, -1)
    with pytest.raises(RuntimeDirectoryError, match="belongs to uid 12345, expected 0"):
        acquire(place)


@pytest.mark.skipif(UID != 0, reason="needs a second user")
@pytest.mark.parametrize("planted", ["directory", "link to their directory", "link to ours"])
def test_what_another_user_planted_in_a_folder_of_everybodys_is_never_claimed(tmp_path, planted):
    shared, target = tmp_path / "tmp", tmp_path / "target"
    for folder in (shared, target):
        folder.mkdir()
    shared.chmod(0o1777)
    place = shared / "imdsd"
    if planted == "directory":
        place.mkdir(mode=0o700)
    else:
        place.symlink_to(target)
    os.chown(place, 12345, -1, follow_symlinks=False)
    if planted == "link to their directory":
        os.chown(target, 12345, -1)
    expected = "belongs to uid 12345" if planted == "directory" else "is not a directory"
    with pytest.raises(RuntimeDirectoryError, match=f"imdsd {expected}") as caught:
        acquire({"IMDSD_RUNTIME_DIR": str(place)})
    assert "set IMDSD_RUNTIME_DIR to a directory that only you can write to" in str(caught.value)
    assert not list(place.iterdir())


def test_the_bearer_is_one_private_line_without_a_newline(place):
    with acquire(place) as runtime:
        bearer = runtime.bearer()
        file = runtime.path / "bearer"
        assert file.read_text() == bearer.reveal()
        assert mode(file) == 0o600
    assert len(bearer.reveal()) >= 32
    assert "\n" not in bearer.reveal()


def test_the_bearer_survives_a_restart(place):
    with acquire(place) as runtime:
        first = runtime.bearer()
    with acquire(place) as runtime:
        assert runtime.bearer() == first


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 43 + b"\n", b"\xff" * 43, b"y" * 9999])
def test_a_bearer_that_is_not_sound_is_replaced(place, content):
    with acquire(place) as runtime:
        file = runtime.path / "bearer"
        file.write_bytes(content)
        file.chmod(0o600)
        bearer = runtime.bearer().reveal()
        assert bearer.encode() != content
        assert file.read_text() == bearer


@pytest.mark.parametrize("open_mode", [0o604, 0o660, 0o606])
def test_a_bearer_that_others_could_reach_is_replaced(place, open_mode):
    with acquire(place) as runtime:
        first = runtime.bearer()
        (runtime.path / "bearer").chmod(open_mode)
        assert runtime.bearer() != first
        assert mode(runtime.path / "bearer") == 0o600


def test_a_bearer_is_not_read_through_a_symbolic_link(place, tmp_path):
    (tmp_path / "theirs").write_text("t" * 43)
    with acquire(place) as runtime:
        (runtime.path / "bearer").symlink_to(tmp_path / "theirs")
        assert runtime.bearer().reveal() != "t" * 43
        assert not (runtime.path / "bearer").is_symlink()
    assert (tmp_path / "theirs").read_text() == "t" * 43


def test_a_fifo_in_place_of_the_bearer_does_not_block(place):
    with acquire(place) as runtime:
        os.mkfifo(runtime.path / "bearer", 0o600)
        assert runtime.bearer()


@pytest.mark.skipif(UID != 0, reason="only root can choose any group")
def test_a_bearer_group_may_read_all_that_clients_need(place):
    with acquire(place) as runtime:
        first = runtime.bearer(group=4321)
        assert runtime.path.stat().st_gid == 4321
        assert mode(runtime.path) == 0o750
        for name in ("bearer", "daemon.lock"):
            assert (runtime.path / name).stat().st_gid == 4321
            assert mode(runtime.path / name) == 0o640
        assert runtime.bearer(group=4321) == first


@pytest.mark.skipif(UID != 0, reason="only root can choose any group")
@pytest.mark.parametrize("now", [None, 4322])
def test_a_group_that_may_read_the_bearer_no_longer_has_read_an_old_one(place, now):
    with acquire(place) as runtime:
        old = runtime.bearer(group=4321)
    with acquire(place) as runtime, capture_logs() as logs:
        new = runtime.bearer(group=now)
        again = runtime.bearer(group=now)
    assert new == again != old
    expected = (0o600, 0o700) if now is None else (0o640, 0o750)
    assert (mode(runtime.path / "bearer"), mode(runtime.path)) == expected
    assert mode(runtime.path / "daemon.lock") == expected[0]
    (told,) = logs
    assert (told["event"], told["log_level"]) == ("bearer_replaced", "info")
    assert "group 4321" in told["reason"]


ON_A_FULL_DISK = """
import os, subprocess, sys
from tests.fakes.daemon import FakeDaemon
from imdsd.errors import RuntimeDirectoryError
place, known = sys.argv[1], sys.argv[2] == "restart"
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
if known:
    daemon = FakeDaemon(place + "/run")
    daemon.close()
else:
    os.mkdir(place + "/run", 0o700)
    open(place + "/run/daemon.lock", "w").write("1234567")
with open(place + "/filler", "wb", buffering=0) as filler:
    while True:
        try: filler.write(bytes(4096))
        except OSError: break
try:
    FakeDaemon(place + "/run").announce()
except RuntimeDirectoryError as error:
    print(error)
"""


@pytest.mark.parametrize(("start", "file"), [("first", "bearer"), ("restart", "daemon.json")])
def test_a_full_disk_is_told_with_the_file_and_what_to_do(tmp_path, start, file):
    mapped = () if UID == 0 else ("--map-root-user",)
    command = [need("unshare"), "--mount", *mapped, sys.executable, "-c", ON_A_FULL_DISK]
    done = subprocess.run(
        [*command, tmp_path, start], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        lack(f"mount namespaces: {done.stderr.strip()}")
    assert done.stderr == ""
    assert done.stdout == (
        f"{tmp_path}/run/{file} cannot be written: No space left on device; "
        "free space or inodes there, or set IMDSD_RUNTIME_DIR to a directory elsewhere\n"
    )


def test_the_first_mint_of_a_fresh_directory_need_not_wait(place):
    with acquire(place) as runtime:
        assert runtime.seconds_until_mint(NOW) == 0


def killed(place, work):
    """Do something with the directory, and leave it as a killed daemon does."""
    runtime = acquire(place)
    try:
        return work(runtime)
    finally:
        runtime.close()


def test_first_mints_after_a_kill_are_five_seconds_apart(place):
    killed(place, lambda runtime: runtime.stamp_mint(NOW))
    with acquire(place) as runtime:
        assert runtime.seconds_until_mint(NOW + timedelta(seconds=2)) == 3
        assert runtime.seconds_until_mint(NOW + timedelta(seconds=5)) == 0


def test_a_daemon_that_was_stopped_in_order_makes_the_next_one_wait_for_nothing(place):
    with acquire(place) as runtime:
        runtime.stamp_mint(NOW)
    with acquire(place) as runtime:
        assert runtime.seconds_until_mint(NOW) == 0


def test_a_daemon_that_crashes_makes_the_next_one_wait(place):
    def crash():
        with acquire(place) as runtime:
            runtime.stamp_mint(NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        crash()
    with acquire(place) as runtime:
        assert runtime.seconds_until_mint(NOW) == 5


def test_twenty_kills_a_minute_make_at_most_thirteen_first_mints(place):
    def lives_three_seconds(runtime):
        wait = runtime.seconds_until_mint(now)
        if wait < 3:
            runtime.stamp_mint(now + timedelta(seconds=wait))
        return wait < 3

    mints = 0
    for start in range(0, 60, 3):
        now = NOW + timedelta(seconds=start)
        mints += killed(place, lives_three_seconds)
    assert 1 < mints <= 13


@given(passed=st.floats(-1e9, 1e9))
def test_no_clock_makes_the_first_mint_wait_longer_than_the_gap(tmp_path_factory, passed):
    directory = tmp_path_factory.mktemp("run")
    with acquire({"IMDSD_RUNTIME_DIR": str(directory)}) as runtime:
        runtime.stamp_mint(NOW)
        wait = runtime.seconds_until_mint(NOW + timedelta(seconds=passed))
    assert 0 <= wait <= MINT_GAP_SECONDS


@pytest.mark.parametrize("content", [b"", b"nonsense", b"2030-01-01T00:00:00", b"\xff"])
def test_a_stamp_that_is_not_sound_does_not_delay(place, content):
    with acquire(place) as runtime:
        (runtime.path / "last-mint").write_bytes(content)
        (runtime.path / "last-mint").chmod(0o600)
        assert runtime.seconds_until_mint(NOW) == 0


def test_leaving_keeps_the_bearer_and_takes_the_record_away(place):
    with acquire(place) as runtime:
        runtime.bearer()
        (runtime.path / "daemon.json").write_text("{}")
    assert {path.name for path in runtime.path.iterdir()} == {"bearer", "daemon.lock"}
