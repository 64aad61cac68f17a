"""The only module that carries steps out, and says how far it came."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from imdsd.errors import InstallError, tidy
from imdsd.install.disk.receipts import from_json, to_json
from imdsd.install.plan import Receipt, Remove, RemoveFolder, Run, Write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from imdsd.install.disk.files import Disk
    from imdsd.install.plan import Plan, Step

# The receipt holds what stood in files that were replaced; they may have been private.
_PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended, and what it said."""

    code: int
    text: str = ""


class Runner(Protocol):
    """Runs a command to its end; a command that cannot be started ends with 127."""

    def __call__(self, argv: Sequence[str]) -> Outcome:
        """Run it."""
        ...


@dataclass(frozen=True, slots=True)
class Worker:
    """Who carries a plan out; `folder_mode` is for folders that have to be made.

    `tell` is told each step that is done, and what a person should know.
    """

    disk: Disk
    run: Runner
    receipt: Path
    tell: Callable[[str], None]
    folder_mode: int = 0o755

    def read_receipt(self) -> Receipt:
        """Return what the last installation noted; an empty one where there was none."""
        content = self.disk.read(self.disk.locate(self.receipt))
        return Receipt() if content is None else from_json(content, source=self.receipt)

    def carry_out(self, plan: Plan) -> None:
        """Do all steps; raises InstallError that says what failed, and what is done by then."""
        done: list[Step] = []
        receipt = plan.receipt
        try:
            if receipt is not None and not plan.removal:
                receipt = self._with_own_folders(receipt)
                if plan.steps:
                    self._write_receipt(replace(receipt, unfinished=True))
            for step in plan.steps:
                self._do(step)
                done.append(step)
            if plan.removal:
                self._forget(plan)
            elif receipt is not None:
                self._write_receipt(receipt)
        except InstallError as error:
            raise InstallError(f"{error}\n{_how_far(done, plan)}") from error

    def _forget(self, plan: Plan) -> None:
        if plan.receipt is not None:
            self._write_receipt(plan.receipt)
            return
        self.disk.remove(self.disk.locate(self.receipt))
        for step in plan.steps:
            if isinstance(step, RemoveFolder):  # once more: the receipt's own was not empty before
                self.disk.remove_folder(step.path)

    def _with_own_folders(self, receipt: Receipt) -> Receipt:
        made = map(str, self.disk.missing_folders(self.disk.locate(self.receipt)))
        return replace(receipt, folders=tuple(dict.fromkeys((*receipt.folders, *made))))

    def _write_receipt(self, receipt: Receipt) -> None:
        path = self.disk.locate(self.receipt)
        self._make_folders(path)
        content = to_json(receipt)
        if self.disk.read(path) != content:
            self.disk.replace(path, content, mode=_PRIVATE)

    def _do(self, step: Step) -> None:
        match step:
            case Write():
                self._make_folders(step.path)
                self._refuse_changed(step)
                self.disk.replace(step.path, step.content, mode=step.mode)
            case Remove():
                self._refuse_changed(step)
                self.disk.remove(step.path)
            case RemoveFolder():
                self.disk.remove_folder(step.path)
                return
            case Run():
                self._run(step)
                return
        self.tell(summary(step))

    def _refuse_changed(self, step: Write | Remove) -> None:
        if self.disk.read(step.path) != step.before:
            raise InstallError(f"{step.path} changed in this moment; run it again")

    def _make_folders(self, path: Path) -> None:
        for each in self.disk.missing_folders(path):
            self.disk.make_folder(each, mode=self.folder_mode)

    def _run(self, step: Run) -> None:
        outcome = self.run(step.argv)
        if outcome.code in (0, *step.accepted):
            self.tell(summary(step))
            return
        words = shlex.join(step.argv)
        said = f": {tidy(outcome.text)}" if outcome.text.strip() else ""
        failure = f"`{words}` ended with {outcome.code}{said}"
        if not step.remedy:
            raise InstallError(failure)
        self.tell(f"warning: {failure}; {step.remedy}")


def summary(step: Step) -> str:
    """Return a step in one line."""
    match step:
        case Write(before=None):
            return f"write {step.path}: {step.reason}"
        case Write():
            return f"change {step.path}: {step.reason}"
        case Remove():
            return f"remove {step.path}: {step.reason}"
        case RemoveFolder():
            return f"remove {step.path}, if it is empty: {step.reason}"
        case Run():
            return f"run {shlex.join(step.argv)}: {step.reason}"


def _how_far(done: Sequence[Step], plan: Plan) -> str:
    if not done:
        return "Nothing was changed."
    lines = "\n".join(f"  {summary(step)}" for step in done)
    left = len(plan.steps) - len(done)
    return (
        f"Done before that:\n{lines}\n{left} more to do. Mend it and run the same again, which"
        " goes on from there; `imdsd uninstall` takes back what is done."
    )
