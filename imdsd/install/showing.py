"""The only module that knows how a plan is shown before anything is done."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from imdsd.install.carrying import summary
from imdsd.install.plan import Remove, RemoveFolder, Run, Write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imdsd.install.plan import Plan, Step


def shown(plan: Plan) -> Iterator[str]:
    """Return the lines that show every step: each file with its content or its changes."""
    for step in plan.steps:
        yield summary(step)
        yield from (f"    {line}" for line in _details(step))
        if isinstance(step, Write | Remove) and step.question:
            yield f"    asked first: {step.question}"


def _details(step: Step) -> Iterator[str]:
    match step:
        case Write(before=None):
            yield f"mode {step.mode:04o}"
            yield from _lines(step.content)
        case Write():
            assert step.before is not None  # noqa: S101  # the case above took the others
            yield from difflib.unified_diff(
                _lines(step.before), _lines(step.content), "before", "after", lineterm="", n=2
            )
        case Remove() | RemoveFolder() | Run():
            return


def _lines(content: bytes) -> list[str]:
    # What is no text is shown as what it is: a terminal must not be driven by a file.
    text = content.decode(errors="backslashreplace")
    return ["".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in line)
            for line in text.splitlines()]  # fmt: skip
