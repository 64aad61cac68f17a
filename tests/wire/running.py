"""How a case is held against a service: its request made, sent, and its answer judged."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.wire.case import Case
from tests.wire.checking import Found, problems
from tests.wire.service import TOKEN_HEADER, LackingError, Service
from tests.wire.talking import NoAnswerError, exchange


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case; `lacking` is why it could not be held against this service."""

    case: Case
    problems: tuple[str, ...] = ()
    lacking: str | None = None

    def __str__(self) -> str:
        """One line for each thing that is wrong, with the reason why it matters."""
        head = f"{self.case.name}: {self.case.verb} {self.case.target}"
        return "\n".join(f"{head}: {line} ({self.case.reason})" for line in self.problems)


def applies(case: Case, *, on: str, needs: str, only: str = "*") -> bool:
    """Whether a case is to be held against this kind of service, configured like this."""
    return on in case.on and case.needs == needs and fnmatchcase(case.name, only)


def run(case: Case, service: Service) -> Outcome:
    """Hold one case against a service."""
    try:
        filled = case.filled(service.fill(case.each))
        sent = request(filled, service)
        answers = exchange(
            service.place,
            sent,
            answers=filled.expect.answers,
            to_head=filled.verb == "HEAD",
            to_end=_to_end(filled, sent),
        )
        same_as = filled.expect.same_as
        other = None if same_as is None else service.read(same_as)
    except LackingError as error:
        return Outcome(case, lacking=str(error))
    except (NoAnswerError, OSError) as error:
        return Outcome(case, (f"no answer: {error}",))
    return Outcome(filled, tuple(problems(filled, Found(sent, answers, other))))


def request(case: Case, service: Service) -> bytes:
    """Return the bytes of a case's request."""
    if case.raw:
        return "\r\n".join(case.raw).encode()
    headers = [*case.headers]
    named = {name.lower() for name, _ in headers}
    if case.shows != "none":
        token = service.fact("token" if case.shows == "valid" else f"{case.shows}_token")
        headers.insert(0, (TOKEN_HEADER, token))
    if "host" not in named:
        headers.insert(0, ("Host", service.place.authority))
    body = (case.body or "").encode()
    if case.body is not None and not named & {"content-length", "transfer-encoding"}:
        headers.append(("Content-Length", str(len(body))))
    if "connection" not in named:
        headers.append(("Connection", "close"))
    lines = [f"{case.method} {case.path} HTTP/1.1", *(f"{name}: {text}" for name, text in headers)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _to_end(case: Case, sent: bytes) -> bool:
    """Whether the service has to close the connection after the last answer."""
    if case.expect.closed is not None:
        return case.expect.closed
    return b"\r\nconnection: close\r\n" in sent.lower() or b" HTTP/1.0\r\n" in sent
