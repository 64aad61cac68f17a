"""SECURITY.md: every promise leads to where it is explained, and to a test that is there."""

from __future__ import annotations

import re

import pytest

from tests.documents.blocks import ROOT
from tests.documents.prose import rows, section

POLICY = (ROOT / "SECURITY.md").read_text()
LINK = re.compile(r"\[([^\]]+)\]\(([^)#]+)(?:#([\w-]+))?\)")
PROMISES = rows(section(POLICY, "## What is promised"))[1:]


def anchors_of(path):
    """The anchors of a document's headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", path.read_text())
    return {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}


def test_something_is_promised():
    assert len(PROMISES) > 5
    assert all(len(row) == 3 and all(row) for row in PROMISES)


@pytest.mark.parametrize("row", PROMISES, ids=lambda row: row[0])
def test_the_tests_that_hold_a_promise_are_there(row):
    for test in row[2].split(", "):
        name, path, _ = LINK.fullmatch(test).groups()
        assert re.search(rf"(?m)^(async )?def {name.strip('`')}\(", (ROOT / path).read_text())


def test_every_link_leads_to_a_heading_that_is_there():
    links = [(path, anchor) for _, path, anchor in LINK.findall(POLICY) if anchor]
    assert {path for path, _ in links} == {"docs/security.md"}
    assert [link for link in links if link[1] not in anchors_of(ROOT / link[0])] == []


@pytest.mark.parametrize("document", ["README.md", "docs/README.md", "docs/security.md"])
def test_the_policy_is_found_from_the_other_documents(document):
    paths = {path for _, path, _ in LINK.findall((ROOT / document).read_text())}
    assert {"SECURITY.md", "../SECURITY.md"} & paths


def test_where_weaknesses_are_reported_is_said_in_one_place():
    link = LINK.search(section((ROOT / "docs/security.md").read_text(), "## Reporting"))
    assert link[2] == "../SECURITY.md"
    assert link[3] in anchors_of(ROOT / "SECURITY.md")
