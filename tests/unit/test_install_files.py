"""Files of an installation on a real disk: links, owners, modes, and disks that refuse."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from imdsd.errors import InstallError
from imdsd.install.disk.files import MOST_BYTES, Disk
from imdsd.install.disk.places import hops
from tests.support import lack, need
from tests.system.machine import NOBODY, need_root

UID = os.geteuid()


@pytest.fixture
def disk():
    return Disk(UID)


def test_a_file_that_is_replaced_keeps_its_mode(disk, tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o2640)
    disk.replace(path, b"new", mode=0o644)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o2640
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_file_that_root_replaces_keeps_its_owner(tmp_path):
    need_root()
    path = tmp_path / "file"
    path.write_text("old")
    os.chown(path, NOBODY, NOBODY)
    Disk(0).replace(path, b"new", mode=0o644)
    assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY)


def test_a_new_file_has_the_mode_asked_for_whatever_the_umask(disk, tmp_path):
    before = os.umask(0o077)
    try:
        disk.replace(tmp_path / "file", b"", mode=0o644)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_new_folder_too(disk, tmp_path):
    before = os.umask(0o077)
    try:
        disk.make_folder(tmp_path / "folder", mode=0o755)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o755


def test_a_link_of_ones_own_is_followed(disk, tmp_path):
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles/bashrc").write_text("x")
    (tmp_path / ".bashrc").symlink_to("dotfiles/bashrc")
    assert disk.locate(tmp_path / ".bashrc") == tmp_path / "dotfiles/bashrc"


def test_a_link_to_nothing_leads_to_what_would_be_made(disk, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "no/such")
    assert disk.locate(tmp_path / "link") == tmp_path / "no/such"


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("name", [".bashrc", "folder/.bashrc"])
def test_a_link_of_somebody_else_is_refused(tmp_path, name, guarded):
    need_root()
    (tmp_path / "real").mkdir()
    (tmp_path / "real/.bashrc").write_text("x")
    link = tmp_path / name.partition("/")[0]
    link.symlink_to(tmp_path / ("real/.bashrc" if link.name == name else "real"))
    os.lchown(link, NOBODY, NOBODY)
    with pytest.raises(InstallError, match=f"a link that belongs to uid {NOBODY}; remove it"):
        Disk(0, guarded=guarded).locate(tmp_path / name)


def test_a_circle_of_links_is_refused(disk, tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(InstallError, match="more than 40 links"):
        disk.locate(tmp_path / "a")


def test_what_stands_before_a_parent_is_followed_first(tmp_path):
    (tmp_path / "far/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("far/inner")
    assert list(hops(tmp_path / "link/../file"))[-1] == tmp_path / "far/file"


@pytest.mark.parametrize("what", ["folder", "fifo", "link", "device"])
def test_what_is_no_file_is_not_read(disk, tmp_path, what):
    path = tmp_path / "it"
    if what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "link":
        path.symlink_to("/etc/passwd")
    else:
        path = Path("/dev/null")
    with pytest.raises(InstallError, match=r"not a regular file|symbolic links"):
        disk.read(path)


def test_a_file_of_somebody_else_is_not_edited(tmp_path):
    need_root()
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", NOBODY, NOBODY)
    with pytest.raises(InstallError, match=f"belongs to uid {NOBODY}, expected 0"):
        Disk(0).read(tmp_path / "file")


def test_a_file_without_end_is_not_read(disk, tmp_path):
    with (tmp_path / "file").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(InstallError, match="too large"):
        disk.read(tmp_path / "file")


def test_the_system_is_not_written_to_where_others_may_write(tmp_path):
    need_root()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(InstallError, match="open has mode 0777, writable by everybody"):
        Disk(0, guarded=True).locate(tmp_path / "open/file")
    assert Disk(0).locate(tmp_path / "open/file") == tmp_path / "open/file"


def test_a_folder_with_something_in_it_stays(disk, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").touch()
    disk.remove_folder(tmp_path / "folder")
    assert (tmp_path / "folder/file").exists()
    disk.remove_folder(tmp_path / "absent")


FAULTS = """
import sys
from pathlib import Path
from imdsd.errors import InstallError
from imdsd.install.disk.files import Disk
folder = Path(sys.argv[1])
try:
    Disk(0).replace(folder / "file", b"x" * 100_000, mode=0o644)
except InstallError as error:
    print(error)
print([path.name for path in folder.iterdir()], (folder / "file").read_text())
"""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("size=8k", "No space left on device; free some space there"),
        ("size=8k,remount,ro", "Read-only file system; the file system is read-only"),
    ],
)
def test_a_disk_that_refuses_loses_nothing_and_says_what_to_do(tmp_path, options, message):
    need_root()
    first, _, again = options.partition(",")
    mount = f'mount -t tmpfs -o {first} none "$1" && printf old >"$1/file"'
    remount = f' && mount -o {again} "$1"' if again else ""
    script = f'{mount}{remount} && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        (need("unshare"), "--mount", "sh", "-c", script, "sh", tmp_path, sys.executable, FAULTS),
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        lack(f"mount namespaces: {done.stderr}")
    told, left = done.stdout.splitlines()
    assert message in told
    assert str(tmp_path) in told
    assert left == "['file'] old"


def test_what_a_killed_run_left_is_removed(disk, tmp_path):
    (tmp_path / ".[file].imdsd-1").touch()
    disk.replace(tmp_path / "[file]", b"", mode=0o644)
    assert [each.name for each in tmp_path.iterdir()] == ["[file]"]
    (tmp_path / ".[file].imdsd-1").touch()
    disk.remove(tmp_path / "[file]")
    assert list(tmp_path.iterdir()) == []


def test_root_writes_nothing_where_another_user_could_swap_it(tmp_path):
    need_root()
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    for path in (theirs / "file", theirs / "folder/file"):
        with pytest.raises(InstallError, match=f"theirs belongs to uid {NOBODY}, expected 0"):
            Disk(0).read(path)
