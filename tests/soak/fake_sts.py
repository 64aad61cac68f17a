"""An STS and a token source of the compressed soak: right by the true time, or as faulty as told."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from imdsd.errors import ExchangeError, MintError, Retry
from imdsd.secret import Secret
from tests.fakes.refresh import FakeSession, web_identity_token


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and how long after its end a role may still be without credentials."""

    name: str
    code: str = ""
    retry: Retry = Retry.ALWAYS
    retry_after_seconds: float | None = None
    mints: bool = True
    takes_seconds: float = 0.2
    token_life_seconds: float = 3600
    session_seconds: float | None = None
    session_arn: str | None = None
    recovery_seconds: float = 35.0


# A role that is denied is asked about again after 5 min ± 20 %, where nobody asks before.
NEEDS_A_PERSON_SECONDS = 365.0
FAULTS = (
    Fault("unreachable", "Unreachable"),
    Fault("unreachable", "Unreachable"),
    Fault("gives no answer", "Timeout", takes_seconds=10),
    Fault("throttles", "Throttling"),
    Fault("asks to wait", "Throttling", retry_after_seconds=40, recovery_seconds=45),
    Fault("answers rubbish", "MalformedAnswer"),
    Fault("denies", "AccessDenied", retry=Retry.LIMITED, recovery_seconds=NEEDS_A_PERSON_SECONDS),
    Fault("not logged in", mints=False),
    Fault("old tokens", token_life_seconds=-60),
    Fault("expired sessions", session_seconds=-3600),
    Fault(
        "another role",
        session_arn="arn:aws:sts::123456789012:assumed-role/other/box",
        recovery_seconds=NEEDS_A_PERSON_SECONDS,
    ),
)
SLOW = Fault("slow", takes_seconds=9)


@dataclass(slots=True)
class Account:
    """What STS did for one role: the calls, and the instant of the last session it gave."""

    calls: int = 0
    calls_today: int = 0
    sessions: int = 0
    given_at: tuple[float, int] | None = None
    expires_at: object = None
    with_wrong_clock: bool = False
    closest_seconds: float = field(default=float("inf"))


class TrueTime:
    """The test clock is the machine's; `ahead_seconds` says how far it is off."""

    def __init__(self, clock):
        self.clock = clock
        self.ahead_seconds = 0.0
        self.jumps = 0

    def now(self):
        return self.clock.now() - timedelta(seconds=self.ahead_seconds)

    def set_ahead(self, seconds):
        """Put the machine's clock so far ahead of the true time, or behind it."""
        self.clock.step(seconds - self.ahead_seconds)
        self.ahead_seconds = seconds
        self.jumps += 1

    def suspend(self, seconds):
        self.clock.suspend(seconds)
        self.jumps += 1


class World:
    """What every role's source and exchange look at: the true time and the fault, if any."""

    def __init__(self, time):
        self.time = time
        self.fault = None
        self.accounts = {}
        self.codes = Counter()
        self.forced = 0
        """How often somebody had every role refreshed at once, which no interval bounds."""

    @property
    def events(self):
        """Count what may bring a refresh forward though no fault is there."""
        return self.time.jumps + self.forced


class Source:
    description = "a source of the soak"
    renewable = True
    minted_on_demand = True

    def __init__(self, world):
        self._world = world

    async def mint(self):
        fault = self._world.fault
        if fault and not fault.mints:
            raise MintError("not logged in")
        life = fault.token_life_seconds if fault else 3600
        issued = self._world.time.now().timestamp()
        return web_identity_token(self._world.time, iat=issued, exp=issued + life)


class Exchange:
    """One role's: sessions end by the true time, whatever the machine's clock says."""

    def __init__(self, world, name):
        self._world = world
        self._account = world.accounts.setdefault(name, Account())
        self._key = f"{name.upper():A<10}"

    async def exchange(self, token, *, role_arn, duration_seconds, **_parameters):
        self._account.calls += 1
        self._account.calls_today += 1
        started_with, events = self._world.fault, self._world.events
        await self._world.time.clock.sleep(started_with.takes_seconds if started_with else 0.2)
        # Packets that were lost are sent again: who still waits when a fault ends is answered.
        fault = self._world.fault
        if fault and fault.code:
            raise ExchangeError(
                f"STS {fault.name}",
                code=fault.code,
                retry=fault.retry,
                retry_after_seconds=fault.retry_after_seconds,
            )
        spoiled = fault and (fault.session_seconds or fault.session_arn)
        life = (fault and fault.session_seconds) or duration_seconds
        expires_at = self._world.time.now() + timedelta(seconds=life)
        if not spoiled:
            self._note(expires_at, events)
        name = role_arn.rpartition("/")[2]
        arn = (fault and fault.session_arn) or f"arn:aws:sts::123456789012:assumed-role/{name}/box"
        key = f"ASIA{self._key}{self._account.calls:06}"
        return FakeSession(key, Secret("secret"), Secret("token"), expires_at, arn)

    def _note(self, expires_at, events_before):
        account, world = self._account, self._world
        now = world.time.clock.monotonic()
        account.with_wrong_clock = world.time.ahead_seconds > 0
        # With a clock that is ahead, a daemon may have to refuse what it gets; one that jumps in
        # the middle of an attempt makes what comes of it old.
        if account.given_at is not None and not account.with_wrong_clock:
            given_at, events = account.given_at
            if events == world.events:
                account.closest_seconds = min(account.closest_seconds, now - given_at)
        account.given_at = (now, events_before)
        account.expires_at = expires_at
        account.sessions += 1
