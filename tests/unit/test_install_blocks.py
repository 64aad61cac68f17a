from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.errors import InstallError
from imdsd.install.texts.blocks import BEGIN, END, Block, without_block

# Bytes as files of people have them: lines of every kind, or of none.
contents = st.lists(
    st.sampled_from([b"x=1", b"\n", b"\r\n", b"\r", b"", b"# a", b"\xff\xfe", b"  ", BEGIN[:-1], b"\0"])
).map(b"".join)  # fmt: skip
blocks = st.builds(
    Block, st.sampled_from([b"one\n", b"one\ntwo", b""]), follows_line_ends=st.booleans()
)


unmarked = st.binary().filter(lambda content: BEGIN not in content and END not in content)


@given(st.one_of(contents, unmarked), blocks)
def test_a_file_that_loses_the_block_is_as_it_was_byte_for_byte(content, block):
    assert without_block(block.apply(content)) == content


@given(contents, blocks, blocks)
def test_it_is_so_after_the_block_was_exchanged_for_another(content, first, second):
    assert without_block(second.apply(first.apply(content))) == content


@given(contents, blocks)
def test_applying_twice_is_applying_once(content, block):
    once = block.apply(content)
    assert block.apply(once) == once


@given(contents, blocks, contents)
def test_what_people_add_after_the_block_stays(content, block, more):
    more = b"\n" + more if more else more
    left = without_block(block.apply(content) + more)
    assert left.endswith(more)
    assert left.startswith(content)


def test_lines_after_a_file_that_had_no_newline_are_not_joined_to_it():
    assert without_block(Block(b"ours").apply(b"theirs") + b"more\n") == b"theirs\nmore\n"


def test_no_file_becomes_a_file_of_the_block_alone():
    text = Block(b"ours\n").apply(None)
    assert text.startswith(BEGIN + b"\n")
    assert text.endswith(b"\nours\n" + END + b"\n")


def test_lines_end_as_those_of_the_file_do():
    text = Block(b"one\ntwo\n", follows_line_ends=True).apply(b"[default]\r\nregion = x\r\n")
    assert text.count(b"\r\n") == text.count(b"\n")


def test_a_shell_never_gets_a_carriage_return():
    assert b"\r" not in Block(b"one\ntwo\n").apply(b"a\r\nb\r\n").removeprefix(b"a\r\nb\r\n")


@pytest.mark.parametrize(
    "content",
    [
        BEGIN + b"\nours\n",
        b"a\n" + END + b"\n",
        END + b"\n" + BEGIN + b"\n",
        2 * (BEGIN + b"\nours\n" + END + b"\n"),
        BEGIN + b"\n" + BEGIN + b"\nours\n" + END + b"\n",
    ],
)
def test_marks_that_are_not_one_pair_are_left_to_a_person(content):
    with pytest.raises(InstallError, match=r"line \d+: the marks .* are not one pair"):
        Block(b"x").apply(content)
    with pytest.raises(InstallError):
        without_block(content)
