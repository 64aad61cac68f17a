"""Tracebacks: enough to find a defect, and nothing of what was in the values."""

from __future__ import annotations

import errno

import pytest

from imdsd.telemetry.tracebacks import told

CANARY = "canary-" + "6b0d4f19a7"


def caught(make):
    try:
        make()
    except BaseException as error:  # noqa: BLE001
        return error
    raise AssertionError("nothing was raised")


def plain():
    raise KeyError(CANARY)


def noted():
    error = KeyError("x")
    error.add_note(CANARY)
    raise error


def behind_another():
    try:
        plain()
    except KeyError:
        raise ValueError(CANARY)  # noqa: B904


def from_another():
    try:
        plain()
    except KeyError as error:
        raise ValueError(CANARY) from error


def in_a_group():
    raise ExceptionGroup(CANARY, [caught(from_another), caught(plain)])


@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (plain, ["KeyError"]),
        (noted, ["KeyError"]),
        (behind_another, ["KeyError", "ValueError"]),
        (from_another, ["KeyError", "ValueError"]),
        (in_a_group, ["ExceptionGroup", "KeyError", "ValueError", "KeyError"]),
    ],
)
def test_every_exception_is_named_by_its_kind_in_the_order_it_came(make, kinds):
    text = told(caught(make))
    lines = [line for line in text.splitlines() if line[0].isupper() and "Trace" not in line]
    assert lines == kinds
    assert f"in {make.__name__}" in text
    assert CANARY not in text


def test_a_cause_that_was_put_away_is_not_shown():
    def put_away():
        try:
            plain()
        except KeyError:
            raise ValueError("x") from None

    assert "KeyError" not in told(caught(put_away))


def test_exceptions_that_are_each_others_cause_come_to_an_end():
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    assert told(first).count("Traceback") == 2


def test_what_the_system_says_is_shown_by_its_number():
    error = OSError(errno.ENOSPC, CANARY, f"/{CANARY}")
    assert told(error).endswith("OSError: No space left on device")
