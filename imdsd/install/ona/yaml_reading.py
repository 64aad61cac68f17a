"""The only module that reads YAML: where its parts stand, what they say, and what is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml

from imdsd.errors import ConfigurationError, Problem, tidy

if TYPE_CHECKING:
    from collections.abc import Hashable

NULL = "tag:yaml.org,2002:null"
STRING = "tag:yaml.org,2002:str"
MAPPING = "tag:yaml.org,2002:map"
Pair = tuple[yaml.Node, yaml.Node]
# A file of the most bytes that are read has fewer without aliases.
_MOST_NODES = 1_100_000


def read_root(text: str, source: str) -> yaml.Node | None:
    """Return the mapping that a file is; None for one that says nothing.

    Raises ConfigurationError, with the line, when it is no YAML or something else.
    """
    try:
        found = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_boundless(found, source)
    except yaml.YAMLError as error:
        raise _broken(source, text, error) from None
    except RecursionError:
        raise refusal(
            source, None, key="YAML", found="too many levels", expected="a mapping"
        ) from None
    if found is None or is_nothing(found):
        return None
    if not isinstance(found, yaml.MappingNode):
        raise refusal(source, found, key="the file", found=kind_of(found), expected="a mapping")
    return found


def _refuse_boundless(root: yaml.Node | None, source: str) -> None:
    """Raise for aliases that hold themselves, or multiply beyond what a person writes."""
    waiting, seen = [root], 0
    while waiting:
        node = waiting.pop()
        seen += 1
        if seen > _MOST_NODES:
            found, expected = f"more than {_MOST_NODES} values by aliases", "fewer"
            raise refusal(source, root, key="YAML", found=found, expected=expected)
        if isinstance(node, yaml.MappingNode):
            waiting += (each for pair in node.value for each in pair)
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def pairs_of(node: yaml.Node | None) -> list[Pair]:
    """Return the keys of a mapping and their values; of anything else none."""
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def find_pair(node: yaml.Node | None, name: str, source: str) -> Pair | None:
    """Return a key and its value, which must be a mapping or nothing; None for no such key."""
    found = [pair for pair in pairs_of(node) if pair[0].value == name and pair[0].tag == STRING]
    if not found:
        return None
    key, value = found[-1]
    if len(found) > 1:
        raise refusal(source, key, key=name, found="it twice", expected="it once")
    if not isinstance(value, yaml.MappingNode) and value.tag != NULL:
        raise refusal(source, key, key=name, found=kind_of(value), expected="a mapping")
    return key, value


def scalar_at(node: yaml.Node, *path: str) -> str | None:
    """Return the scalar at the end of a path of keys, if there is one."""
    for name in path:
        found = next((value for key, value in pairs_of(node) if key.value == name), None)
        if found is None:
            return None
        node = found
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None


def is_nothing(node: yaml.Node) -> bool:
    """Whether a value is a null that is not written out."""
    return bool(node.tag == NULL and node.start_mark.index == node.end_mark.index)


def kind_of(node: yaml.Node) -> str:
    """Return what a node is, for a message."""
    if isinstance(node, yaml.CollectionNode):
        return "a mapping" if isinstance(node, yaml.MappingNode) else "a list"
    return "null" if node.tag == NULL else tidy(repr(node.value), most=80)


def shape(node: yaml.Node | None) -> Hashable:
    """Return what a node says, whatever its layout and the order of its keys."""
    if node is None:
        return NULL, ""
    if isinstance(node, yaml.MappingNode):
        return node.tag, frozenset((shape(key), shape(value)) for key, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return node.tag, tuple(shape(each) for each in node.value)
    return node.tag, node.value


def shape_of_text(text: str) -> Hashable:
    """Return what a text says; None where it says nothing that can be read."""
    try:
        return shape(read_root(text, ""))
    except ConfigurationError:
        return None


def shape_of(value: object) -> Hashable:
    """Return what a text with this value would say; JSON is YAML."""
    return shape(yaml.compose(json.dumps(value), Loader=yaml.SafeLoader))


def refusal(
    source: str,
    node: yaml.Node | None,
    *,
    key: str,
    found: str,
    expected: str,
    hint: str = "nothing was changed",
) -> ConfigurationError:
    """Return what to raise about a node, with its line."""
    line = node.start_mark.line + 1 if node is not None else 1
    return ConfigurationError((Problem(f"{source}:{line}", key, found, expected, hint),))


def _broken(source: str, text: str, error: yaml.YAMLError) -> ConfigurationError:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0)) + 1
    found = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    found = f"a syntax error ({found})"
    problem = Problem(
        f"{source}:{line}", "YAML", tidy(found), "YAML of one document", "nothing was changed"
    )
    return ConfigurationError((problem,))
