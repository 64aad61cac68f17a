"""Every command in the documents is run, in order, or says what it needs that is not here."""

from __future__ import annotations

import re

import pytest

from tests.documents.blocks import DOCUMENTS, NEEDS, blocks, blocks_of, name_of
from tests.documents.reader import Reader, missing, shell_blocks

LANGUAGES = {"sh", "text", "json", "yaml", "toml", "ini"}
HOW_TO = """
{block} does not do what it says. A test runs the `sh` blocks of a document one after the other in
one shell, where `imdsd serve` finds a token and STS, and a daemon with the role dev serves already
unless a block starts one. Make the block work there; or let its first line say what it needs:
{needs}. A line that shall fail ends with `# exits N`, one that Ctrl-C ends with `# until Ctrl-C`.
A `json`, `ini`, `yaml` or `toml` block is written to the file that the paragraph before it names,
another `toml` block is the daemon's configuration from there on. A `text` block right behind an
`sh` block is what that prints, `…` being anything.
"""

READ = [path for path in DOCUMENTS if shell_blocks(blocks_of(path))]


def advice(block):
    needs = ", ".join(f"`# needs {name}`" for name in sorted(NEEDS))
    return HOW_TO.format(block=block, needs=needs)


@pytest.mark.parametrize("document", READ, ids=name_of)
def test_what_a_document_says_to_do_can_be_done(document, machine, tmp_path):
    found = blocks_of(document)
    reader = Reader(*machine, tmp_path / "home")
    try:
        printed = reader.read(found)
    except AssertionError as error:
        error.add_note(advice(reader.at))
        raise
    for block, output in zip(found[1:], printed, strict=False):
        if block.language == "text" and block.follows:
            line = missing(block.text, output)
            assert not line, f"{advice(block)}\n{line!r} is not in what was printed:\n{output}"


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_a_mark_is_one_of_those_that_are_known(block):
    assert block.needs in {"", *NEEDS}, advice(block)
    assert "# needs" not in block.text.partition("\n")[2], "a mark is a block's first line"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_no_block_hides_from_these_tests(document):
    assert {block.language for block in blocks_of(document)} <= LANGUAGES
    text = document.read_text()
    assert not re.findall(r"(?m)^(?: +|> *)(?:```|~~~).*", text)
    assert len(re.findall(r"(?m)^```", text)) == 2 * len(blocks_of(document))
