"""Imports without what a library loads only because it is there."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def leaving_out(name: str) -> Iterator[None]:
    """Have imports in here find no module of this name, unless it is loaded already.

    A None in `sys.modules` is Python's way to say so (reference, 5.3.1, "The module cache").
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # typeshed has no None there
    try:
        yield
    finally:
        del sys.modules[name]
