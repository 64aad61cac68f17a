"""config.example.toml: every key, at its default."""

import dataclasses
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from imdsd.config import load
from imdsd.config.tables import KEYS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.toml"
REFERENCE = ROOT / "docs" / "configuration.md"
ARN = "arn:aws:iam::123456789012:role/dev"
NO_DEFAULT = {"bearer_group", "region", "ca_bundle", "arn", "policy", "sts_endpoint_url"}
NO_DEFAULT_OF_TOKEN = {"command", "file", "url", "headers", "variable"}
ENVIRON = {"TOKEN_SERVICE_SECRET": "canary"}


def uncommented(*, without=()) -> str:
    lines = [re.sub(r"^#(?=\S)", "", line) for line in EXAMPLE.read_text().splitlines()]
    return "\n".join(line for line in lines if line.split(" = ")[0] not in without)


@pytest.fixture
def everything(tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    path = tmp_path / "config.toml"
    text = re.sub(r"(?m)^ca_bundle = .*$", f'ca_bundle = "{bundle}"', uncommented())
    path.write_text(text)
    return path


def test_the_example_as_it_is_changes_nothing():
    flags = {"role_arn": ARN}
    plain = load(flags=flags, environ={}, usual=())
    example = load(flags={**flags, "config": str(EXAMPLE)}, environ={})
    assert dataclasses.replace(example, source=plain.source) == plain


def test_the_example_with_every_key_uncommented_is_sound(everything):
    config = load(flags={"config": str(everything)}, environ=ENVIRON)
    assert [role.name for role in config.roles] == [
        "default", "by-command", "by-file", "by-http", "by-variable",
    ]  # fmt: skip
    assert [role.token.source for role in config.roles] == [
        "auto", "command", "file", "http", "variable",
    ]  # fmt: skip
    assert config.warnings == ()


def test_each_commented_out_key_stands_at_its_default(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(uncommented(without=NO_DEFAULT - {"arn"}).split("# The other token sources")[0])
    plain = load(flags={"role_arn": ARN}, environ={}, usual=())
    found = load(flags={"config": str(path)}, environ={})
    role = dataclasses.replace(found.roles[0], duration_seconds=None)
    assert dataclasses.replace(found, source=plain.source, roles=(role,)) == plain
    assert found.roles[0].duration_seconds == 3600


def test_every_key_there_is_appears_in_the_example():
    tables = tomllib.loads(uncommented())
    role = tables["role"][0]
    tokens = [tables["token"], *(entry["token"] for entry in tables["role"][1:])]
    assert set(tables) == set(KEYS[""])
    assert set(role) | {"token"} == set(KEYS["role"])
    assert {key for token in tokens for key in token} == set(KEYS["token"])
    assert all(key in EXAMPLE.read_text() for key in KEYS["listen"])


def test_every_key_is_said_to_have_no_default_or_stands_at_it():
    paragraphs = EXAMPLE.read_text().split("\n\n")
    said = Counter(
        line[1:].split(" = ")[0]
        for paragraph in paragraphs
        if re.search(r"[Nn]o\s+(# )?default", paragraph)
        for line in paragraph.splitlines()
        if re.match(r"#\w+ = ", line)
    )
    assert set(said) == NO_DEFAULT | NO_DEFAULT_OF_TOKEN - {"headers"}


@pytest.mark.parametrize("kind", KEYS)
def test_every_key_is_in_the_reference(kind):
    text = REFERENCE.read_text()
    missing = [key for key in KEYS[kind] if f"`{key}`" not in text and f"[{key}]" not in text]
    assert missing == []
