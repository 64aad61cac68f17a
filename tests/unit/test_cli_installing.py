from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from imdsd.cli._installing import Installer, run_command

ENVIRON = {"PATH": os.environ["PATH"]}


def test_a_command_gives_its_status_and_all_that_it_says():
    script = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
    outcome = run_command((sys.executable, "-c", script), environ=ENVIRON)
    assert outcome.code == 7
    assert sorted(outcome.text.split()) == ["err", "out"]


def test_a_command_gets_no_input():
    outcome = run_command(("cat",), environ=ENVIRON)
    assert (outcome.code, outcome.text) == (0, "")


def test_a_program_that_there_is_not_is_told():
    outcome = run_command(("no-such-program",), environ=ENVIRON)
    assert (outcome.code, outcome.text) == (127, "there is no program no-such-program")


def test_a_file_that_is_no_program_is_told(tmp_path):
    (tmp_path / "file").touch()
    outcome = run_command((str(tmp_path / "file"),), environ=ENVIRON)
    assert (outcome.code, outcome.text) == (126, "Permission denied")


@pytest.mark.parametrize("system", [True, False])
def test_this_process_installs_with_its_own_interpreter(system):
    installer = Installer.of_this_process()
    assert installer.interpreter == Path(sys.executable)
    assert installer.uid == os.geteuid()
    assert installer.worker(system=system).disk.guarded is system
    assert Path("/tmp") in installer.private
