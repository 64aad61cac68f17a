"""Every fault and every attack of the documents is held by tests that there are."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.documents.blocks import ROOT
from tests.documents.prose import rows, section, text_of

# What is promised, one for each way in which things go wrong; a row taken out of the document
# takes its promise along.
PROMISED = {
    "STS fails",
    "STS returns another role's ARN",
    "the process that asks STS hangs, is killed, cannot be started",
    "token command hangs, forks, detaches",
    "token command fails",
    "token command prints something else",
    "token that STS would refuse",
    "token's `iat` is off the clock",
    "token file",
    "clock steps, suspend",
    "DNS hangs",
    "SIGTERM in the middle",
    "SIGHUP with a broken file",
    "SIGHUP with changed roles",
    "port in use",
    "address not on this machine",
    "disk full, read-only root, closed stderr",
    "`kill -9` twenty times in a minute",
    "descriptors",
    "10 000 connections, slow-loris",
    "role's maximum duration is lower",
}
# Orderly ends and changes, which are no trouble that goes on for a minute; and what needs a limit or
# a flood of its own, whose tests count the lines themselves.
NOT_MEASURED = {
    "SIGTERM in the middle",
    "SIGHUP with changed roles",
    "descriptors",
    "10 000 connections, slow-loris",
    # Killed by a test, whose daemons log what any other failed exchange does.
    "the process that asks STS hangs, is killed, cannot be started",
}

HELD_BY = {
    name: held_by
    for name, _, held_by in rows(
        section(text_of("reliability.md"), "## Faults").partition("<!-- measured")[0]
    )[1:]
}
ATTACKS = {
    (who, tries): held_by
    for who, tries, held_by in rows(section(text_of("reliability.md"), "## Attacks"))[1:]
}
FILE = re.compile(r"`([\w/]+\.py)`: ((?:`test_\w+`(?:, )?)+)")


def named_in(held_by):
    """Return the tests that a row names, as pytest does."""
    return {
        f"tests/{file}::{test}"
        for file, tests in FILE.findall(held_by)
        for test in re.findall(r"test_\w+", tests)
    }


@pytest.fixture(scope="module")
def collected():
    """Every test that pytest would run of the files that are named, parameters left out."""
    files = {
        test.partition("::")[0]
        for row in (*HELD_BY.values(), *ATTACKS.values())
        for test in named_in(row)
    }
    done = subprocess.run(  # noqa: PLW1510  # asserted below
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *sorted(files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}


def test_the_rows_are_what_is_promised():
    assert set(HELD_BY) == PROMISED


def test_the_attacks_are_those_of_the_table_of_attackers():
    table = section(text_of("security.md"), "## Attackers, and what stops them today")
    assert set(ATTACKS) == {(who, tries) for who, tries, _ in rows(table)[1:]}


@pytest.mark.parametrize("row", sorted(PROMISED))
def test_a_fault_is_held_by_tests_that_are_run(collected, row):
    assert_held(collected, HELD_BY[row])


@pytest.mark.parametrize("attack", ATTACKS, ids=": ".join)
def test_an_attack_is_held_by_tests_that_are_run(collected, attack):
    assert_held(collected, ATTACKS[attack])


def assert_held(collected, held_by):
    named = named_in(held_by)
    assert named
    assert named <= collected
    # Nothing that looks like a test stands where it would not be looked for.
    words = re.findall(r"test_\w+(?!\.py)\b", re.sub(r"`[\w/]+\.py`", "", held_by))
    assert len(named) == len(words)


def test_each_row_was_measured_and_none_fills_the_log():
    text = section(text_of("reliability.md"), "## Faults").partition("<!-- measured: fault-log")[2]
    measured = rows(text)[1:]
    assert {row[0] for row in measured} == PROMISED - NOT_MEASURED
    for row in measured:
        assert row[-1].endswith(": met") or row[0].startswith("`kill -9`"), row
