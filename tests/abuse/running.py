"""How an abuse is held against a daemon, and how a client who did nothing wrong fares beside it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from tests.abuse.abuse import Abuse
from tests.abuse.judging import Secrets, problems
from tests.abuse.talking import talk
from tests.wire.service import TOKEN_HEADER, Service
from tests.wire.talking import Answer, NoAnswerError

_ROLES = "/latest/meta-data/iam/security-credentials/"
_KEYS = ("AccessKeyId", "SecretAccessKey", "Token")


class Target:
    """A daemon that is abused: its service, how it is configured, and what it must not tell."""

    def __init__(self, service: Service, configuration: str) -> None:
        self.service = service
        self.configuration = configuration
        self._lock = threading.Lock()
        self._aside, self._few = ThreadPoolExecutor(64), ThreadPoolExecutor(4)
        self._slow: dict[str, Future[list[str]]] = {}
        self.secrets = Secrets(tuple(self._secret_values()))

    def begin(self, abuses: Iterable[Abuse]) -> None:
        """Let the slow ones begin side by side; the others are held against it meanwhile."""
        for abuse in abuses:
            if abuse.is_slow:
                self._slow[abuse.name] = self._aside.submit(self._held, abuse)

    def hold(self, abuses: Iterable[Abuse]) -> list[str]:
        """Return what is wrong with what comes of abuses, and with how others are served."""
        under_way = [
            self._slow.get(abuse.name) or self._few.submit(self._held, abuse) for abuse in abuses
        ]
        return [line for each in under_way for line in each.result()]

    def close(self) -> None:
        """End what is under way."""
        for pool in (self._aside, self._few):
            pool.shutdown(cancel_futures=True)

    def _held(self, abuse: Abuse) -> list[str]:
        with self._lock:
            filled = abuse.filled(self.service.fill(abuse.each))
        outcomes = abuse.due(self.configuration)
        heard = talk(self.service.place, filled, outcomes)
        found = [*problems(filled, outcomes, heard, self.secrets), *self._others()]
        return [f"{abuse.name}: {line} ({abuse.reason})" for line in found]

    def _others(self) -> list[str]:
        """Return what is wrong with how a client is served who did nothing wrong."""
        try:
            asked = {"the container endpoint": self._container(), "IMDS": self._imds()}
        except (NoAnswerError, OSError) as error:
            return [f"a well-behaved client is not served: {error}"]
        return [
            f"a well-behaved client gets {answer.status} from {name}, expected credentials"
            for name, answer in asked.items()
            if answer.status != 200 or "SecretAccessKey" not in json.loads(answer.body)
        ]

    def _container(self) -> Answer:
        return self.service.ask("GET", "/v1/credentials", Authorization=self.service.fact("bearer"))

    def _imds(self) -> Answer:
        token = self.service.fact("token")
        path = _ROLES + self.service.fact("role")
        return self.service.ask("GET", path, **{TOKEN_HEADER: token})

    def _secret_values(self) -> list[bytes]:
        documents = (json.loads(answer.body) for answer in (self._container(), self._imds()))
        values = [document[key] for document in documents for key in _KEYS]
        known = [self.service.fact(name) for name in ("bearer", "token", "forged_token")]
        return [value.encode() for value in [*values, *known]]
