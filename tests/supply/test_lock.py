"""requirements/ and package-lock.json: that they are whole, and belong to what asks for them."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import chain

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from supply.lock import BELOW, BUILD, PLAIN, REQUIREMENTS, ROOT, build_requirements, held, pinned

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
NAMES = (BUILD, PLAIN, *BELOW)
NODE = ROOT / "tests/integration/node"
# Nothing else may stand in a pin, so that there is no place for a URL or the name of a host.
PIN = re.compile(
    r"[a-z0-9-]+==[\w.]+( ; [\w<>=!'.*() ]+)? \\\n"
    r"(    --hash=sha256:[0-9a-f]{64} \\\n)*"
    r"    --hash=sha256:[0-9a-f]{64}\n"
)


def file_of(name):
    return REQUIREMENTS / f"{name}.txt"


def version_in(pin):
    """The name and the version of a pin."""
    return tuple(pin.split()[0].split("=="))


def versions(name):
    """What an install by a file brings, those below it included."""
    own = dict(map(version_in, pinned(file_of(name))))
    return own | dict(chain.from_iterable(versions(below).items() for below in BELOW.get(name, ())))


def wanted(*texts):
    """The requirements of these texts, with those of our extras that they name."""
    for each in map(Requirement, texts):
        if each.name == PROJECT["name"]:
            yield from wanted(*chain.from_iterable(EXTRAS[extra] for extra in sorted(each.extras)))
        else:
            yield each


REQUIRED = {
    BUILD: [*wanted(*build_requirements())],
    PLAIN: [*wanted(*PROJECT["dependencies"])],
    **{extra: [*wanted(*PROJECT["dependencies"], *EXTRAS[extra])] for extra in BELOW},
}


@pytest.mark.parametrize(
    ("name", "requirement"),
    [(name, each) for name, requirements in REQUIRED.items() for each in requirements],
    ids=str,
)
def test_what_is_asked_for_is_locked_in_a_version_that_fits(name, requirement):
    version = versions(name).get(canonicalize_name(requirement.name))
    assert version is not None
    assert requirement.specifier.contains(version)


@pytest.mark.parametrize("name", NAMES)
def test_every_pin_is_a_version_with_hashes_and_nothing_else(name):
    pins = pinned(file_of(name))
    assert pins
    assert [pin for pin in pins if not PIN.fullmatch(pin)] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_file_stands_on_those_that_it_is_said_to(name):
    lines = file_of(name).read_text().splitlines()
    named = [line for line in lines if line.startswith("-")]
    assert named == [f"-r {below}.txt" for below in BELOW.get(name, ())]


def test_no_other_file_is_there():
    assert {file.name for file in REQUIREMENTS.iterdir()} == {f"{name}.txt" for name in NAMES}


def test_a_package_has_one_version_in_all_files():
    found = set(map(version_in, held()))
    assert len(found) == len({name for name, _ in found})


def test_what_builds_the_project_comes_with_every_extra():
    assert versions(BUILD).items() <= versions("demo").items()


def test_the_demo_brings_no_client_but_boto3():
    assert len(versions("demo")) < len(versions("test")) / 2


def test_javascript_is_locked_by_its_hash_and_by_no_address():
    lock = json.loads((NODE / "package-lock.json").read_text())
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert len(packages) > 3
    for name, each in packages.items():
        assert each["integrity"].startswith("sha512-"), name
        assert "resolved" not in each, name


def test_the_javascript_lock_belongs_to_the_package_file():
    lock = json.loads((NODE / "package-lock.json").read_text())
    asked = json.loads((NODE / "package.json").read_text())["dependencies"]
    assert lock["packages"][""]["dependencies"] == asked
    assert {name: lock["packages"][f"node_modules/{name}"]["version"] for name in asked} == asked
