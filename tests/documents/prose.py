"""How a document is read: its tables, its sections, the code that its sentences name."""

from __future__ import annotations

import re

from tests.documents.blocks import DOCS


def text_of(name: str) -> str:
    return (DOCS / name).read_text()


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table row, headings and rules left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if not set("".join(row)) <= set("- ")]


def section(text: str, heading: str) -> str:
    """Return what stands under a heading, up to the next of its level or above."""
    level = heading.partition(" ")[0]
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"no heading {heading!r}"
    return re.split(rf"(?m)^#{{1,{len(level)}}} ", rest)[0]


def prose_of(text: str) -> str:
    return re.sub(r"(?ms)^```.*?^```$", "", text)


def codes_in(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", prose_of(text)))
