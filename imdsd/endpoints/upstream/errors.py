"""Why upstream gave no answer, in words for a person."""

from __future__ import annotations

from enum import Enum, auto

from imdsd.errors import ImdsdError


class Fault(Enum):
    """What one fault says of upstream as a whole."""

    GONE = auto()
    """Nobody is there, or asks to be left alone."""
    SILENT = auto()
    """No answer for this path; more such paths mean that nobody is there."""
    ODD = auto()
    """An answer, though none that can be served."""


class UpstreamUnavailableError(ImdsdError):
    """Upstream gave no answer that can be served.

    `reason` is one line without any value of upstream, `remedy` says what to do.
    """

    def __init__(self, reason: str, *, remedy: str, fault: Fault) -> None:
        self.reason = reason
        self.remedy = remedy
        self.fault = fault
        super().__init__(f"{reason}; {remedy}")
