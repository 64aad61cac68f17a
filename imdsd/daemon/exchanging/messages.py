"""What the daemon and its exchange process say to each other: a line of JSON for each message.

The lines hold tokens and keys. They go through a socket pair that nobody else has.
"""

from dataclasses import dataclass
from typing import Self

import msgspec

from imdsd.errors import DurationRefusedError, ExchangeError, RefreshError, Retry
from imdsd.secret import Secret
from imdsd.sts import StsSession

LINE_BYTES = 1024 * 1024
"""Far more than a token, a policy and their ARNs have."""


@dataclass(frozen=True, slots=True)
class Job:
    """One exchange, and the STS that is asked for it; `ca_bundle` is a path as the system has it.

    The other fields are those of `StsExchange.exchange`.
    """

    region: str
    endpoint_url: str | None
    ca_bundle: bytes | None
    token: Secret
    role_arn: str
    chain: tuple[str, ...]
    session_name: str
    duration_seconds: int
    policy: str | None
    policy_arns: tuple[str, ...]


class Issued(msgspec.Struct, frozen=True, tag=True):
    """STS issued a session."""

    session: StsSession


class Refused(msgspec.Struct, frozen=True, tag=True):
    """There is no session, and why; the fields are those of `RefreshError`."""

    reason: str
    remedy: str
    retry: Retry
    retry_after_seconds: float | None
    throttled: bool
    code: str
    for_its_duration: bool

    @classmethod
    def by(cls, error: RefreshError) -> Self:
        """Return what there is to say of an error."""
        return cls(
            error.reason,
            error.remedy,
            error.retry,
            error.retry_after_seconds,
            error.throttled,
            error.code,
            isinstance(error, DurationRefusedError),
        )

    def error(self) -> ExchangeError:
        """Return the error that was said."""
        kind = DurationRefusedError if self.for_its_duration else ExchangeError
        return kind(
            self.reason,
            remedy=self.remedy,
            retry=self.retry,
            retry_after_seconds=self.retry_after_seconds,
            throttled=self.throttled,
            code=self.code,
        )


Result = Issued | Refused


def _secret(_kind: type, text: str) -> Secret:
    return Secret(text)


# Of all that is said, msgspec does not know how to write and read a `Secret` alone.
_ENCODER = msgspec.json.Encoder(enc_hook=Secret.reveal)
_JOBS = msgspec.json.Decoder(tuple[int, Job], dec_hook=_secret)
_RESULTS = msgspec.json.Decoder(tuple[int, Result], dec_hook=_secret)


def line(number: int, message: Job | Result) -> bytes:
    """Return the line for a message; `number` says which job a result belongs to."""
    return _ENCODER.encode((number, message)) + b"\n"


def job_of(text: bytes) -> tuple[int, Job]:
    """Return the job of a line; raises `msgspec.MsgspecError`."""
    return _JOBS.decode(text)


def result_of(text: bytes) -> tuple[int, Result]:
    """Return the result of a line; raises `msgspec.MsgspecError`."""
    return _RESULTS.decode(text)
