from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from imdsd.errors import RuntimeDirectoryError
from imdsd.host.daemon_record import DaemonRecord, FoundDaemon, inspect
from imdsd.host.runtime_directory import RuntimeDirectory, find_daemons, survey

UID = os.geteuid()
RECORD = DaemonRecord(
    pid=42,
    uid=UID,
    listeners=("127.0.0.1:9254", "[::1]:9254"),
    version="0.1.0",
    demo=True,
    region="eu-west-1",
    sts_endpoint_url="http://127.0.0.1:9999",
    started_at="2030-01-01T00:00:00Z",
)


@pytest.fixture
def runtime(tmp_path):
    environ = {"IMDSD_RUNTIME_DIR": str(tmp_path / "run")}
    with RuntimeDirectory.acquire(environ, uid=UID) as runtime:
        yield runtime


def test_a_record_reads_back_as_it_was_written():
    assert DaemonRecord.from_json(RECORD.to_json()) == RECORD


def test_keys_of_later_versions_are_passed_over():
    later = json.dumps({**asdict(RECORD), "colour": "blue"}).encode()
    assert DaemonRecord.from_json(later) == RECORD


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"pid": True}, "pid is True, expected int"),
        ({"pid": "42"}, "pid is '42', expected int"),
        ({"listeners": "127.0.0.1:9254"}, "expected list"),
        ({"listeners": [9254]}, "expected texts"),
        ({"demo": None}, "demo is None, expected bool"),
        ({"sts_endpoint_url": 1}, "expected str or NoneType"),
    ],
)
def test_a_wrong_kind_is_named_with_what_was_found_and_expected(changes, named):
    text = json.dumps({**asdict(RECORD), **changes}).encode()
    with pytest.raises(RuntimeDirectoryError, match=named):
        DaemonRecord.from_json(text)


@pytest.mark.parametrize("key", list(asdict(RECORD)))
def test_a_missing_key_is_named(key):
    fields = asdict(RECORD)
    del fields[key]
    with pytest.raises(RuntimeDirectoryError, match=key):
        DaemonRecord.from_json(json.dumps(fields).encode())


@pytest.mark.parametrize(("key", "value"), [("pid", "x\n" * 9000), ("listeners", [7] * 9000)])
def test_a_refusal_is_one_line_whatever_was_found(key, value):
    with pytest.raises(RuntimeDirectoryError) as caught:
        DaemonRecord.from_json(json.dumps({**asdict(RECORD), key: value}).encode())
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"[" * 10_000])
def test_what_is_not_a_json_object_is_refused(text):
    with pytest.raises(RuntimeDirectoryError, match=r"daemon\.json"):
        DaemonRecord.from_json(text)


def test_a_daemon_is_found_as_starting_until_it_announces_itself(runtime):
    assert inspect(runtime.path, uid=UID) == FoundDaemon(runtime.path, None)
    runtime.announce(RECORD)
    assert inspect(runtime.path, uid=UID) == FoundDaemon(runtime.path, RECORD)


def test_looking_does_not_take_the_lock_from_the_daemon(runtime):
    for _ in range(3):
        assert isinstance(inspect(runtime.path, uid=UID), FoundDaemon)


def test_looking_does_not_keep_a_daemon_from_starting(tmp_path):
    environ = {"IMDSD_RUNTIME_DIR": str(tmp_path / "run")}
    RuntimeDirectory.acquire(environ, uid=UID).close()
    looker = (
        "import sys; from pathlib import Path\n"
        "from imdsd.host.daemon_record import inspect\n"
        "while True: inspect(Path(sys.argv[1]), uid=int(sys.argv[2])); print(flush=True)"
    )
    command = [sys.executable, "-c", looker, str(tmp_path / "run"), str(UID)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as looking:
        try:
            looking.stdout.readline()
            for _ in range(200):
                RuntimeDirectory.acquire(environ, uid=UID).close()
        finally:
            looking.kill()


def test_a_record_without_a_held_lock_is_no_daemon(runtime):
    runtime.announce(RECORD)
    text = (runtime.path / "daemon.json").read_bytes()
    runtime.close()
    (runtime.path / "daemon.json").write_bytes(text)
    assert inspect(runtime.path, uid=UID) == "no daemon"


def test_a_directory_that_others_may_write_to_is_not_believed(runtime):
    runtime.path.chmod(0o777)
    assert inspect(runtime.path, uid=UID) == "has mode 0777, writable by others"


def test_what_is_not_there_or_no_directory_has_its_own_reason(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    assert inspect(tmp_path / "absent", uid=UID) == "no daemon"
    assert inspect(tmp_path / "file", uid=UID) == "not a directory"
    assert inspect(tmp_path / "link", uid=UID) == "not a directory"


def test_a_record_that_cannot_be_read_is_a_reason(runtime):
    (runtime.path / "daemon.json").write_text("[]")
    assert inspect(runtime.path, uid=UID) == "daemon.json is not a JSON object"


@pytest.mark.skipif(UID != 0, reason="only root can give a directory away")
def test_a_directory_of_a_stranger_is_not_believed(runtime):
    runtime.announce(RECORD)
    os.chown(runtime.path, 12345, -1)
    assert "belongs to uid 12345" in inspect(runtime.path, uid=UID)
    os.chown(runtime.path, 0, -1)
    os.chown(runtime.path / "daemon.json", 12345, -1)
    assert "belongs to uid 12345" in inspect(runtime.path, uid=UID)


@pytest.mark.skipif(UID != 0, reason="needs a second user")
def test_a_user_outside_the_group_is_told_that_he_may_not_read(runtime, tmp_path):
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == 0 and parent.stat().st_mode & 0o077 == 0:
            parent.chmod(0o711)
    script = (
        "import os, sys; from pathlib import Path\n"
        "from imdsd.host.daemon_record import inspect\n"
        "os.setgroups([]); os.setuid(12345); print(inspect(Path(sys.argv[1]), uid=12345))"
    )
    command = [sys.executable, "-c", script, str(runtime.path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == "may not be read by uid 12345\n"


def test_every_place_is_surveyed_and_all_daemons_are_found(tmp_path):
    (tmp_path / "run").mkdir()
    system = {"IMDSD_RUNTIME_DIR": str(tmp_path / "run/imdsd")}
    (tmp_path / "session").mkdir()
    session = {"IMDSD_RUNTIME_DIR": str(tmp_path / "session/imdsd")}
    shell = {"XDG_RUNTIME_DIR": str(tmp_path / "session"), "TMPDIR": str(tmp_path)}
    with (
        RuntimeDirectory.acquire(system, uid=UID) as first,
        RuntimeDirectory.acquire(session, uid=UID) as second,
    ):
        found = find_daemons(shell, uid=UID, root=tmp_path)
        assert {each.directory for each in found} == {first.path, second.path}
    assert find_daemons(shell, uid=UID, root=tmp_path) == ()
    assert set(survey(shell, uid=UID, root=tmp_path).values()) == {"no daemon"}
