from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.errors import InstallError
from imdsd.install.texts.blocks import without_block
from imdsd.install.texts.profiles import Profile, ProfilesBlock


def block(*roles, interpreter="/opt/imdsd/bin/python"):
    profiles = tuple(Profile(role, "eu-west-1") for role in roles)
    return ProfilesBlock(profiles, Path(interpreter))


contents = st.lists(
    st.sampled_from(
        [b"[default]", b"[profile mine]", b"region = x", b"\n", b"\r\n", b"# \xe9\xff", b"s3 =\n  a = b"]
    )
).map(b"".join)  # fmt: skip


@given(contents)
def test_the_file_is_as_it_was_byte_for_byte_without_them(content):
    assert without_block(block("ops", "audit").apply(content)) == content


@given(contents)
def test_writing_them_twice_is_writing_them_once(content):
    once = block("ops").apply(content)
    assert block("ops").apply(once) == once


def test_a_role_that_is_gone_has_no_profile_any_more():
    content = block("ops", "audit").apply(b"[default]\n")
    assert b"audit" not in block("ops").apply(content)


def test_what_is_written_can_be_read():
    parser = configparser.RawConfigParser()
    parser.read_string(block("ops").apply(b"[default]\nregion = x").decode())
    assert dict(parser["profile ops"]) == {
        "credential_process": "/opt/imdsd/bin/python -P -m imdsd credential-process --role ops",
        "region": "eu-west-1",
    }
    assert parser["default"]["region"] == "x"


def test_a_region_that_nobody_knows_is_left_out():
    edit = ProfilesBlock((Profile("ops"),), Path("/python"))
    assert b"region" not in edit.apply(None)


def test_a_path_with_a_space_is_one_word_to_every_sdk():
    text = block("ops", interpreter="/opt/my tools/python").apply(None).decode()
    line = next(line for line in text.splitlines() if line.startswith("credential_process"))
    assert shlex.split(line.partition(" = ")[2])[0] == "/opt/my tools/python"


def test_a_path_that_sdks_would_read_differently_is_refused():
    with pytest.raises(InstallError, match="install imdsd into another directory"):
        block("ops", interpreter="/opt/$HOME/python").apply(None)


@pytest.mark.parametrize(
    "header", [b"[profile ops]", b'[profile "ops"]', b"[ profile  'ops' ]", b"\t[profile ops] # x"]
)
def test_a_name_that_is_taken_is_told_with_its_line(header):
    with pytest.raises(InstallError, match=r"^line 3: .* 'ops' already"):
        block("ops").apply(b"[default]\nregion = x\n" + header + b"\nregion = y\n")


@pytest.mark.parametrize(
    "header", [b"[profile opsy]", b"[profile o.s]", b"# [profile ops]", b"[ops]"]
)
def test_other_names_are_no_conflict(header):
    assert block("o.s" if b"opsy" in header else "ops").apply(header + b"\n")


def test_a_file_in_another_encoding_is_left_alone():
    with pytest.raises(InstallError, match="not a text file in UTF-8"):
        block("ops").apply("[default]\n".encode("utf-16"))
