"""What a target is, and what every error that may come out of one has to look like."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis.strategies import SearchStrategy

from imdsd.errors import ConfigurationError, RefreshError

CRASHES = Path(__file__).parent / "crashes"
"""The cases that once broke something, a folder for each target."""

SHARES = {
    "requests": 12,
    "claims": 22,
    "imds_tokens": 26,
    "configuration": 6,
    "sts_answers": 5,
    "token_shape": 10,
    "session_names": 8,
    "daemon_record": 5,
    "upstream_listings": 4,
    "credentials_file": 1,
    "ona_files": 1,
}
"""Every target, and how many of a hundred cases it gets."""

_MOST_CHARACTERS = 500
_MOST_PROBLEM_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Target:
    """One way in: `check` raises for a case, any bytes at all, that breaks a promise.

    `cases` makes input that is well-formed but for what is wrong with it; `seeds` are where
    mutation begins.
    """

    check: Callable[[bytes], None]
    cases: SearchStrategy[bytes]
    seeds: tuple[bytes, ...]
    longest: int = 4096


def load(name: str) -> Target:
    """Import a target by its name: a module of this package, or the full name of another."""
    module = f"tests.fuzz.targets.{name}" if name in SHARES else name
    found = importlib.import_module(module).TARGET
    assert isinstance(found, Target)
    return found


def kept(name: str) -> tuple[bytes, ...]:
    """Return the cases that once broke a target."""
    return tuple(path.read_bytes() for path in sorted(CRASHES.glob(f"{name}/*")))


def assert_fit_for_a_person(error: RefreshError) -> None:
    """Hold an error against what errors.py promises: short printable lines, no quoting cause."""
    for text in (error.reason, error.remedy):
        assert len(text) <= _MOST_CHARACTERS, len(text)
        assert text.isprintable(), repr(text)
    assert error.reason
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__


def assert_hides(secret: str, *texts: str) -> None:
    """Hold that none of the texts has the secret in it."""
    assert not any(secret in text for text in texts), "a secret stands in a message"


def assert_diagnoses(error: ConfigurationError) -> None:
    """Hold that every problem says where, what was found and what was expected, in short lines."""
    assert error.problems
    for problem in error.problems:
        assert problem.source
        assert problem.key
        assert problem.found
        assert problem.expected
        assert len(str(problem)) <= _MOST_PROBLEM_CHARACTERS, len(str(problem))
        assert str(problem).isprintable(), repr(str(problem))
