"""How a release is made: the wheel and the sdist, byte for byte again, and what an install brings.

`python -m supply.dist DIRECTORY` writes them there, with a bill of materials in CycloneDX's form.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supply.lock import PLAIN, REQUIREMENTS, ROOT

# A build without a commit has a day too: the first that a zip archive can hold.
_FIRST_DAY = "315532800"
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


@dataclass(frozen=True, slots=True)
class PlainInstall:
    """An environment with the project and what it needs, no extras, not even pip.

    `hashes` has, by the name of a package, the SHA-256 of the file that it came in.
    """

    root: Path
    hashes: dict[str, str]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.root / "bin/python"


def main() -> None:
    """Write wheel, sdist and bill of materials into the directory that is named."""
    directory = Path(sys.argv[1])
    wheel = build(directory)
    with tempfile.TemporaryDirectory() as place:
        bill = bill_of(install_plainly(Path(place) / "plain", wheel, "--no-compile"))
    name = directory / f"{wheel.name.removesuffix('-py3-none-any.whl')}.cdx.json"
    name.write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n")
    print(name)


def build(directory: Path) -> Path:
    """Build the sdist and the wheel, dated by the commit, and return the wheel."""
    environ = {"SOURCE_DATE_EPOCH": _commit_time(), **os.environ}
    words = (sys.executable, "-m", "hatchling", "build", "-d", str(directory))
    subprocess.run(words, cwd=ROOT, env=environ, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    return wheel


def install_plainly(root: Path, wheel: Path, *options: str) -> PlainInstall:
    """Install a wheel and what a plain install needs, by hashes, into a new environment."""
    subprocess.run((sys.executable, "-m", "venv", "--without-pip", root), check=True)
    lock, report = str(REQUIREMENTS / f"{PLAIN}.txt"), root / "report.json"
    pip = (*_PIP, "--python", str(root / "bin/python"), "install", "--quiet", *options)
    locked = ("--report", str(report), "--require-hashes", "--only-binary=:all:", "-r", lock)
    subprocess.run((*pip, *locked), check=True)
    subprocess.run((*pip, "--no-index", "--no-deps", wheel), check=True)
    fetched = json.loads(report.read_text())["install"]
    report.unlink()
    return PlainInstall(root, dict(map(_name_and_hash, fetched)))


def bill_of(install: PlainInstall) -> dict[str, Any]:
    """Return the bill of materials: what stands in an environment beside the project."""
    words = ("environment", install.root, "--pyproject", ROOT / "pyproject.toml")
    made = subprocess.run(
        (Path(sys.executable).with_name("cyclonedx-py"), *words, "--output-reproducible"),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    bill: dict[str, Any] = json.loads(made.stdout)
    bill["metadata"]["component"]["version"] = _version(install.python)
    for component in bill["components"]:
        component["hashes"] = [
            {"alg": "SHA-256", "content": install.hashes[_plain(component["name"])]}
        ]
    return bill


def _commit_time() -> str:
    words = ("git", "log", "-1", "--format=%ct")
    done = subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip() or _FIRST_DAY


def _name_and_hash(fetched: dict[str, Any]) -> tuple[str, str]:
    digest = fetched["download_info"]["archive_info"]["hashes"]["sha256"]
    return _plain(fetched["metadata"]["name"]), digest


def _version(python: Path) -> str:
    program = "from importlib.metadata import version; print(version('imdsd'))"
    return subprocess.check_output((python, "-c", program), text=True).strip()


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


if __name__ == "__main__":
    main()
