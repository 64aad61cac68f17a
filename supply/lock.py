"""How `requirements/` is written: exact versions with their hashes, a file for each set.

`python -m supply.lock` keeps every version that still fits pyproject.toml; with `--upgrade` it
takes the newest that do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements"
BUILD, PLAIN = "build", "plain"
BELOW = {"demo": (BUILD, PLAIN), "test": ("demo",), "dev": ("test",)}
"""The files on top of which each extra's file stands; `build` and `plain` stand by themselves."""

# uv writes neither where a file lies nor who asked for it: the lock fits every index.
_COMPILE = (
    *("pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
    # One version of a package, whatever the Python.
    *("--fork-strategy", "fewest", "--generate-hashes", "--no-annotate", "--no-header"),
    *("--no-emit-index-url", "--no-emit-find-links"),
)


def main() -> None:
    """Write every file anew."""
    parser = argparse.ArgumentParser(prog="python -m supply.lock")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    upgraded = parser.parse_args().upgrade
    with tempfile.TemporaryDirectory() as place:
        everything = Path(place) / "everything.txt"
        everything.write_text("".join(held() if not upgraded else ()))
        _compile(everything, "--all-extras", "pyproject.toml", "-")
        versions = ("--constraint", str(everything))
        build = _compile(Path(place) / BUILD, *versions, "-")
        plain = _compile(Path(place) / PLAIN, *versions, "pyproject.toml")
        _write(BUILD, (), build)
        _write(PLAIN, (), plain)
        written = {*build, *plain}
        for name, below in BELOW.items():
            wanted = _compile(Path(place) / name, *versions, "--extra", name, "pyproject.toml")
            _write(name, below, [each for each in wanted if each not in written])
            written.update(wanted)


def held() -> list[str]:
    """Return what the files hold now, one text for each package with its hashes."""
    return [each for file in sorted(REQUIREMENTS.glob("*.txt")) for each in pinned(file)]


def pinned(file: Path) -> list[str]:
    """Return what one file itself pins, one text of several lines for each package."""
    lines = (line for line in file.read_text().splitlines(keepends=True) if line[0] not in "#-\n")
    found: list[str] = []
    for line in lines:
        if line[0] == " ":
            found[-1] += line
        else:
            found.append(line)
    return found


def build_requirements() -> list[str]:
    """Return what pyproject.toml says a build needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    required: list[str] = project["build-system"]["requires"]
    return required


def _compile(output: Path, *words: str) -> list[str]:
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [uv, *_COMPILE, "--output-file", output, *words],
        cwd=ROOT,
        check=True,
        input="\n".join(build_requirements()) if "-" in words else None,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    return pinned(output)


def _write(name: str, below: Iterable[str], pins: Iterable[str]) -> None:
    head = "# Written by `make lock`.\n" + "".join(f"-r {each}.txt\n" for each in below)
    (REQUIREMENTS / f"{name}.txt").write_text(head + "".join(pins))


if __name__ == "__main__":
    main()
