"""The only module that knows where the parts of ours stand in a devcontainer.json."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from imdsd.errors import ConfigurationError, Problem
from imdsd.install.ona.jsonc import Jsonc, Member, parse, with_members, without_member
from imdsd.install.ona.service import (
    FIXED_VARIABLES,
    PORT,
    PORT_ATTRIBUTES,
    REGION_VARIABLES,
    installs,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE = "mcr.microsoft.com/devcontainers/python:3"
"""What a new file names, which must name something: it has pipx."""

_ENV, _PORTS = "containerEnv", "portsAttributes"
# In the order in which they run. All of the first two comes before anybody works in the container;
# of the third not (`waitFor`), so that the service could come before it.
_HOOKS = ("onCreateCommand", "updateContentCommand", "postCreateCommand")
_PART = "imdsd"


def with_imdsd(text: str, *, variables: Mapping[str, str], command: str | None, source: str) -> str:
    """Return the text of a devcontainer.json with our parts, everything else as it was.

    Raises ConfigurationError when it cannot be read, or says something else where we would write:
    then it names all such places.
    """
    if not text.strip("\ufeff \t\r\n"):
        text = f"{text.rstrip()}{json.dumps({'image': IMAGE}, indent=2)}\n"
    document = _read(text, source)
    wanted = {_ENV: variables, _PORTS: {PORT: PORT_ATTRIBUTES}}
    problems = [
        each
        for name in wanted
        for each in _problems(document, name, wanted=wanted[name], source=source)
    ]
    hook = _free_hook(document, command, source=source, problems=problems) if command else None
    if problems:
        raise ConfigurationError(tuple(problems))
    expected = _merged(document.value, wanted, hook)
    if hook:
        text = _with_part(text, hook, source=source)
    for name, values in wanted.items():
        text = _with_object(text, name, values=values, source=source)
    return _checked(text, expected, source=source)


def without_imdsd(text: str, *, region: str | None, source: str) -> str | None:
    """Return the text without our parts; None where nothing but our own new file is left.

    The variables of a region are ours if they follow the others and name the `region` that the
    service of ours is started with.
    """
    document = _read(text, source)
    for name in _our_variables(document, region):
        text = _without(text, _ENV, inner=name, source=source)
    if _inner(_read(text, source), _PORTS).get(PORT) == PORT_ATTRIBUTES:
        text = _without(text, _PORTS, inner=PORT, source=source)
    for hook in _HOOKS:
        value = _values(_read(text, source)).get(hook)
        if installs(value):
            text = without_member(document := _read(text, source), document.root, hook)
        elif isinstance(value, dict) and installs(value.get(_PART)):
            text = _without(text, hook, inner=_PART, source=source)
    left = _read(text, source)
    only_ours = left.value == {"image": IMAGE} and left.text.split() == left.bare.split()
    return None if only_ours else text


def _read(text: str, source: str) -> Jsonc:
    document = parse(text, source=source)
    if not isinstance(document.value, dict):
        raise ConfigurationError(
            (
                _problem(
                    f"{source}:{document.line(document.root)}",
                    "the file",
                    found=document.value,
                    expected="an object",
                ),
            )
        )
    counted = Counter(each.name for each in document.members(document.root))
    twice = next((each for each in document.members(document.root) if counted[each.name] > 1), None)
    if twice:
        at = f"{source}:{document.line(twice.start)}"
        raise ConfigurationError(
            (Problem(at, twice.name, "it twice", "it once", "nothing was changed"),)
        )
    return document


def _values(document: Jsonc) -> dict[str, object]:
    return document.value if isinstance(document.value, dict) else {}


def _inner(document: Jsonc, name: str) -> dict[str, object]:
    value = _values(document).get(name)
    return value if isinstance(value, dict) else {}


def _member(document: Jsonc, name: str) -> Member | None:
    return next((each for each in document.members(document.root) if each.name == name), None)


def _problems(
    document: Jsonc, name: str, *, wanted: Mapping[str, object], source: str
) -> list[Problem]:
    """Say where an object of the file has something else than what is wanted."""
    member = _member(document, name)
    if member is None:
        return []
    if not isinstance(member.value, dict):
        place = f"{source}:{document.line(member.start)}"
        return [_problem(place, name, found=member.value, expected="an object")]
    return [
        _problem(
            f"{source}:{document.line(inner.start)}",
            f"{name}.{inner.name}",
            found=inner.value,
            expected=wanted[inner.name],
        )
        for inner in document.members(member.at)
        if inner.name in wanted and inner.value != wanted[inner.name]
    ]


def _problem(place: str, key: str, *, found: object, expected: object) -> Problem:
    shown = expected if expected == "an object" else json.dumps(expected)
    return Problem(
        place,
        key,
        json.dumps(found),
        str(shown),
        "nothing was changed: see which of them you need",
    )


def _free_hook(
    document: Jsonc, command: str, *, source: str, problems: list[Problem]
) -> tuple[str, str] | None:
    """Return where the command goes, and the command; None where something installs imdsd.

    A command that stands there is never touched: another is put beside it where it is one of
    several by name, else another moment is taken.
    """
    values = _values(document)
    if any("imdsd" in json.dumps(values.get(hook, "")) for hook in _HOOKS):
        return None
    free = next((each for each in _HOOKS if isinstance(values.get(each, {}), dict)), None)
    if free is None:
        member = _member(document, _HOOKS[0])
        line = document.line(member.start) if member else 1
        expected = f"one that also runs: {command}"
        hint = f"so are {' and '.join(_HOOKS[1:])}; add it to one of them, nothing was changed"
        found = json.dumps(values[_HOOKS[0]])
        problems.append(Problem(f"{source}:{line}", _HOOKS[0], found, expected, hint))
        return None
    return free, command


def _merged(
    value: object, wanted: Mapping[str, Mapping[str, object]], hook: tuple[str, str] | None
) -> dict[str, object]:
    """Return what the file must say in the end."""
    merged = dict(value) if isinstance(value, dict) else {}
    if hook:
        name, command = hook
        merged[name] = {**merged[name], _PART: command} if name in merged else command
    for name, values in wanted.items():
        merged[name] = {**merged.get(name, {}), **values}
    return merged


def _with_part(text: str, hook: tuple[str, str], *, source: str) -> str:
    name, command = hook
    document = _read(text, source)
    member = _member(document, name)
    if member is None:
        return with_members(document, document.root, {name: command})
    return with_members(document, member.at, {_PART: command})


def _with_object(text: str, name: str, *, values: Mapping[str, object], source: str) -> str:
    document = _read(text, source)
    member = _member(document, name)
    if member is None:
        return with_members(document, document.root, {name: values})
    present = {each.name for each in document.members(member.at)}
    missing = {key: value for key, value in values.items() if key not in present}
    return with_members(document, member.at, missing) if missing else text


def _our_variables(document: Jsonc, region: str | None) -> list[str]:
    member = _member(document, _ENV)
    if member is None or not isinstance(member.value, dict):
        return []
    ours, follows = [], False
    for each in document.members(member.at):
        fixed = (each.name, each.value) in FIXED_VARIABLES.items()
        regional = follows and each.name in REGION_VARIABLES and each.value == region
        follows = fixed or regional
        if follows:
            ours.append(each.name)
    return ours


def _without(text: str, name: str, *, inner: str, source: str) -> str:
    """Take a part out of an object of the file, and the object if it was all there was."""
    document = _read(text, source)
    member = _member(document, name)
    if member is None:
        return text
    text = without_member(document, member.at, inner)
    document = _read(text, source)
    member = _member(document, name)
    emptied = member is not None and document.text[member.at : member.end] == "{}"
    return without_member(document, document.root, name) if emptied else text


def _checked(text: str, expected: dict[str, object], *, source: str) -> str:
    """Return the text if it says what it must: a guard against a layout nobody thought of."""
    if parse(text, source=source).value != expected:
        raise ConfigurationError(
            (
                Problem(
                    source,
                    "its layout",
                    "one that cannot be added to safely",
                    f"these members: {json.dumps(expected)}",
                    "nothing was changed: add them by hand",
                ),
            )
        )
    return text
