"""The only module that splices YAML: where a mapping can be added to, and how lines are cut."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml

from imdsd.install.ona.yaml_reading import Pair, pairs_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def newline_of(text: str) -> str:
    """Return how a text ends its lines."""
    return "\r\n" if "\r\n" in text else "\n"


def append(text: str, words: Mapping[str, object]) -> str:
    """Return a text that says nothing yet, and then these words."""
    return _insert(text, len(text), _block(words, 0, newline_of(text)))


def additions(
    text: str, mapping: yaml.Node, words: Mapping[str, object], *, key: yaml.Node | None
) -> Iterator[str]:
    """Give texts that have words added to a mapping, the most natural first.

    Not each is right for every layout: whoever asks must see what they say. `key` is that of the
    mapping; None for the whole file.
    """
    pairs = pairs_of(mapping)
    if not pairs:
        yield from _in_place_of_nothing(text, mapping, words, key)
        return
    if _in_flow(mapping):
        point = pairs[0][0].start_mark.index
        yield f"{text[:point]}{json.dumps(words)[1:-1]}, {text[point:]}"
        return
    column = pairs[0][0].start_mark.column
    block = _block(words, column, newline_of(text))
    yield _insert(text, _past_comments(text, _after(text, pairs[-1][1]), column), block)
    yield _insert(text, line_start(text, pairs[0][0].start_mark.index), block)


def without(text: str, owner: yaml.Node, pair: Pair) -> str:
    """Return the text without a key of a mapping, and its value; comments stay."""
    key, value = pair
    if _in_flow(owner):
        return _without_in_flow(text, owner, pair)
    return text[: line_start(text, key.start_mark.index)] + text[_after(text, value) :]


def line_start(text: str, point: int) -> int:
    """Return where the line of a position begins."""
    start = text.rfind("\n", 0, point) + 1
    return start + 1 if text.startswith("\ufeff") and start == 0 else start


def _in_place_of_nothing(
    text: str, mapping: yaml.Node, words: Mapping[str, object], key: yaml.Node | None
) -> Iterator[str]:
    """Give texts in which words stand where nothing stood, or `{}`, or `null`."""
    column = key.start_mark.column + 2 if key is not None else 0
    block = _block(words, column, newline_of(text))
    end = mapping.end_mark.index
    # Behind the colon; without a key, where the file says `{}`, instead of it.
    start = mapping.start_mark.index if key is None else text.index(":", key.end_mark.index) + 1
    head, tail = text[:start], text[max(start, end) :]
    if key is None and head[line_start(text, start) :].strip(" \ufeff"):
        head = head.rstrip(" ") + newline_of(text)
    rest_of_line, line_break, further = tail.partition("\n")
    if rest_of_line.strip(" \r") or key is not None:
        yield head + rest_of_line + (line_break or newline_of(text)) + block + further
    yield head + block + further
    yield f"{head} {json.dumps(words)}{tail}"


def _in_flow(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and bool(node.flow_style)


def _without_in_flow(text: str, owner: yaml.Node, pair: Pair) -> str:
    pairs = pairs_of(owner)
    place = pairs.index(pair)
    if len(pairs) == 1:
        return text[: owner.start_mark.index + 1] + text[owner.end_mark.index - 1 :]
    if place + 1 < len(pairs):
        start, end = pair[0].start_mark.index, pairs[place + 1][0].start_mark.index
    else:
        start, end = pairs[place - 1][1].end_mark.index, pair[1].end_mark.index
    return text[:start] + text[end:]


def _insert(text: str, point: int, block: str) -> str:
    before = text[:point]
    if before.strip("\ufeff ") and not before.endswith("\n"):
        before += newline_of(text)
    return before + block + text[point:]


def _block(words: Mapping[str, object], column: int, newline: str) -> str:
    lines = [" " * column + line for line in _lines(words)]
    return newline.join([*lines, ""])


def _lines(words: Mapping[str, object]) -> Iterator[str]:
    """Give the lines of a mapping as a person writes them."""
    for name, value in words.items():
        if isinstance(value, dict):
            yield f"{name}:"
            yield from (f"  {line}" for line in _lines(value))
        elif isinstance(value, list):
            yield f"{name}:"
            yield from (f"  - {each}" for each in value)
        elif "\n" in str(value):
            yield f"{name}: |"
            yield from (f"  {line}" for line in str(value).splitlines())
        else:
            yield f"{name}: {value}"


def _after(text: str, value: yaml.Node) -> int:
    """Return where the line after a value begins."""
    last = value
    while isinstance(last, yaml.CollectionNode) and last.value and not last.flow_style:
        last = last.value[-1][1] if isinstance(last, yaml.MappingNode) else last.value[-1]
    end = int(last.end_mark.index)
    if not (isinstance(last, yaml.ScalarNode) and last.style in ("|", ">")):
        return _line_end(text, end)
    # The mark of a block scalar stands behind the empty lines that follow it.
    end = line_start(text, end) if end < len(text) or text.endswith("\n") else end
    while (before := text[line_start(text, end - 1) : end]) and not before.strip():
        end = line_start(text, end - 1)
    return end


def _past_comments(text: str, point: int, column: int) -> int:
    """Return where the comments end that follow and are indented as part of what is before."""
    reached = point
    while reached < len(text):
        line = text[reached : _line_end(text, reached)]
        stripped = line.lstrip(" ")
        reached = _line_end(text, reached)
        if stripped.startswith("#") and len(line) - len(stripped) >= max(column, 1):
            point = reached
        elif stripped.strip():
            break
    return point


def _line_end(text: str, point: int) -> int:
    end = text.find("\n", point)
    return len(text) if end < 0 else end + 1
