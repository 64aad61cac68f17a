from __future__ import annotations

import os

import pytest

from imdsd.doctor.machine.files import judge_files
from imdsd.host.runtime_directory import RuntimeDirectory
from tests.fakes.examined import codes, only

UID = os.geteuid()


def trusts(owner):
    return owner in (0, UID)


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "run"
    with RuntimeDirectory.acquire({"IMDSD_RUNTIME_DIR": str(path)}, uid=UID) as runtime:
        runtime.bearer()
        yield path


def judged(directory=None, *, trusts=trusts, **files):
    return list(judge_files(directory, trusts=trusts, **files))


def test_what_the_daemon_makes_is_sound(directory, tmp_path):
    (tmp_path / "config.toml").touch(0o644)
    (tmp_path / "token").touch(0o600)
    found = judged(directory, config=tmp_path / "config.toml", token=tmp_path / "token")
    assert codes(found) == ["files.sound"]


def test_nothing_there_is_no_trouble(tmp_path):
    assert codes(judged(tmp_path / "gone", config=tmp_path / "none")) == ["files.absent"]
    assert codes(judged()) == ["files.absent"]


@pytest.mark.parametrize("name", ["", "bearer", "daemon.lock"])
def test_a_file_that_others_may_write_is_told(directory, name):
    (directory / name).chmod(0o777 if not name else 0o666)
    found = only(judged(directory), "files.writable")
    assert found.remedy == f"chmod go-w {(directory / name)}"


@pytest.mark.parametrize(("name", "mode"), [("", 0o755), ("bearer", 0o644)])
def test_a_bearer_that_everybody_may_read_is_told(directory, name, mode):
    (directory / name).chmod(mode)
    found = only(judged(directory), "files.readable")
    assert f"chmod o-rwx {(directory / name)}" in found.remedy
    assert "new one made" in found.remedy


def test_a_group_may_read_what_is_shared_with_it(directory):
    directory.chmod(0o750)
    (directory / "bearer").chmod(0o640)
    assert codes(judged(directory)) == ["files.sound"]


def test_a_token_file_that_everybody_may_read_is_a_warning(tmp_path):
    """In a pod it is so by default, and nothing is wrong with it."""
    (tmp_path / "token").touch()
    (tmp_path / "token").chmod(0o644)
    found = only(judged(token=tmp_path / "token"), "files.token-readable")
    assert found.level == "warning"
    assert "fsGroup" in found.remedy


def test_a_configuration_that_everybody_may_write_is_told(tmp_path):
    (tmp_path / "config.toml").touch()
    (tmp_path / "config.toml").chmod(0o666)
    assert codes(judged(config=tmp_path / "config.toml")) == ["files.writable"]


def test_another_owner_is_told(directory):
    found = judged(directory, trusts=lambda owner: owner == UID + 1)
    assert set(codes(found)) == {"files.owner"}
    assert "chown" in found[0].remedy
    assert f"uid {UID}" in found[0].found


def test_a_link_in_the_directory_s_place_or_in_it_is_told(directory, tmp_path):
    (tmp_path / "link").symlink_to(directory)
    assert "remove" in only(judged(tmp_path / "link"), "files.link").remedy
    (directory / "bearer").unlink()
    (directory / "bearer").symlink_to("/etc/passwd")
    assert codes(judged(directory)) == ["files.link"]


def test_a_projected_token_s_own_link_is_followed(tmp_path):
    (tmp_path / "data").touch()
    (tmp_path / "data").chmod(0o600)
    (tmp_path / "token").symlink_to("data")
    assert codes(judged(token=tmp_path / "token")) == ["files.sound"]
