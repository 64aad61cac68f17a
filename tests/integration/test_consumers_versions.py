"""docs/clients.md names the versions of what Debian has, as they are installed here."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support import lack, need
from tests.unit.test_clients_document import clients_from

VERSIONS = {(each.name, each.version) for each in clients_from("Debian 12")}
OS_RELEASE = Path("/etc/os-release")


@pytest.fixture
def debian():
    """Debian 12, whose packages the document names."""
    text = OS_RELEASE.read_text() if OS_RELEASE.exists() else ""
    if not re.search(r"(?m)^ID=debian$", text) or 'VERSION_ID="12"' not in text:
        lack("Debian 12")


@pytest.mark.parametrize(("package", "named"), sorted(VERSIONS))
def test_the_document_names_the_installed_version(debian, package, named):
    words = (need("dpkg-query"), "--show", "--showformat", "${Version}", package)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if not done.stdout:
        lack(f"Debian's package {package}")
    # The part of upstream: the epoch and Debian's own revision are no business of a reader.
    upstream = re.fullmatch(r"(?:\d+:)?(.+?)(?:-[^-]+)?", done.stdout)[1]
    assert named == upstream
