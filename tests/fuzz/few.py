"""A target that has but a few cases, to show that a run of fewer than promised is no success."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.fuzz.target import Target

TARGET = Target(lambda _data: None, cases=st.sampled_from((b"a", b"b")), seeds=(b"a",))
