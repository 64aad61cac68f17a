"""Packages for an index that is a directory."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from pathlib import Path

_METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1\n"
_WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(directory: Path, name: str, *, says: str = "") -> Path:
    """Write version 1 of a package of one module, and return its wheel."""
    written = directory / f"{name}-1-py3-none-any.whl"
    info = f"{name}-1.dist-info"
    files = {
        f"{name}.py": f"SAYS = {says!r}\n",
        f"{info}/METADATA": _METADATA.format(name=name),
        f"{info}/WHEEL": _WHEEL,
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(written, "w") as archive:
        for path, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return written


def write_sdist(directory: Path, name: str) -> Path:
    """Write version 1 of a package that has to be built, and return its sdist."""
    root = directory / f"{name}-1"
    root.mkdir()
    (root / "PKG-INFO").write_text(_METADATA.format(name=name))
    (root / "setup.py").write_text(f"raise SystemExit('{name} was run')\n")
    written = directory / f"{name}-1.tar.gz"
    with tarfile.open(written, "w:gz") as archive:
        archive.add(root, root.name)
    return written


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
