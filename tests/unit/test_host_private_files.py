from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from imdsd.errors import RuntimeDirectoryError
from imdsd.host import private_files
from imdsd.host.private_files import is_locked, read_private, take_lock, write_private


def own(owner):
    return owner == os.geteuid()


def open_descriptors():
    return len(list(Path("/dev/fd").iterdir()))


def test_what_is_written_is_private_and_reads_back(tmp_path):
    write_private(tmp_path / "file", b"text")
    assert read_private(tmp_path / "file", trusts=own) == b"text"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_replaced_file_leaves_no_draft(tmp_path):
    write_private(tmp_path / "file", b"first")
    write_private(tmp_path / "file", b"second")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"second"


def test_a_draft_left_by_a_crash_is_overwritten(tmp_path):
    (tmp_path / f".file.{os.getpid()}").write_text("half")
    write_private(tmp_path / "file", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path):
    (tmp_path / "target").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_private(tmp_path / "target", b"text")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_others_may_write_is_not_read(tmp_path, mode):
    write_private(tmp_path / "file", b"text")
    (tmp_path / "file").chmod(mode)
    with pytest.raises(RuntimeDirectoryError, match=f"mode {mode:04o}"):
        read_private(tmp_path / "file", trusts=own)


def test_a_file_of_somebody_untrusted_is_not_read(tmp_path):
    write_private(tmp_path / "file", b"text")
    with pytest.raises(RuntimeDirectoryError, match=f"belongs to uid {os.geteuid()}"):
        read_private(tmp_path / "file", trusts=lambda owner: False)


def test_a_huge_file_is_not_read(tmp_path):
    write_private(tmp_path / "file", b"x" * 70_000)
    with pytest.raises(RuntimeDirectoryError, match="over 65536 bytes"):
        read_private(tmp_path / "file", trusts=own)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_only_regular_files_are_read_and_no_other_stays_open(tmp_path, make):
    make(tmp_path / "odd")
    before = open_descriptors()
    with pytest.raises(RuntimeDirectoryError, match="not a regular file"):
        read_private(tmp_path / "odd", trusts=own)
    assert open_descriptors() == before


def test_a_symbolic_link_is_not_followed(tmp_path):
    write_private(tmp_path / "file", b"text")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(OSError, match="symbolic links"):
        read_private(tmp_path / "link", trusts=own)


@pytest.fixture
def two_descriptors(tmp_path):
    (tmp_path / "lock").write_text("")
    descriptors = [os.open(tmp_path / "lock", os.O_RDWR | os.O_CLOEXEC) for _ in range(2)]
    yield descriptors
    for descriptor in descriptors:
        os.close(descriptor)


def test_a_lock_is_taken_once_and_seen_by_others(two_descriptors):
    first, second = two_descriptors
    assert not is_locked(second)
    assert take_lock(first)
    assert is_locked(second)
    assert not take_lock(second)


def test_closing_another_descriptor_of_the_file_keeps_the_lock(two_descriptors, tmp_path):
    first, second = two_descriptors
    take_lock(first)
    os.close(os.open(tmp_path / "lock", os.O_RDONLY))
    assert is_locked(second)


def test_kernels_without_such_locks_are_asked_by_a_shared_one(two_descriptors):
    import fcntl

    first, second = two_descriptors
    assert not private_files._refuses_shared_lock(second)
    fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert private_files._refuses_shared_lock(second)
