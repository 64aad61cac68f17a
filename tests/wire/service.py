"""What a service says of itself before cases are held against it: its tokens, role and names."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from tests.wire.case import FACTS, PLACEHOLDER
from tests.wire.talking import Answer, NoAnswerError, Place, exchange

TOKEN_HEADER = "X-aws-ec2-metadata-token"
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"

_SHORT_SECONDS = 1
_TRIES = 60
_LEAVES = {
    "instance_id": "instance-id",
    "mac": "mac",
    "region": "placement/region",
    "role": "iam/security-credentials/",
    "zone": "placement/availability-zone",
}


class LackingError(Exception):
    """The service has nothing that a placeholder of a case could stand for."""


def _pause() -> None:
    # A service nobody here runs has no clock that a test could turn.
    time.sleep(0.1)  # noqa: TID251  # the one wait, and for somebody else's clock


class Service:
    """A service under examination; each fact is asked for once, when a case first needs it.

    `pause` is what lies between two looks at whether a token has expired.
    """

    def __init__(
        self, place: Place, *, bearer: str | None = None, pause: Callable[[], None] = _pause
    ) -> None:
        self.place = place
        self._pause = pause
        self._facts: dict[str, str] = {} if bearer is None else {"bearer": bearer}
        self._short: str | None = None

    def fact(self, name: str) -> str:
        """Return what `{name}` stands for. Raises `LackingError`."""
        if name not in self._facts:
            self._facts[name] = self._found(name)
        return self._facts[name]

    def fill(self, each: str) -> Callable[[str], str]:
        """Return what replaces the placeholders of a text, `{each}` by this."""

        def filled(text: str) -> str:
            return PLACEHOLDER.sub(
                # A repeated value may name facts itself.
                lambda found: filled(each) if found[1] == "each" else self.fact(found[1]),
                text,
            )

        return filled

    def begin(self) -> None:
        """Mint the token that shall have expired when a case needs it."""
        self._short = self.mint(_SHORT_SECONDS)

    def ask(self, method: str, path: str, **headers: str) -> Answer:
        """Make one ordinary request."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.place.authority}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        sent = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
        return exchange(self.place, sent, to_head=method == "HEAD")[0]

    def read(self, path: str, *, method: str = "GET") -> Answer:
        """Read metadata with a valid token."""
        return self.ask(method, path, **{TOKEN_HEADER: self.fact("token")})

    def mint(self, ttl_seconds: int) -> str:
        """Return a new IMDS token."""
        answer = self.ask("PUT", "/latest/api/token", **{TTL_HEADER: str(ttl_seconds)})
        if answer.status != 200:
            raise NoAnswerError(f"PUT /latest/api/token is {answer.status}, expected a token")
        return answer.body.decode("latin-1")

    def _found(self, name: str) -> str:
        place = self.place
        if name in _LEAVES:
            return self._leaf(name, f"/latest/meta-data/{_LEAVES[name]}")
        simple: dict[str, Callable[[], str]] = {
            "address": lambda: place.address,
            "container_role": self._container_role,
            "expired_token": self._expired,
            "forged_token": self._forged,
            "host": lambda: place.authority,
            "port": lambda: str(place.port),
            "token": lambda: self.mint(21600),
        }
        if name in simple:
            return simple[name]()
        raise LackingError(f"{{{name}}} ({FACTS[name]}) is not known")

    def _leaf(self, name: str, path: str) -> str:
        answer = self.read(path)
        if answer.status != 200 or not answer.body:
            raise LackingError(f"{{{name}}}: {path} is {answer.status}, expected a value")
        return answer.body.decode()

    def _forged(self) -> str:
        token = self.fact("token")
        at = len(token) * 3 // 4
        return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]

    def _expired(self) -> str:
        token = self._short or self.mint(_SHORT_SECONDS)
        for _ in range(_TRIES):
            if self.ask("GET", "/latest/", **{TOKEN_HEADER: token}).status == 401:
                return token
            self._pause()
        raise NoAnswerError(f"a token of {_SHORT_SECONDS} s still opens, expected 401 by now")

    def _container_role(self) -> str:
        answer = self.ask("GET", "/status")
        if answer.status != 200:
            raise LackingError(f"{{container_role}}: /status is {answer.status}, expected 200")
        return str(json.loads(answer.body)["default_role"])
