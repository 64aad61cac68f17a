"""What mutmut leaves alone: the constants, tables and defaults that stand outside functions.

Each number becomes one more, each text another, and of each table every row is left out once.
"""

from __future__ import annotations

import ast
import itertools
import queue
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutation.copying import ROOT, copy_project
from tests.mutation.mutant import KILLED, SURVIVED, TIMEOUT, Mutant, change_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LONGEST_SECONDS = 300


def mutate_constants(
    module: str, tests: Sequence[str], *, place: Path, workers: int
) -> list[Mutant]:
    source = (ROOT / module).read_text()
    if _outcome(copy_project(place / "whole", tests), tests) != SURVIVED:
        sys.exit(f"the tests of {module} fail before it is broken")
    copies: queue.Queue[Path] = queue.Queue()
    for number in range(workers):
        copies.put(copy_project(place / str(number), tests))

    def tried(changed: tuple[str, str]) -> Mutant:
        where, text = changed
        copy = copies.get()
        try:
            _replace(copy / module, text)
            return Mutant(module, where, change_of(source, text), _outcome(copy, tests))
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(tried, changes(source)))


def _replace(file: Path, text: str) -> None:
    # Two texts of one length, written within a second, would share their bytecode.
    Path(cache_from_source(str(file))).unlink(missing_ok=True)
    file.write_text(text)


def _outcome(copy: Path, tests: Sequence[str]) -> str:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=copy,
            capture_output=True,
            timeout=_LONGEST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return TIMEOUT
    return KILLED if done.returncode else SURVIVED


def changes(source: str) -> Iterator[tuple[str, str]]:
    """Yield each changed text of a module, with the name of what was changed."""
    for name, value in _values(ast.parse(source)):
        for node in ast.walk(value):
            for first, last, text in _edits(node):
                changed = _spliced(source, first, last, text)
                # A row of two lines ends in a comma already.
                yield name, changed if _parses(changed) else _spliced(source, first, last, "")


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _values(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for owner in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))):
        prefix = f"{owner.name}." if isinstance(owner, ast.ClassDef) else ""
        for node in owner.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                yield prefix + ast.unparse(target), node.value


def _edits(node: ast.AST) -> Iterator[tuple[tuple[int, int], tuple[int, int], str]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str):
        yield _start(node), _end(node), repr(_another(node.value))
    if isinstance(node, ast.Tuple | ast.List | ast.Set) and len(node.elts) > 1:
        first, second = node.elts[:2]
        yield _start(first), _start(second), ""
        for before, element in itertools.pairwise(node.elts):
            yield _end(before), _end(element), "" if len(node.elts) > 2 else ","


def _another(value: float | str) -> object:
    if isinstance(value, bool):
        return not value
    return f"another {value}" if isinstance(value, str) else value + 1


def _start(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _end(node: ast.expr) -> tuple[int, int]:
    return node.end_lineno or 0, node.end_col_offset or 0


def _spliced(source: str, first: tuple[int, int], last: tuple[int, int], text: str) -> str:
    # Columns of the syntax tree count bytes.
    lines = source.encode().splitlines(keepends=True)
    start, end = (sum(map(len, lines[: line - 1])) + column for line, column in (first, last))
    whole = source.encode()
    return (whole[:start] + text.encode() + whole[end:]).decode()
