"""A target with a bug in it, to show that both engines find one."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.fuzz.target import Target


def check(data: bytes) -> None:
    """Break on every case that is longer than two bytes and ends in an exclamation mark."""
    assert len(data) <= 2 or not data.endswith(b"!"), "the planted bug"


TARGET = Target(check, cases=st.text("ab!", max_size=6).map(str.encode), seeds=(b"hallo!"[:5],))
