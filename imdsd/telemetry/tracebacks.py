"""What may be shown of an exception: its kind and where it came from, not what it says."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def told(error: BaseException) -> str:
    """Return a traceback without the texts of exceptions: they may quote what broke, a token."""
    return "".join(_lines(error, frozenset())).rstrip()


def _lines(error: BaseException, known: frozenset[int]) -> Iterator[str]:
    known |= {id(error)}
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in known:
        yield from _lines(cause, known)
        yield "then:\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{_kind(error)}\n"
    if isinstance(error, BaseExceptionGroup):
        for number, each in enumerate(error.exceptions, 1):
            yield f"of these, {number}:\n"
            yield from _lines(each, known)


def _kind(error: BaseException) -> str:
    name = type(error).__name__
    number = getattr(error, "errno", None)
    return f"{name}: {os.strerror(number)}" if isinstance(number, int) else name
