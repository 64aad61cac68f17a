"""docs/clients.md: that it names what the tests run, and the versions that they run."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from supply import lock

ROOT = Path(__file__).parents[2]
INTEGRATION = ROOT / "tests/integration"
DOCUMENT = (ROOT / "docs/clients.md").read_text()
HEADINGS = ("## Container credentials", "## IMDS for credentials", "## IMDS for metadata")
COLUMNS = ["client", "version", "language", "from", "asks", "needs", "test"]


@dataclass(frozen=True, slots=True)
class Client:
    """A row: which client, of which version, from where, and the file of the test that runs it."""

    name: str
    version: str
    origin: str
    test: str


def cells_under(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, its own heading first."""
    text = DOCUMENT.partition(f"\n{heading}\n")[2].partition("\n#")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def clients_from(*origins: str) -> list[Client]:
    found = []
    for heading in HEADINGS:
        for name, version, _, origin, _, _, test in cells_under(heading)[2:]:
            file = re.fullmatch(r"\[test\]\(\.\./tests/integration/(\S+)\)", test)[1]
            found.append(Client(name.strip("`"), version, origin, file))
    return [each for each in found if each.origin in origins or not origins]


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_table_has_the_same_columns_and_no_empty_cell(heading):
    columns, _, *rows = cells_under(heading)
    assert columns == COLUMNS
    assert rows
    assert all(len(row) == len(COLUMNS) and all(row) for row in rows)


def test_every_client_comes_from_where_a_version_can_be_held_against_something():
    assert {each.origin for each in clients_from()} == {"PyPI", "npm", "Debian 12"}


def test_python_clients_have_the_versions_of_the_lock():
    pins = (pin.split()[0] for pin in lock.held())
    versions = dict(pin.split("==") for pin in pins)
    named = {each.name: each.version for each in clients_from("PyPI")}
    assert named == {name: versions.get(name) for name in named}


def test_javascript_clients_are_those_of_the_package_file():
    package = json.loads((INTEGRATION / "node/package.json").read_text())
    named = {each.name: each.version for each in clients_from("npm")}
    assert named == package["dependencies"]


def test_what_debian_has_is_installed_where_nothing_may_skip():
    installed = re.findall(r"\[\S+?\]=(\S+)", (ROOT / ".ci/run").read_text())
    assert {each.name for each in clients_from("Debian 12")} <= set(installed)


def test_every_module_that_runs_clients_is_named():
    modules = {path.name for path in INTEGRATION.glob("test_c*.py")}
    # This one holds the document against what is installed, and runs no client.
    assert {each.test for each in clients_from()} == modules - {"test_consumers_versions.py"}


@pytest.mark.parametrize("client", clients_from("PyPI"), ids=lambda each: each.name)
def test_the_module_a_row_names_speaks_of_the_client(client):
    text = (INTEGRATION / client.test).read_text()
    assert client.name in text or client.name.replace("awscli", "aws-cli") in text
