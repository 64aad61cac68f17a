"""The table of options: flags, variables and the reference say the same."""

import argparse
import re
from pathlib import Path

import pytest

from imdsd.config import add_flags, load
from imdsd.config.options import OPTIONS, flag_layer, unknown_variables, variable_layer
from imdsd.config.tables import KEYS

REFERENCE = Path(__file__).parents[2] / "docs" / "configuration.md"
VALUES = {"duration_seconds": "900", "listen": "127.0.0.1:1", "allow_imdsv1": "true"}


def parsed(*words, **options):
    parser = argparse.ArgumentParser()
    add_flags(parser, **options)
    return vars(parser.parse_args(words))


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_a_flag_and_its_variable_say_the_same(option):
    text = VALUES.get(option.name, "/x")
    words = [option.flag] if option.metavar is None else [option.flag, text]
    by_flag = flag_layer(parsed(*words))
    by_variable = variable_layer({option.variable: text})
    assert by_flag[option.table][option.key].value == by_variable[option.table][option.key].value
    assert by_flag[option.table][option.key].source == option.flag
    assert by_variable[option.table][option.key].source == option.variable
    assert option.name == "config" or option.key in KEYS[option.table]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_is_in_the_reference(option):
    rows = [line for line in REFERENCE.read_text().splitlines() if line.startswith("| `--")]
    pattern = rf"\| `{option.flag}\b[^|]*\| `{option.variable}`"
    assert any(re.match(pattern, row) for row in rows)
    assert len(rows) == len(OPTIONS)


def test_nothing_given_is_nothing_set():
    assert flag_layer(parsed()) == {}
    assert variable_layer({"IMDSD_REGION": "", "HOME": "/"}) == {}


def test_flags_that_a_verb_does_not_want_are_left_out():
    assert set(parsed(exclude=("listen", "token_file"))) == {option.name for option in OPTIONS} - {
        "listen",
        "token_file",
    }


def test_what_argparse_collects_can_be_loaded_as_it_is():
    arn = "arn:aws:iam::123456789012:role/dev"
    flags = parsed("--role-arn", arn, "--listen", "127.0.0.1:1", "--listen", "[::1]:2")
    config = load(flags={**flags, "verb": "serve"}, environ={}, usual=())
    assert [listener.port for listener in config.listen] == [1, 2]
    assert config.allow_imdsv1 is False


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("True", True), ("yes", True), ("0", False), ("no", False), ("maybe", "maybe")],
)
def test_a_switch_is_read_from_the_words_people_use(text, value):
    assert variable_layer({"IMDSD_ALLOW_IMDSV1": text})[""]["allow_imdsv1"].value == value


def test_a_relative_path_of_a_flag_starts_where_the_command_was_typed():
    (setting,) = flag_layer({"token_file": "token"})["token"].values()
    assert setting.value == str(Path.cwd() / "token")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("IMDSD_REGOIN", "did you mean IMDSD_REGION?"),
        ("IMDSD_RUNTIME_DIRECTORY", "did you mean IMDSD_RUNTIME_DIR?"),
        ("IMDSD_XYZZY", "unset it"),
    ],
)
def test_an_unknown_variable_of_ours_is_a_problem_that_hides_its_value(name, hint):
    (problem,) = unknown_variables({name: "canary", "HOME": "/"})
    assert (problem.key, problem.hint) == (name, hint)
    assert "canary" not in str(problem)


@pytest.mark.parametrize(
    "name",
    ["IMDSD_RUNTIME_DIR", "IMDSD_PORT", "IMDSD_SERVICE_HOST", "IMDSD_SERVICE_PORT_HTTP",
     "IMDSD_PORT_9254_TCP_ADDR", "AWS_REGOIN"],
)  # fmt: skip
def test_variables_of_others_are_left_alone(name):
    assert unknown_variables({name: "x"}) == []
