"""Whether an editor here forwards the daemon's port to somebody's own machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsd.doctor.finding import Diagnosis, Level, Step
from imdsd.doctor.machine.files import is_there
from imdsd.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from imdsd.doctor.finding import Finding

_STEP = Step.EDITORS
_MOST_BYTES = 256 * 1024
_PLACES = (".devcontainer/devcontainer.json", ".devcontainer.json")

NONE = Diagnosis(_STEP, Level.OK, "none", "nothing in the variables speaks of a remote editor")
IGNORED = Diagnosis(_STEP, Level.OK, "ignored", "devcontainer.json says not to forward the port")
FORWARDS = Diagnosis(
    _STEP,
    Level.WARNING,
    "forwards",
    "a remote editor runs here, and may forward the port to the machine it is shown on: every "
    "program and page there would be taken for this user",
    'write "portsAttributes": {{"{port}": {{"onAutoForward": "ignore"}}}} into devcontainer.json '
    "(`imdsd install --ona` does), or remote.autoForwardPorts false into the editor's settings",
)

_SIGNS = (
    ("CODESPACES", "GitHub Codespaces"),
    ("REMOTE_CONTAINERS", "a dev container of VS Code"),
    ("GITPOD_ENVIRONMENT_ID", "Ona"),
    ("GITPOD_WORKSPACE_ID", "Gitpod"),
    ("VSCODE_IPC_HOOK_CLI", "VS Code"),
    ("VSCODE_AGENT_FOLDER", "VS Code"),
    ("CURSOR_AGENT", "Cursor"),
    ("JETBRAINS_REMOTE_RUN", "a JetBrains IDE"),
)
_PROGRAM = ("vscode", "VS Code")


def judge_editors(environ: Mapping[str, str], *, folder: Path, port: int) -> Iterator[Finding]:
    """Name the editor, if any, and say whether a devcontainer.json above `folder` stops it."""
    editor = next((name for sign, name in _SIGNS if environ.get(sign)), None)
    if editor is None and environ.get("TERM_PROGRAM") == _PROGRAM[0]:
        editor = _PROGRAM[1]
    if editor is None:
        yield NONE("no sign of an editor that forwards ports")
        return
    seen = _devcontainer(folder)
    if seen is not None and _ignores(seen, port):
        yield IGNORED(f"{editor}; {seen} says to ignore port {port}", editor=editor)
        return
    where = f"{seen} does not say to ignore" if seen else "no devcontainer.json says to ignore"
    yield FORWARDS(f"{editor} runs here, and {where} port {port}", editor=editor, port=port)


def _devcontainer(folder: Path) -> Path | None:
    for place in (folder, *folder.parents):
        for name in _PLACES:
            if is_there(place / name):
                return place / name
        if is_there(place / ".git"):
            return None
    return None


def _ignores(path: Path, port: int) -> bool:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return False
    from imdsd.install.ona.jsonc import parse  # noqa: PLC0415  # its package knows YAML too

    try:
        document = parse(text, source=str(path)).value
    except ConfigurationError:
        return False
    ports = _member(document, "portsAttributes")
    attributes = (
        _member(ports, str(port)),
        _member(ports, f"localhost:{port}"),
        _member(document, "otherPortsAttributes"),
    )
    named = next((each for each in attributes if each is not None), None)
    return _member(named, "onAutoForward") == "ignore"


def _member(document: object, name: str) -> object:
    return document.get(name) if isinstance(document, dict) else None
