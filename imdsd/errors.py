"""Everything that can go wrong, one tree: attributes first, text derived from them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Stage(StrEnum):
    """Where a refresh failed."""

    MINT = "mint"
    CHECK = "check"
    EXCHANGE = "exchange"
    PUBLISH = "publish"


class Retry(StrEnum):
    """How long a failure is worth retrying without a person (docs/refresh.md)."""

    ALWAYS = "always"
    LIMITED = "limited"
    NEVER = "never"


class ImdsdError(Exception):
    """Root of every error this project raises; its text is fit for a person."""


def tidy(text: str, *, most: int = 500) -> str:
    """Return text that may be foreign as one printable line of at most `most` characters."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(printable.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the most similar of the words, for an error to name; None if none is similar."""
    import difflib  # noqa: PLC0415  # only on the way out

    matches = difflib.get_close_matches(word, list(words), n=1)
    return matches[0] if matches else None


class RefreshError(ImdsdError):
    """One stage of a refresh failed.

    `reason` is one line of at most 500 characters, the useful sentence first, free of secrets;
    `remedy` says what to do; `throttled` that too many ask, so that asking sooner makes it worse.
    """

    stage = Stage.MINT
    code = "RefreshFailed"

    def __init__(
        self,
        reason: str,
        *,
        remedy: str = "",
        retry: Retry = Retry.ALWAYS,
        retry_after_seconds: float | None = None,
        throttled: bool = False,
        code: str | None = None,
        stage: Stage | None = None,
    ) -> None:
        self.stage = stage or type(self).stage
        self.reason = tidy(reason)
        self.remedy = tidy(remedy)
        self.retry = retry
        self.retry_after_seconds = retry_after_seconds
        self.throttled = throttled
        self.code = code or type(self).code
        super().__init__(f"{self.reason}; {self.remedy}" if self.remedy else self.reason)

    @property
    def retryable(self) -> bool:
        """Whether another try without a person may succeed."""
        return self.retry is not Retry.NEVER


class MintError(RefreshError):
    """The token source gave no web identity token."""

    stage = Stage.MINT
    code = "MintFailed"


class ClaimsError(RefreshError):
    """A web identity token that STS would surely refuse; carries what was found and expected."""

    stage = Stage.CHECK
    code = "TokenRefused"

    def __init__(self, claim: str, *, found: str, expected: str, remedy: str = "") -> None:
        self.claim = claim
        # A token may say anything, at any length; what was expected must fit beside it.
        self.found = tidy(found, most=200)
        self.expected = expected
        super().__init__(f"{claim} is {self.found}, expected {expected}", remedy=remedy)


class ExchangeError(RefreshError):
    """STS refused the web identity token, or could not be asked."""

    stage = Stage.EXCHANGE
    code = "ExchangeFailed"


class DurationRefusedError(ExchangeError):
    """STS says the session is longer than the role's MaxSessionDuration allows."""


class PublishError(RefreshError):
    """STS answered, but with something that must not be served."""

    stage = Stage.PUBLISH
    code = "PublishRefused"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration: where it stands, what was found and expected."""

    source: str
    key: str
    found: str
    expected: str
    hint: str = ""

    def __post_init__(self) -> None:
        # Its owner may call a key anything: nothing, a screenful, what a terminal obeys.
        object.__setattr__(self, "key", tidy(self.key, most=200) or "''")

    def __str__(self) -> str:
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.source}: {self.key}: found {self.found}, expected {self.expected}{hint}"


class ConfigurationError(ImdsdError):
    """The configuration cannot be used; carries every problem, not only the first."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class RuntimeDirectoryError(ImdsdError):
    """A run-time directory cannot be used: absent, of another owner, or open to others."""


class NoRoomError(RuntimeDirectoryError):
    """A file of the run-time directory finds no room on its disk, which may pass."""


class CredentialsFileError(ImdsdError):
    """A file of AWS credentials was not written, and is as it was; `remedy` says what to do."""

    def __init__(self, reason: str, *, remedy: str) -> None:
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{reason}; {remedy}")


class AlreadyRunningError(ImdsdError):
    """Another daemon holds the lock on the run-time directory."""


class ListenError(ImdsdError):
    """A listener could not be opened."""


class InstallError(ImdsdError):
    """An installation cannot be made or taken back as it is asked for."""


class NoDaemonError(ImdsdError):
    """No daemon of ours is reachable (exit code 3)."""


class NoCredentialsError(ImdsdError):
    """The daemon holds no credentials that can be served (exit code 4)."""


class UsageError(ImdsdError):
    """The command line asks for something that cannot be (exit code 2)."""
