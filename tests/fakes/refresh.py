"""A token source and an exchange that do as they are told, and verify what they are given."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt
from prometheus_client.parser import text_string_to_metric_families

from imdsd.credentials.attempt import Attempt, Workshop
from imdsd.credentials.model import Credentials, RoleTerms
from imdsd.credentials.refresher import Refresher
from imdsd.credentials.roles import RoleDefinition
from imdsd.errors import RefreshError
from imdsd.secret import Secret
from imdsd.telemetry.metrics import Metrics
from tests.fakes.clock import ManualClock

ROLE_ARN = "arn:aws:iam::123456789012:role/team/dev"
ASSUMED_ARN = "arn:aws:sts::123456789012:assumed-role/dev/imdsd-box"
KEY = "a key that nobody checks, of fair length"


def web_identity_token(clock: ManualClock, **claims: object) -> Secret:
    now = clock.now().timestamp()
    usual = {
        "iss": "https://issuer.example",
        "sub": "org:1/prj:2/env:3",
        "aud": "sts.amazonaws.com",
        "iat": now,
        "exp": now + 3600,
    }
    return Secret(jwt.encode({**usual, **claims}, KEY))


class FakeSource:
    description = "a fake"
    renewable = True
    minted_on_demand = True

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.minted = 0
        self.next: deque[Secret | RefreshError] = deque()

    async def mint(self) -> Secret:
        self.minted += 1
        outcome = self.next.popleft() if self.next else web_identity_token(self._clock)
        if isinstance(outcome, RefreshError):
            raise outcome
        return outcome


@dataclass(frozen=True, slots=True)
class FakeSession:
    access_key_id: str
    secret_access_key: Secret
    session_token: Secret
    expires_at: datetime
    assumed_role_arn: str


class FakeExchange:
    """Give numbered sessions of the length asked for, or what `next` and `always` say."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.asked: list[dict[str, object]] = []
        self.asked_at: list[float] = []
        self.next: deque[FakeSession | RefreshError] = deque()
        self.always: RefreshError | None = None
        self.takes_seconds = 0.0

    async def exchange(self, token: Secret, **parameters: object) -> FakeSession:
        jwt.decode(
            token.reveal(),
            KEY,
            algorithms=["HS256"],
            options={"verify_exp": False, "verify_aud": False, "verify_iat": False},
        )
        self.asked.append(parameters)
        self.asked_at.append(self._clock.monotonic())
        if self.takes_seconds:
            await self._clock.sleep(self.takes_seconds)
        outcome = self.next.popleft() if self.next else self.always
        if isinstance(outcome, RefreshError):
            raise outcome
        return outcome or self.session(int(str(parameters["duration_seconds"])))

    def session(self, seconds: float, *, arn: str = ASSUMED_ARN) -> FakeSession:
        return FakeSession(
            access_key_id=f"ASIA{len(self.asked):016}",
            secret_access_key=Secret("secret"),
            session_token=Secret("token"),
            expires_at=self._clock.now() + timedelta(seconds=seconds),
            assumed_role_arn=arn,
        )


class FakePublisher:
    def publish(self, credentials: Credentials) -> str:
        return f"documents of {credentials.access_key_id}"


def terms(**changes: object) -> RoleTerms:
    usual: dict[str, object] = {
        "role_arn": ROLE_ARN,
        "chain": (),
        "session_name": "imdsd-{host}",
        "duration_seconds": 3600,
        "policy": None,
        "policy_arns": (),
        "region": "eu-central-1",
        "sts_endpoint_url": None,
        "source": "a fake",
        "audience": "sts.amazonaws.com",
    }
    return RoleTerms(**{**usual, **changes})  # type: ignore[arg-type]


class Bench:
    """A workshop with a clock, one source and one exchange, and what a test asks of them."""

    def __init__(self, *, draw: Callable[[], float] = lambda: 0.0) -> None:
        self.clock = ManualClock()
        self.source = FakeSource(self.clock)
        self.exchange = FakeExchange(self.clock)
        self.metrics = Metrics("0")
        self.workshop: Workshop[str] = Workshop(
            publisher=FakePublisher(),
            clock=self.clock,
            metrics=self.metrics,
            draw=draw,
            host="box",
        )

    def refresher(self, **changes: object) -> Refresher[str]:
        attempt = Attempt(
            terms(**changes), self.workshop, source=self.source, exchange=self.exchange
        )
        return Refresher(attempt, self.workshop, name="dev")

    def definition(
        self, name: str = "dev", *, aliases: tuple[str, ...] = (), **changes: object
    ) -> RoleDefinition:
        return RoleDefinition(name, aliases, terms(**changes), self.source, self.exchange)

    def metric(self, name: str, **labels: str) -> float:
        for family in text_string_to_metric_families(self.metrics.render().decode()):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return 0.0
