"""What the page about Ona shows is what `imdsd install --ona` writes."""

import os
import shlex
import subprocess

import pytest

from tests.documents.blocks import DOCS, blocks_of
from tests.support import BIN

PAGE = blocks_of(DOCS / "how-to/ona.md")


@pytest.mark.parametrize("name", [".ona/automations.yaml", ".devcontainer/devcontainer.json"])
def test_the_page_shows_the_files_as_they_are_written(tmp_path, name):
    (tmp_path / ".git").mkdir()
    (command,) = [each.text for each in PAGE if "install --ona" in each.text]
    _, *words = shlex.split(command.replace("\\\n", ""))
    environ = {"PATH": os.defpath, "HOME": str(tmp_path)}
    subprocess.run((BIN / "imdsd", *words), cwd=tmp_path, env=environ, check=True, timeout=60)
    (shown,) = [each.text for each in PAGE if each.file == name]
    assert (tmp_path / name).read_text() == shown
