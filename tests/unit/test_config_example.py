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
NO_DEFAULT_OF_METADATA = {
    *KEYS["metadata"], *KEYS["interface"], "kind", "code", "description", "event_id", "state",
} - {"user_data_file", "leaves", "interface", "event", "device_number"}  # fmt: skip
ENVIRON = {"TOKEN_SERVICE_SECRET": "canary", "HOME": "/home/me"}


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
        "default", "by-command", "by-file", "by-http", "by-variable", "in-a-file",
    ]  # fmt: skip
    assert [role.token.source for role in config.roles] == [
        "auto", "command", "file", "http", "variable", "auto",
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
    tokens = [tables["token"], *(entry["token"] for entry in tables["role"][1:-1])]
    files = tables["role"][-1]["files"]
    assert set(tables) == set(KEYS[""])
    assert set(role) | {"token", "files"} == set(KEYS["role"])
    assert set(files) == set(KEYS["files"])
    assert {key for token in tokens for key in token} == set(KEYS["token"])
    assert all(key in EXAMPLE.read_text() for key in KEYS["listen"])
    metadata = tables["metadata"]
    assert set(metadata) | {"user_data_file"} == set(KEYS["metadata"])
    assert "    user_data_file = " in EXAMPLE.read_text()
    assert {key for each in metadata["interface"] for key in each} == set(KEYS["interface"])
    assert {key for each in metadata["event"] for key in each} == set(KEYS["event"])


def test_the_example_with_every_key_uncommented_gives_each_of_its_leaves(everything):
    config = load(flags={"config": str(everything)}, environ=ENVIRON)
    leaves = config.metadata.settings.leaves
    assert {path.rpartition("/")[2].replace("-", "_") for path in leaves} >= set(
        KEYS["interface"]
    ) | set(KEYS["metadata"]) - {
        "tags", "user_data_file", "public_keys", "leaves", "interface", "event", "upstream",
        "upstream_paths", "security_groups",
    }  # fmt: skip
    assert leaves["meta-data/tags/instance/Stage"] == b"test"
    assert config.metadata.settings.labels == {"meta-data/public-keys": b"0=dev"}
    assert config.upstream is not None


def test_the_keys_of_interfaces_and_events_that_have_a_default_stand_at_it(everything):
    def loaded():
        config = load(flags={"config": str(everything)}, environ=ENVIRON)
        return config.metadata

    example = loaded()
    everything.write_text(
        re.sub(
            r"(?m)^(device_number|action|(after|in|until)_seconds|description|event_id) = .*$"
            r'|^state = "active"$',
            "",
            everything.read_text(),
        )
    )
    without = loaded()
    given = dataclasses.replace(example.events[1], event_id=without.events[1].event_id)
    assert without.events == (example.events[0], given, example.events[2])
    assert without.settings == example.settings


def test_every_key_is_said_to_have_no_default_or_stands_at_it():
    paragraphs = EXAMPLE.read_text().split("\n\n")
    said = Counter(
        line[1:].split(" = ")[0]
        for paragraph in paragraphs
        if re.search(r"[Nn]o\s+(# )?default", paragraph)
        for line in paragraph.splitlines()
        if re.match(r"#\w+ = ", line)
    )
    assert set(said) == (
        NO_DEFAULT | NO_DEFAULT_OF_TOKEN | NO_DEFAULT_OF_METADATA
    ) - {"headers"}  # fmt: skip


@pytest.mark.parametrize("kind", KEYS)
def test_every_key_is_in_the_reference(kind):
    text = REFERENCE.read_text()
    written = "`{0}`", "[{0}]", ".{0}]"
    missing = [key for key in KEYS[kind] if not any(form.format(key) in text for form in written)]
    assert missing == []
