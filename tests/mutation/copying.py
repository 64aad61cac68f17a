"""A copy of the project in which a module may be broken, written so that all of it can be."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
PARTS = ("imdsd", "tests", "systemd", "config.example.toml", "pyproject.toml")


def copy_project(place: Path, tests: Sequence[str]) -> Path:
    """Copy what these unit tests need; there, `tests.mutation.settings` is in force."""
    place.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, place / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place / part)
    with (place / "tests/conftest.py").open("a") as conftest:
        conftest.write("\nfrom tests.mutation.settings import *\n")
    # pytest looks at each neighbour of a test, at every run.
    for neighbour in (place / "tests/unit").glob("test_*.py"):
        if str(neighbour.relative_to(place)) not in tests:
            neighbour.unlink()
    return place


def undecorate_properties(source: str) -> str:
    """Write each property as a method and `name = property(name)`: the same, without a decorator.

    mutmut leaves decorated functions alone, and half of a class may be properties.
    """
    lines = source.splitlines(keepends=True)
    for method in reversed(_properties(ast.parse(source))):
        pad = " " * method.col_offset
        lines.insert(method.end_lineno, f"{pad}{method.name} = property({method.name})\n")
        del lines[method.lineno - 2]
    return "".join(lines)


def _properties(tree: ast.Module) -> list[ast.FunctionDef]:
    return [
        member
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for member in node.body
        if isinstance(member, ast.FunctionDef)
        and [ast.unparse(each) for each in member.decorator_list] == ["property"]
    ]
