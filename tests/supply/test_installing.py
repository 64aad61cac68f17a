"""The install that every target of the Makefile begins with: what it takes and what it refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from supply.lock import ROOT
from tests.supply.wheels import hash_of, write_sdist, write_wheel
from tests.support import need

WRONG = "0" * 64
# What is installed at the end is the project; here it is one that builds itself.
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "own"
version = "1"
"""
BACKEND = """
import shutil
def build_editable(directory, *_):
    return shutil.copy("index/own-1-py3-none-any.whl", directory).rpartition("/")[2]
"""


class Copy:
    """The Makefile beside a project of one file, and a directory for an index."""

    def __init__(self, root):
        self.root = root
        self.index = root / "index"
        for directory in (self.index, root / "requirements"):
            directory.mkdir()
        shutil.copy(ROOT / "Makefile", root)
        (root / "pyproject.toml").write_text(PROJECT)
        (root / "backend.py").write_text(BACKEND)
        write_wheel(self.index, "own")

    def install(self, requirements):
        """Have make set up what `make demo` needs, with nothing but the index."""
        (self.root / "requirements/demo.txt").write_text(requirements)
        told = {
            name: value for name, value in os.environ.items() if name[:4] not in ("PIP_", "MAKE")
        }
        told |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.index)}
        words = (need("make"), "--always-make", f"PYTHON={sys.executable}", ".venv/demo.stamp")
        return subprocess.run(
            words, cwd=self.root, env=told, capture_output=True, text=True, timeout=300, check=False
        )

    def has(self, name):
        return any(self.root.glob(f".venv/lib/*/site-packages/{name}.py"))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return Copy(tmp_path_factory.mktemp("copy"))


def test_a_package_with_a_hash_that_is_locked_is_installed_and_the_project_with_it(copy):
    wheel = write_wheel(copy.index, "honest")
    done = copy.install(f"honest==1 --hash=sha256:{WRONG} --hash=sha256:{hash_of(wheel)}\n")
    assert done.returncode == 0, done.stderr
    assert copy.has("honest")
    assert copy.has("own")


def test_a_package_that_was_exchanged_at_the_index_is_refused(copy):
    locked = hash_of(write_wheel(copy.index, "exchanged"))
    assert hash_of(write_wheel(copy.index, "exchanged", says="another")) != locked
    done = copy.install(f"exchanged==1 --hash=sha256:{locked}\n")
    assert done.returncode
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not copy.has("exchanged")


def test_a_package_without_a_hash_is_refused(copy):
    write_wheel(copy.index, "hashless")
    done = copy.install("hashless==1\n")
    assert done.returncode
    assert "Hashes are required" in done.stderr
    assert not copy.has("hashless")


def test_code_of_a_package_that_would_have_to_be_built_is_not_run(copy):
    sdist = write_sdist(copy.index, "unbuilt")
    done = copy.install(f"unbuilt==1 --hash=sha256:{hash_of(sdist)}\n")
    assert done.returncode
    assert "No matching distribution found for unbuilt" in done.stderr
    assert "unbuilt was run" not in done.stdout + done.stderr
