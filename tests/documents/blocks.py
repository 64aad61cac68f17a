"""The fenced blocks of the documents, and the marks of those that only run elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

NEEDS = frozenset(
    {
        "AWS",
        "Docker",
        "GitHub",
        "PyPI",
        "a cluster",
        "a quiet machine",
        "an EC2 instance",
        "an Ona environment",
        "systemd",
    }
)
"""What a block may need that a test of it lacks; its first line says so: `# needs AWS`."""

# What a reader puts in place of a URL that the documents cannot know.
_CLONED_FROM = "git+https://git.example/imdsd.git"

_FENCE = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")
_NAMED = re.compile(r"`((?:~/|\.?[\w-])[\w./-]*\.[a-z]+|~/\.aws/config)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it stands, its language and its text.

    `file` is the name that the paragraph before it gives it; `follows` says that nothing but
    white space stands between it and the block before.
    """

    document: str
    line: int
    language: str
    text: str
    file: str = ""
    follows: bool = False

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def needs(self) -> str:
        """What it needs that is not here, or nothing."""
        first = self.text.partition("\n")[0]
        return first.removeprefix("# needs ") if first.startswith("# needs ") else ""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks_of(path: Path) -> list[Block]:
    text = path.read_text().replace("git+URL", _CLONED_FROM)
    found, end = [], 0
    for fence in _FENCE.finditer(text):
        between = text[end : fence.start()].strip()
        names = _NAMED.findall(between.rpartition("\n\n")[2])
        line = text.count("\n", 0, fence.start()) + 1
        found.append(
            Block(
                name_of(path),
                line,
                fence[1],
                fence[2],
                file=names[-1] if names else "",
                follows=bool(found) and not between,
            )
        )
        end = fence.end()
    return found


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all documents in these languages, or in any."""
    every = [block for path in DOCUMENTS for block in blocks_of(path)]
    return [block for block in every if not languages or block.language in languages]
