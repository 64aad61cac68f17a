"""What a release is made of: the same bytes from the same commit, and a true bill of materials."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import imdsd
from supply.lock import PLAIN, REQUIREMENTS, ROOT, pinned
from tests.documents.prose import rows, section
from tests.supply.wheels import hash_of
from tests.support import lack

BUILD = "import pathlib, sys; from supply.dist import build; build(pathlib.Path(sys.argv[1]))"
LOCKED = {
    canonicalize_name(pin.split("==")[0]): pin for pin in pinned(REQUIREMENTS / f"{PLAIN}.txt")
}


def applies(pin):
    """Whether a pin is for this Python."""
    marker = Requirement(pin.partition(" \\\n")[0]).marker
    return marker is None or marker.evaluate()


def copied(root):
    """What a build reads, copied to another place; all of it is younger and private."""
    files = ("imdsd", "supply", "systemd", "pyproject.toml", "README.md", "CHANGELOG.md")
    for name in (*files, "LICENSE", "config.example.toml", ".gitignore"):
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, place)
    for each in root.rglob("*"):
        each.chmod(0o700 if each.is_dir() else 0o600)
        os.utime(each)
    return root


def built(project, directory):
    """The names and hashes of what a build of this copy of the project makes."""
    subprocess.run((sys.executable, "-c", BUILD, directory), cwd=project, check=True, timeout=120)
    return {file.name: hash_of(file) for file in directory.glob("imdsd-*")}


def test_two_builds_elsewhere_and_later_are_byte_for_byte_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first = built(ROOT, tmp_path / "one")
    assert len(first) == 2
    assert built(copied(tmp_path / "copy"), tmp_path / "two") == first


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A directory that the command of a release has filled."""
    directory = tmp_path_factory.mktemp("released")
    done = subprocess.run(
        (sys.executable, "-m", "supply.dist", directory),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    if "No matching distribution found" in done.stderr:
        lack("a package index")
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def bill(released):
    return json.loads((released / f"imdsd-{imdsd.__version__}.cdx.json").read_text())


def test_a_release_is_a_wheel_an_sdist_and_a_bill_of_materials(released):
    ends = sorted(
        file.name.removeprefix(f"imdsd-{imdsd.__version__}") for file in released.iterdir()
    )
    assert ends == ["-py3-none-any.whl", ".cdx.json", ".tar.gz"]


def test_the_bill_is_of_this_version_in_the_form_of_cyclonedx(bill):
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    subject = bill["metadata"]["component"]
    assert (subject["name"], subject["version"]) == ("imdsd", imdsd.__version__)


def test_the_bill_lists_exactly_what_is_locked_for_a_plain_install(bill):
    listed = {
        f"{canonicalize_name(each['name'])}=={each['version']}" for each in bill["components"]
    }
    assert listed == {pin.split()[0] for pin in LOCKED.values() if applies(pin)}


def test_every_component_has_a_hash_that_is_locked_and_a_licence(bill):
    for each in bill["components"]:
        (found,) = each["hashes"]
        assert found["alg"] == "SHA-256"
        assert f"--hash=sha256:{found['content']}" in LOCKED[canonicalize_name(each["name"])]
        assert each["licenses"], each["name"]


def licence_of(component):
    """The licence of a component as one expression."""
    (found,) = component["licenses"]
    return found.get("expression") or found["license"]["id"]


def test_the_licences_of_what_is_asked_for_directly_are_those_of_the_document(bill):
    text = section((ROOT / "docs/security.md").read_text(), "## What comes along")
    licences = {canonicalize_name(each["name"]): each for each in bill["components"]}
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = (canonicalize_name(Requirement(each).name) for each in asked)
    told = {canonicalize_name(name): licence for name, licence in rows(text)[1:]}
    assert told == {name: licence_of(licences[name]) for name in names}


def test_the_bill_is_valid_with_what_was_added_to_it(bill):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
