from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.errors import UsageError
from imdsd.host.shells import STYLES, assignments, render

# What an environment can hold: no NUL, and only what encodes.
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
LINES = VALUES.filter(lambda value: len(value.splitlines()) <= 1 and not set("\r\n") & set(value))


def unquoted_by(shell, value):
    script = render({"VALUE": value}, style="sh") + 'printf %s "$VALUE"'
    done = subprocess.run([shell], input=script.encode(), capture_output=True, check=True)
    return done.stdout.decode()


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("value", ["plain", "it's", "$(id) `id` $HOME", 'a"b', "a\\b", "a\nb", ""])
def test_a_shell_reads_back_the_very_value(shell, value):
    assert unquoted_by(shell, value) == value


@given(value=VALUES)
def test_sh_quotes_leave_nothing_outside(value):
    text = render({"NAME": value}, style="sh").removeprefix("export NAME=").removesuffix("\n")
    assert "'".join(text[1:-1].split("'\\''")) == value


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize("value", ["plain", "it's", "$(id) $HOME", "a\\b", "a\\'b", "a\nb"])
def test_fish_reads_back_the_very_value(value):
    script = render({"VALUE": value}, style="fish") + "printf %s $VALUE"
    done = subprocess.run(["fish", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode() == value


def test_each_style_writes_as_its_readers_expect():
    assert render({"A": "x y"}, style="sh") == "export A='x y'\n"
    assert render({"A": "it's \\"}, style="fish") == "set -gx A 'it\\'s \\\\';\n"
    assert render({"A": "it's \u2019"}, style="powershell") == "$Env:A = 'it''s \u2019\u2019'\n"
    assert json.loads(render({"A": "it's"}, style="json")) == {"A": "it's"}


def test_dotenv_is_bare_where_it_can_be():
    text = render(
        {"A": "http://127.0.0.1:1/a", "B": "a b", "C": "it's $x", "D": ""}, style="dotenv"
    )
    assert text == "A=http://127.0.0.1:1/a\nB='a b'\nC=\"it's \\$x\"\nD=\n"


@given(value=LINES)
def test_dotenv_has_one_line_per_variable(value):
    text = render({"A": value}, style="dotenv")
    assert text.startswith("A=")
    assert text.count("\n") == 1


@pytest.mark.parametrize("value", ["a\nb", "a\rb"])
def test_formats_of_lines_refuse_a_second_line(value):
    with pytest.raises(UsageError, match="A has a line break"):
        assignments({"A": value})
    with pytest.raises(UsageError, match="A has a line break"):
        render({"A": value}, style="dotenv")


@given(variables=st.dictionaries(st.from_regex("[A-Z_]{1,8}", fullmatch=True), LINES))
def test_every_style_names_every_variable(variables):
    for style in STYLES:
        text = render(variables, style=style)
        assert all(name in text for name in variables)
