"""The reader notices what it is there to notice."""

from __future__ import annotations

import subprocess

import pytest

from tests.documents.reader import as_run, missing
from tests.support import need

SHELL = "set -e -m; fails_with() { exit 9; }\n"


def status_of(line, directory):
    script = SHELL + as_run(line)
    environ = {"PATH": "/usr/bin:/bin", "OUT": str(directory)}
    words = [need("bash"), "-c", script]
    return subprocess.run(words, env=environ, check=False, timeout=60).returncode


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("true", 0),
        ("false", 1),
        ("(exit 3)   # exits 3", 0),
        ("(exit 4)   # exits 3", 9),
        ("true   # exits 3: it does not", 9),
    ],
)
def test_a_line_ends_as_its_comment_says(line, status, tmp_path):
    assert status_of(line, tmp_path) == status


def test_ctrl_c_reaches_what_is_on_the_screen(tmp_path):
    need("script")
    assert status_of("sh -c 'echo shown; exec sleep 600'   # until Ctrl-C", tmp_path) == 0
    assert "shown" in (tmp_path / "screen").read_text()


@pytest.mark.parametrize(
    ("shown", "printed", "first_missing"),
    [
        ("one\n", "zero\none\ntwo\n", ""),
        ("one\ntwo\n", "two\none\n", "two"),
        ("pid 17, in 5 min\n", "pid 4242,  in 59 min\n", ""),
        ("key …, done\n", "key AKIA, done\n", ""),
        ("key …, done\n", "key AKIA\n", "key …, done"),
        ("one\n", "one more\n", "one"),
    ],
)
def test_what_is_shown_must_be_printed_in_order(shown, printed, first_missing):
    assert missing(shown, printed) == first_missing
