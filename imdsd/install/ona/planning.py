"""How the changes of a repository become steps; what was done there, the files themselves tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsd.install.plan import Plan, Remove, RemoveFolder, Write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imdsd.install.ona.repository import Change
    from imdsd.install.plan import Step

_NEXT = (
    "commit what is written; new environments have it, others once their dev container is rebuilt"
)
_GONE = (
    "commit the change; new environments are without it, others once their dev container is rebuilt"
)
_REASONS = {
    "automations.yaml": "a service that starts the daemon with every environment",
    "devcontainer.json": "imdsd in the container, and variables that lead every SDK to it",
}


def plan_of(changes: Iterable[Change], *, removal: bool = False) -> Plan:
    """Return the steps that make the changes; nothing about them is noted elsewhere."""
    changes = tuple(changes)
    notes = [each.remark for each in changes if each.remark]
    if changes:
        notes.append(_GONE if removal else _NEXT)
    return Plan(tuple(_steps(changes)), receipt=None, notes=tuple(notes))


def _steps(changes: Iterable[Change]) -> Iterator[Step]:
    for each in changes:
        reason = _REASONS.get(each.path.name, _REASONS["devcontainer.json"])
        if each.after is not None:
            yield Write(each.path, each.after, each.before, reason)
        elif each.before is not None:
            yield Remove(each.path, each.before, f"it held nothing but {reason}")
            yield RemoveFolder(each.path.parent, "made for that file")
