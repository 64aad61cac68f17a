"""Imports that leave a module out."""

import importlib
import subprocess
import sys

import pytest

from imdsd.telemetry.leaving_out import leaving_out


def test_a_module_that_is_left_out_is_not_found_and_then_found_again():
    with leaving_out("antigravity_of_nobody"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("antigravity_of_nobody")
        assert "antigravity_of_nobody" in sys.modules
    assert "antigravity_of_nobody" not in sys.modules


def test_what_is_loaded_stays():
    with leaving_out("subprocess"):
        assert importlib.import_module("subprocess") is subprocess


@pytest.mark.parametrize(
    ("loaded", "absent"),
    [
        # What unusual requests and tokens need comes after the first answers.
        ("imdsd.cli.serve, imdsd.daemon.service", {"aiohttp", "jwt", "cryptography"}),
        # rich comes along wherever `imdsd status` is: with every install.
        (
            "imdsd.cli.serve, imdsd.cli.demo, imdsd.daemon.service",
            {"rich", "pygments", "aiobotocore"},
        ),
    ],
    ids=["first-answers", "drawing"],
)
def test_the_daemon_loads_no_more_than_it_needs(loaded, absent):
    code = f"import sys, {loaded}; sys.exit(' '.join({absent} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
