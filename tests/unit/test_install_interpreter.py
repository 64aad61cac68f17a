from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from imdsd.errors import InstallError
from imdsd.install.disk.interpreter import Interpreter, check_interpreter, private_places
from tests.system.machine import NOBODY, need_root


@pytest.fixture
def venv():
    """A virtual environment as venv makes them: its python is a link, and that to another.

    Not where tests have their folders, which is closed to other users.
    """
    need_root()
    with tempfile.TemporaryDirectory(dir="/run", prefix="imdsd-test-") as folder:
        yield make_venv(Path(folder))


def make_venv(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr/python3.11").touch(mode=0o755)
    (tmp_path / "usr/python3").symlink_to("python3.11")
    (tmp_path / "opt/bin").mkdir(parents=True)
    (tmp_path / "opt/bin/python").symlink_to(tmp_path / "usr/python3")
    packages = tmp_path / "opt/lib/site-packages"
    (packages / "imdsd").mkdir(parents=True)
    (packages / "imdsd/errors.py").touch()
    return tmp_path


def check(venv, *private):
    packages = venv / "opt/lib/site-packages"
    search_path = (packages, venv / "opt/lib/python311.zip")
    check_interpreter(Interpreter(venv / "opt/bin/python", search_path), private=private)


def test_what_root_alone_may_write_is_taken(venv):
    check(venv, Path("/home"), Path("/root"))


@pytest.mark.parametrize("where", ["opt", "usr", "opt/lib"])
def test_a_private_place_anywhere_on_the_way_is_refused_with_what_to_do(venv, where):
    with pytest.raises(InstallError, match=f"leads into {venv / where}, a home or") as caught:
        check(venv, venv / where)
    assert "sudo python3 -m venv /opt/imdsd" in str(caught.value)
    assert "pip install git+URL" in str(caught.value)


@pytest.mark.parametrize(
    "what",
    ["opt", "opt/bin", "opt/bin/python", "usr/python3", "usr/python3.11", "opt/lib/site-packages",
     "opt/lib/site-packages/imdsd", "opt/lib/site-packages/imdsd/errors.py"],
)  # fmt: skip
def test_what_belongs_to_somebody_else_is_refused(venv, what):
    os.lchown(venv / what, NOBODY, NOBODY)
    with pytest.raises(InstallError, match=f"{venv / what} belongs to uid {NOBODY}"):
        check(venv)


@pytest.mark.parametrize(
    "what",
    ["opt", "usr/python3.11", "opt/lib/site-packages", "opt/lib/site-packages/imdsd/errors.py"],
)
def test_what_everybody_may_write_is_refused(venv, what):
    (venv / what).chmod(0o777)
    with pytest.raises(InstallError, match="writable by everybody"):
        check(venv)


def test_a_group_counts_by_its_members(venv):
    packages = venv / "opt/lib/site-packages"
    packages.chmod(0o775)
    os.chown(packages, 0, NOBODY)  # the group nogroup, of which the user nobody is
    with pytest.raises(InstallError, match=f"may be written by the group {NOBODY}, to which uid"):
        check(venv)
    os.chown(packages, 0, 4_000_000)  # nobody is in a group that there is not
    check(venv)


def test_what_the_daemons_user_could_not_read_is_refused(venv):
    (venv / "opt/lib").chmod(0o700)
    with pytest.raises(InstallError, match="opt/lib may not be read by other users"):
        check(venv)


def test_homes_and_temporary_folders_are_private():
    places = private_places({"TMPDIR": "/scratch"})
    for each in ("/tmp", "/var/tmp", "/home", "/root", "/scratch"):
        assert Path(each) in places
    assert Path("/") not in places
