"""Strategies that several targets share: documents with odd values, and bytes that were edited."""

from __future__ import annotations

import json
from collections.abc import Mapping

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

_ODD_NUMBERS = (0, -1, 1, 900, 2**31, 2**63, -(2**63), 10**18, 10**400, 1e308, -0.0, 1.5)
_ODD_TEXTS = (
    "", " ", "\0", "\n", "\x1b[2J", "\ud800", "\udcff", "\u202e", "\U0010ffff", "é", "null", "{}",
    "x" * 700, "../..", "%00", "a\u2028b",
)  # fmt: skip
# What Python's reader takes and JSON does not have, and what is too deep or too long for it.
_PIECES = (b"", b"\x00", b"\xff", b"\xc3\xa9", b"\r\n", b"\n", b'"', b"[", b"{", b"=", b":", b" ")
_RAW = (b"NaN", b"-Infinity", b"1e999", b"[" * 20000, b'{"a":' * 3000, b"9" * 5000, b"")


_ODD_VALUES: tuple[object, ...] = (
    *_ODD_NUMBERS, *_ODD_TEXTS, float("nan"), float("inf"), True, False, None,
    [], {}, [[]], [""], [None], ["a", 7], {"": {}}, {"a": [True]}, ["x"] * 300, {"a": {"b": {"c": 1}}},
)  # fmt: skip


def odd_texts() -> SearchStrategy[str]:
    """Return texts that are likely not what stands there usually."""
    return st.one_of(st.sampled_from(_ODD_TEXTS), st.text(max_size=8))


def odd_values() -> SearchStrategy[object]:
    """Return what JSON can hold; from a list, since drawing them deeply takes milliseconds."""
    return st.one_of(st.sampled_from(_ODD_VALUES), st.integers(), st.text(max_size=8))


def json_documents(usual: Mapping[str, object]) -> SearchStrategy[bytes]:
    """Return a usual object with some members replaced, left out, added, said twice, or raw."""
    names = sorted(usual)
    return st.builds(
        _json_document,
        st.just(usual),
        st.lists(st.tuples(st.sampled_from([*names, "more"]), odd_values()), max_size=3),
        st.lists(st.sampled_from(names), max_size=1),
        st.booleans(),
        st.one_of(st.none(), st.none(), st.tuples(st.sampled_from(names), st.sampled_from(_RAW))),
    )


def _json_document(
    usual: Mapping[str, object],
    replaced: list[tuple[str, object]],
    left_out: list[str],
    escaped: bool,
    raw: tuple[str, bytes] | None,
) -> bytes:
    document = {**usual, **dict(replaced)}
    kept = {name: value for name, value in document.items() if name not in left_out}
    encoded = json.dumps(kept, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    if raw is None:
        return encoded
    name, value = raw
    return encoded[:-1] + b", " + json.dumps(name).encode() + b": " + value + b"}"


def spoiled(whole: SearchStrategy[bytes]) -> SearchStrategy[bytes]:
    """Return such bytes after up to three edits."""
    return st.builds(_edited, whole, st.lists(_edits(), min_size=1, max_size=3))


def _edits() -> SearchStrategy[tuple[int, int, bytes]]:
    """Return where to cut, how much, and what to put there instead."""
    return st.tuples(
        st.integers(0, 4000),
        st.sampled_from((0, 0, 1, 1, 2, 5, 30, 4000)),
        st.one_of(st.binary(max_size=4), st.sampled_from(_PIECES)),
    )


def _edited(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for place, length, instead in edits:
        start = place % (len(data) + 1)
        data = data[:start] + instead + data[start + length :]
    return data
