"""The only module that knows how results look: on a terminal, and in the documents."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_DOCUMENTS = Path(__file__).parent.parent / "docs"
PERFORMANCE = _DOCUMENTS / "performance.md"
RELIABILITY = _DOCUMENTS / "reliability.md"
_LIBRARIES = ("aiobotocore", "aiohttp", "boto3", "botocore", "awscli", "structlog")


@dataclass(frozen=True, slots=True)
class Table:
    """The results of one measurement; `name` is also the mark where they stand in `document`."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    document: Path = PERFORMANCE

    def as_text(self) -> str:
        widths = [max(map(len, cells)) for cells in zip(self.columns, *self.rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (self.columns, *self.rows)
        ]
        return "\n".join([f"[{self.name}]", *lines])

    def as_markdown(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def verdict(value: float, *, most: float | None = None, least: float | None = None) -> str:
    """Say what a target is and whether a value meets it."""
    met = (most is None or value <= most) and (least is None or value >= least)
    bound = f"at most {most:g}" if most is not None else f"at least {least:g}"
    return f"{bound}: {'met' if met else 'MISSED'}"


def machine() -> str:
    """Describe what was measured on, without its name."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return (
        f"{os.cpu_count()} of {_processor()}, Linux {_kernel()}, "
        f"Python {platform.python_version()}; {libraries}"
    )


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _kernel() -> str:
    return ".".join(platform.release().split(".")[:2])


def write(tables: Iterable[Table]) -> None:
    """Put the tables with today's date, and the machine, between their marks in the documents."""
    texts: dict[Path, str] = {}
    today = f"Measured on {SystemClock().now():%F}."
    for table in tables:
        document = table.document
        text = texts.get(document) or replace_marked(
            document.read_text("utf-8"), "machine", machine()
        )
        dated = f"{table.as_markdown()}\n\n{today}"
        texts[document] = replace_marked(text, table.name, dated)
    for document, text in texts.items():
        document.write_text(text, encoding="utf-8")


def replace_marked(text: str, name: str, content: str) -> str:
    """Return the text with this content where it is marked for it."""
    marked = re.compile(rf"(<!-- measured: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    replaced, count = marked.subn(lambda found: f"{found[1]}\n{content}\n\n{found[2]}", text)
    if count != 1:
        raise SystemExit(f"the document has {count} places marked {name!r}, expected 1")
    return replaced
