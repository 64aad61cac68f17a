from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imdsd.cli._installing import Installer, environ_of_commands, run_command
from tests.system.machine import need_root

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


def test_root_takes_no_program_from_the_path_of_somebody_else():
    given = {"PATH": "/home/alice/bin:.", "LANG": "C"}
    expected = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}
    assert environ_of_commands(given, uid=0) == expected
    assert environ_of_commands(given, uid=1000) == given


def test_a_user_without_a_name_has_a_home_that_is_not_there():
    need_root()
    script = "import os; from imdsd.cli._asking import home_of_this_process as home"
    script += "; os.setuid(54321); print(home())"
    done = subprocess.run(
        (sys.executable, "-c", script), env=ENVIRON, capture_output=True, text=True, check=True
    )
    assert done.stdout == "/nonexistent\n"


@pytest.mark.parametrize("system", [True, False])
def test_this_process_installs_with_its_own_interpreter(system):
    installer = Installer.of_this_process()
    assert installer.interpreter == Path(sys.executable)
    assert installer.uid == os.geteuid()
    assert installer.worker(system=system).disk.guarded is system
    assert Path("/tmp") in installer.private
