"""What a client is told as it goes, where nobody has read its request."""

from __future__ import annotations

from imdsd.endpoints.message import RETRY_SOON, Answer, error_answer


def _whole(status: str, answer: Answer) -> bytes:
    """Return an answer as it goes to a client whose request nobody has read."""
    fields = (
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.body))),
        ("Server", "imdsd"),
        *answer.headers,
        ("Connection", "close"),
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + answer.body


FULL = _whole(
    "503 Service Unavailable",
    error_answer(503, "TooManyConnections", "every connection is in use; try again", RETRY_SOON),
)
NO_HTTP = _whole("400 Bad Request", Answer(400))
TOO_SLOW = _whole("408 Request Timeout", Answer(408))
HEAD_TOO_LARGE = _whole("431 Request Header Fields Too Large", Answer(431))
