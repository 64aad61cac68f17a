"""The only module that knows where our service stands in an automations.yaml."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from imdsd.errors import tidy
from imdsd.install.ona.service import SERVICE, serves
from imdsd.install.ona.yaml_layout import additions, append, without
from imdsd.install.ona.yaml_reading import (
    MAPPING,
    NULL,
    STRING,
    Pair,
    find_pair,
    is_nothing,
    pairs_of,
    read_root,
    refusal,
    scalar_at,
    shape,
    shape_of,
    shape_of_text,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    import yaml

_SERVICES = "services"
_OURS = f"{_SERVICES}.{SERVICE}"


def with_service(text: str, service: Mapping[str, object], *, source: str) -> str:
    """Return the text of an automations.yaml with our service, everything else as it was.

    Raises ConfigurationError when it cannot be read, or has another service of that name.
    """
    root = read_root(text, source)
    services = find_pair(root, _SERVICES, source)
    present = find_pair(services[1], SERVICE, source) if services else None
    if present is not None:
        if shape(present[1]) == shape_of(service):
            return text
        raise _conflict(present, service, source)
    expected = _shape_with(root, services, service)
    for candidate in _candidates(text, root, services, service):
        if shape_of_text(candidate) == expected:
            return candidate
    found = "a layout that cannot be added to safely"
    wanted = f"this service: {json.dumps({SERVICE: service})}"
    hint = "nothing was changed: add it by hand"
    raise refusal(source, root, key=_SERVICES, found=found, expected=wanted, hint=hint)


def start_command(text: str, *, source: str) -> str | None:
    """Return the start command of our service; None where there is no service of ours.

    A service of that name that starts something else is not ours.
    """
    services = find_pair(read_root(text, source), _SERVICES, source)
    present = find_pair(services[1], SERVICE, source) if services else None
    start = scalar_at(present[1], "commands", "start") if present else None
    return start if start is not None and serves(start) else None


def without_service(text: str, *, source: str) -> str | None:
    """Return the text without our service; None where nothing else is left."""
    root = read_root(text, source)
    services = find_pair(root, _SERVICES, source)
    ours = find_pair(services[1], SERVICE, source) if services else None
    if root is None or services is None or ours is None:
        return text
    if start_command(text, source=source) is None:
        return text
    whole = len(pairs_of(services[1])) == 1 and _nothing_between(text, services[0], ours[0])
    left = without(text, root, services) if whole else without(text, services[1], ours)
    if shape_of_text(left) != _shape_without(root, services, whole=whole):
        found = "a layout that cannot be taken apart safely"
        hint = "nothing was changed: take it out by hand"
        raise refusal(source, ours[0], key=_OURS, found=found, expected="lines", hint=hint)
    return left if left.strip("\ufeff \t\r\n") else None


def _conflict(present: Pair, service: Mapping[str, object], source: str) -> Exception:
    start = scalar_at(present[1], "commands", "start")
    found = f"it with the start command {tidy(start, most=200)!r}" if start else "another service"
    commands = service["commands"]
    wanted = tidy(str(commands["start"])) if isinstance(commands, dict) else ""
    hint = "nothing was changed: `imdsd uninstall --ona` takes it out if it is ours"
    expected = f"ours, with {wanted!r}"
    return refusal(source, present[0], key=_OURS, found=found, expected=expected, hint=hint)


def _candidates(
    text: str, root: yaml.Node | None, services: Pair | None, service: Mapping[str, object]
) -> Iterator[str]:
    words = {SERVICE: service}
    if root is None:
        yield append(text, {_SERVICES: words})
    elif services is None:
        yield from additions(text, root, {_SERVICES: words}, key=None)
    else:
        yield from additions(text, services[1], words, key=services[0])


def _nothing_between(text: str, key: yaml.Node, first: yaml.Node) -> bool:
    """Whether no comment stands between a key and the first key in its value."""
    return "#" not in text[key.end_mark.index : first.start_mark.index]


def _shape_with(
    root: yaml.Node | None, services: Pair | None, service: Mapping[str, object]
) -> Hashable:
    there = _shapes(services[1] if services else None)
    added = ((STRING, SERVICE), shape_of(service))
    return _shape_around(root, (MAPPING, frozenset({*there, added})))


def _shape_without(root: yaml.Node, services: Pair, *, whole: bool) -> Hashable:
    if whole:
        return _shape_around(root, None)
    kept = frozenset(
        (shape(key), shape(value)) for key, value in pairs_of(services[1]) if key.value != SERVICE
    )
    in_flow = getattr(services[1], "flow_style", False)
    return _shape_around(root, (MAPPING, kept) if kept or in_flow else (NULL, ""))


def _shape_around(root: yaml.Node | None, services: Hashable) -> Hashable:
    others = {(shape(key), shape(value)) for key, value in pairs_of(root) if key.value != _SERVICES}
    if services is not None:
        others.add(((STRING, _SERVICES), services))
    in_flow = getattr(root, "flow_style", False)
    return (MAPPING, frozenset(others)) if others or in_flow else (NULL, "")


def _shapes(node: yaml.Node | None) -> set[Hashable]:
    if node is None or is_nothing(node):
        return set()
    return {(shape(key), shape(value)) for key, value in pairs_of(node)}
