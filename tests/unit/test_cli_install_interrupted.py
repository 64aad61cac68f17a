"""`imdsd install` and `uninstall` after a run that ended in the middle, wherever that was."""

from __future__ import annotations

import contextlib
import io

import pytest

from imdsd.errors import InstallError
from tests.fakes.installer import ARN, Site
from tests.system.machine import need_root

FLAGS = ("--role-arn", ARN, "--region", "eu-west-1")
OTHER_FLAGS = ("--role-arn", f"{ARN}-other", "--region", "eu-west-1")
START = "systemctl start imdsd.socket imdsd.service"


@pytest.fixture
def site(tmp_path):
    need_root()
    return Site(tmp_path, uid=0)


@pytest.fixture
def own(tmp_path):
    """A machine on which a user installs."""
    return Site(tmp_path)


class ClosedPipe(io.StringIO):
    """Takes some lines, and then nobody reads any more."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self.left = lines

    def write(self, text: str) -> int:
        if not self.left:
            raise BrokenPipeError
        self.left -= 1
        return len(text)


def cut(verb, *words, after):
    """Have a verb end behind one of its steps."""
    with contextlib.redirect_stdout(ClosedPipe(after)), pytest.raises(BrokenPipeError):
        verb(*words)


@pytest.mark.parametrize("after", range(7))
def test_an_installation_goes_on_wherever_it_was_cut_off(site, tmp_path_factory, after):
    whole = Site(tmp_path_factory.mktemp("whole"), uid=0)
    whole.install("--system", *FLAGS)
    cut(site.install, "--system", *FLAGS, after=after)
    site.install("--system", *FLAGS)
    assert site.everything().keys() == whole.everything().keys()
    assert site.commands.up == whole.commands.up


@pytest.mark.parametrize("after", range(7))
def test_an_installation_is_taken_back_wherever_it_was_cut_off(site, after):
    before = site.everything()
    cut(site.install, "--system", *FLAGS, after=after)
    site.uninstall("--system")
    assert site.everything() == before


@pytest.mark.parametrize("after", range(3))
def test_an_upgrade_goes_on_without_a_question(site, after):
    site.install("--system", *FLAGS)
    site.interpreter = site.interpreter.with_name("python3.11")
    site.commands.done.clear()
    cut(site.install, "--system", *FLAGS, after=after)
    site.install("--system", *FLAGS)
    assert site.commands.done[-3::2] == ["systemctl daemon-reload", START]


@pytest.mark.parametrize("after", range(3))
def test_an_upgrade_is_taken_back_without_a_question(site, after):
    before = site.everything()
    site.install("--system", *FLAGS)
    site.interpreter = site.interpreter.with_name("python3.11")
    cut(site.install, "--system", *FLAGS, after=after)
    site.uninstall("--system")
    assert site.everything() == before


def test_what_was_edited_is_asked_about_after_an_interruption_too(site):
    site.install("--system", *FLAGS)
    unit = site.root / "etc/systemd/system/imdsd.service"
    unit.write_text("edited\n")
    cut(site.install, "--system", "--yes", *FLAGS, after=0)
    unit.write_text("edited\n")
    with pytest.raises(InstallError, match=r"imdsd\.service was changed since"):
        site.uninstall("--system")


def test_a_daemon_that_did_not_restart_is_restarted_by_the_next_run(own, capsys):
    own.install("--user", *FLAGS)
    own.commands.fails["systemctl --user restart"] = "no"
    with pytest.raises(InstallError, match="run the same again, which goes on from there"):
        own.install("--user", "--yes", *OTHER_FLAGS)
    own.commands.fails.clear()
    own.commands.done.clear()
    own.install("--user", *OTHER_FLAGS)
    assert own.commands.done[-1] == "systemctl --user restart imdsd.service"
    capsys.readouterr()
    own.install("--user", *OTHER_FLAGS)
    assert capsys.readouterr().out == "nothing to do\n"


def test_shells_alone_do_not_make_up_for_what_was_interrupted(own):
    own.install("--user", *FLAGS)
    own.commands.fails["systemctl --user restart"] = "no"
    with pytest.raises(InstallError):
        own.install("--user", *OTHER_FLAGS)
    own.commands.fails.clear()
    own.install("--shell", "zsh")
    own.commands.done.clear()
    own.install("--user", *OTHER_FLAGS)
    assert own.commands.done[-1] == "systemctl --user restart imdsd.service"
