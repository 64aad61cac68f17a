"""The only module that compares what is wanted with what stands there, and decides what to ask."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.errors import InstallError
from imdsd.install.disk.receipts import digest
from imdsd.install.plan import Entry, Part, Receipt, Remove, RemoveFolder, Wanted, Write
from imdsd.install.texts.blocks import without_block

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from imdsd.install.disk.files import Disk


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be done to files, and what the receipt knows once it is; see Plan.

    `paths` are the files that change, as they were named when links are on the way.
    """

    steps: tuple[Write | Remove | RemoveFolder, ...]
    receipt: Receipt
    notes: tuple[str, ...] = ()
    paths: frozenset[Path] = frozenset()


def to_install(wanted: Iterable[Wanted], *, receipt: Receipt, disk: Disk) -> Changes:
    """Return what makes the files as they are wanted; nothing for those that are."""
    steps: list[Write] = []
    paths: set[Path] = set()
    seen: set[Path] = set()
    for each in wanted:
        path = disk.locate(each.path)
        if path in seen:  # two names of one file, as ~/.profile may be a link to ~/.bashrc
            continue
        seen.add(path)
        step, entry = _installing(each, path, known=receipt.entry(each.path), disk=disk)
        if step is not None:
            steps.append(step)
            paths.add(each.path)
        receipt = _remembering(receipt, entry)
    folders = [str(each) for step in steps for each in disk.missing_folders(step.path)]
    made = tuple(dict.fromkeys((*receipt.folders, *folders)))
    return Changes(tuple(steps), replace(receipt, folders=made), paths=frozenset(paths))


def presume(wanted: Iterable[Wanted], *, disk: Disk) -> Receipt:
    """Return what a receipt would say of the files that are there, where it was lost."""
    entries = []
    for each in wanted:
        if (found := disk.read(disk.locate(each.path))) is None:
            continue
        kind = each.edit.kind
        content = each.edit.apply(None) if kind == "whole" else found
        existed = kind != "whole"
        entries.append(Entry(str(each.path), each.part, kind, digest(content), existed))
    return Receipt(tuple(entries))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Have what stands in the way within a file told with its path."""
    try:
        yield
    except InstallError as error:
        raise InstallError(f"{path}: {error}") from None


def _installing(
    wanted: Wanted, path: Path, *, known: Entry | None, disk: Disk
) -> tuple[Write | None, Entry]:
    before = disk.read(path)
    with _named(path):
        content = wanted.edit.apply(before)
    entry = Entry(
        path=str(wanted.path),
        part=wanted.part,
        kind=wanted.edit.kind,
        sha256=digest(content),
        existed=before is not None if known is None else known.existed,
        before=known.before if known else None,
    )
    if before == content:
        # A file of ours without its receipt: the receipt was lost, the file is still ours.
        ours = replace(entry, existed=wanted.edit.kind != "whole") if known is None else entry
        return None, ours
    entry = replace(entry, former=_left_by_us(before, known=known))
    question = ""
    if before is not None and wanted.edit.kind == "whole":
        question = _objection(path, before, known=known)
        if question and known is None:
            entry = replace(entry, before=before)
    return Write(path, content, before, wanted.reason, wanted.mode, question), entry


def _objection(path: Path, before: bytes, *, known: Entry | None) -> str:
    """Return what to ask before a whole file is replaced; nothing where it is as we left it."""
    if known is None:
        return f"{path} stands there already and is not of imdsd"
    return "" if _left_by_us(before, known=known) else f"{path} was changed since it was installed"


def _left_by_us(before: bytes | None, *, known: Entry | None) -> str:
    """Return the digest of what stands there if it is as one of our runs left it."""
    if before is None or known is None:
        return ""
    found = digest(before)
    return found if found in (known.sha256, known.former) else ""


def _remembering(receipt: Receipt, entry: Entry) -> Receipt:
    others = tuple(each for each in receipt.entries if each.path != entry.path)
    return replace(receipt, entries=(*others, entry))


def to_uninstall(
    receipt: Receipt,
    *,
    parts: Collection[str],
    purge: bool,
    disk: Disk,
) -> Changes:
    """Return what takes these parts away again, and what is then left to remember."""
    steps: list[Write | Remove] = []
    notes: list[str] = []
    leaving = [each for each in receipt.entries if each.part in parts]
    for entry in reversed(leaving):
        step = _uninstalling(entry, disk=disk)
        if step is not None and step.question and entry.part == Part.CONFIGURATION:
            # What a person wrote is not thrown away with the program that reads it.
            does = "removes it too" if isinstance(step, Remove) else "puts back what was before"
            step = replace(step, question="") if purge else None
            if step is None:
                notes.append(f"{entry.path} was edited and is kept; --purge {does}")
        if step is not None:
            steps.append(step)
    kept = tuple(each for each in receipt.entries if each.part not in parts)
    folders = tuple(RemoveFolder(Path(each)) for each in reversed(receipt.folders))
    left = replace(receipt, entries=kept, folders=receipt.folders if kept else ())
    return Changes((*steps, *folders), left, tuple(notes))


def _uninstalling(entry: Entry, *, disk: Disk) -> Write | Remove | None:
    path = disk.locate(Path(entry.path))
    found = disk.read(path)
    if found is None or found == entry.before:
        return None
    if entry.kind == "whole":
        question = _objection(path, found, known=entry)
        if entry.before is not None:
            return Write(path, entry.before, found, "as it was before", question=question)
        return Remove(path, found, "installed", question)
    with _named(path):
        left = without_block(found)
    if not left and not entry.existed:
        return Remove(path, found, "made for our lines alone")
    if left == found:
        return None
    return Write(path, left, found, "without our lines")
