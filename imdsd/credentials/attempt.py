"""One attempt: mint, check, exchange, publish; the way from a token source to documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

import structlog

from imdsd.credentials import schedule
from imdsd.credentials.model import (
    Credentials,
    D,
    Exchange,
    IssuedSession,
    Moment,
    Publisher,
    RoleTerms,
    Snapshot,
    TokenSource,
    account_of,
    belongs_to,
)
from imdsd.credentials.session_name import render_session_name
from imdsd.errors import (
    ClaimsError,
    DurationRefusedError,
    ExchangeError,
    MintError,
    PublishError,
    Retry,
    Stage,
    tidy,
)
from imdsd.tokens.claims import LEAST_LIFE, Claims, check_claims, read_claims

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from imdsd.clock import Clock
    from imdsd.secret import Secret
    from imdsd.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

_ABOUT_CLAIMS = ("AccessDenied", "IDPRejectedClaim", "InvalidIdentityToken")
"""Refusals that nobody can make sense of without the claims they are about."""


@dataclass(frozen=True, slots=True)
class Workshop(Generic[D]):
    """What the roles of one daemon share; `attempt_begins` is told before each mint.

    `published` is told a role's name and its credentials once they are in service.
    """

    publisher: Publisher[D]
    clock: Clock
    metrics: Metrics
    draw: Callable[[], float]
    host: str
    least_interval_seconds: float = schedule.LEAST_INTERVAL_SECONDS
    attempt_begins: Callable[[], None] = lambda: None
    published: Callable[[str, Credentials], None] = lambda _role, _credentials: None


class Attempt(Generic[D]):
    """How one role's credentials are obtained; remembers what STS taught it between runs."""

    def __init__(
        self,
        terms: RoleTerms,
        workshop: Workshop[D],
        *,
        source: TokenSource,
        exchange: Exchange,
    ) -> None:
        self.terms = terms
        self.source = source
        self.exchange = exchange
        self._workshop = workshop
        self._clock = workshop.clock
        self._duration_seconds = terms.duration_seconds
        self.stage = Stage.MINT
        self._token_expires_at = self._clock.now()
        self._skewed = False

    def may_succeed_at(self, instant: datetime) -> bool:
        """Whether there can be a web identity token then that STS takes: a new one, or the last."""
        return self.source.renewable or instant + LEAST_LIFE <= self._token_expires_at

    async def run(self, role: str) -> Snapshot[D]:
        """Return new credentials with their documents; raise `RefreshError`.

        `role` is the name for logs and metrics; `stage` says how far the last run came.
        """
        self._workshop.attempt_begins()
        session, claims, moment = await self._session(role)
        self.stage = Stage.PUBLISH
        self._check_role(session.assumed_role_arn, role)
        life = self._life(session, moment.at)
        credentials = self._credentials(session, claims, moment.at)
        documents = self._workshop.publisher.publish(credentials)
        return Snapshot(credentials, documents, life, moment.monotonic + life)

    async def _session(self, role: str) -> tuple[IssuedSession, Claims, Moment]:
        """Return a session of the longest length that STS grants, and when it was asked for."""
        while True:
            token, claims = await self._mint_checked(role)
            moment = Moment(self._clock.now(), self._clock.monotonic())
            try:
                return await self._exchange(token, claims), claims, moment
            except DurationRefusedError as error:
                self._shorten(error, role)

    async def _mint_checked(self, role: str) -> tuple[Secret, Claims]:
        self.stage = Stage.MINT
        token = await self.source.mint()
        try:
            return token, self._checked(token, role)
        except ClaimsError:
            # A source may hand out an old token from a cache: ask once more.
            token = await self.source.mint()
            return token, self._checked(token, role)

    def _checked(self, token: Secret, role: str) -> Claims:
        self.stage = Stage.CHECK
        claims = read_claims(token)
        warnings = check_claims(
            claims,
            audience=self.terms.audience,
            now=self._clock.now(),
            minted_on_demand=self.source.minted_on_demand,
        )
        if warnings and not self._skewed:
            log.warning("clock_skewed", role=role, detail="; ".join(warnings))
        self._skewed = bool(warnings)
        self._token_expires_at = claims.expires_at
        return claims

    async def _exchange(self, token: Secret, claims: Claims) -> IssuedSession:
        self.stage = Stage.EXCHANGE
        name = render_session_name(
            self.terms.session_name, claims=claims.values, host=self._workshop.host
        )
        try:
            return await self.exchange.exchange(
                token,
                role_arn=self.terms.role_arn,
                chain=self.terms.chain,
                session_name=name,
                duration_seconds=self._duration_seconds,
                policy=self.terms.policy,
                policy_arns=self.terms.policy_arns,
            )
        except ExchangeError as error:
            if error.code in _ABOUT_CLAIMS:
                raise _beside_claims(error, claims) from None
            raise

    def _shorten(self, error: DurationRefusedError, role: str) -> None:
        asked = self._duration_seconds
        shorter = schedule.shorter_duration(asked, renewable=self.source.renewable)
        if shorter >= asked:
            raise error
        self._duration_seconds = shorter
        log.warning("duration_shortened", role=role, asked_seconds=asked, now_seconds=shorter)

    def _check_role(self, got: str, role: str) -> None:
        asked = self.terms.final_arn
        if not belongs_to(got, asked):
            self._workshop.metrics.wrong_role(role)
            raise PublishError(
                f"STS returned credentials of {got}, expected {asked}",
                remedy="they were dropped; ask who answers at the STS endpoint",
                retry=Retry.LIMITED,
                code="WrongRole",
            )
        allowed = self.terms.allowed_account_ids
        if allowed and account_of(got) not in allowed:
            raise PublishError(
                f"account is {account_of(got)}, expected one of {', '.join(allowed)}",
                remedy="correct arn or allowed_account_ids",
                retry=Retry.NEVER,
                code="WrongAccount",
            )

    def _life(self, session: IssuedSession, issued_at: datetime) -> float:
        life = (session.expires_at - issued_at).total_seconds()
        if life <= schedule.SERVE_MARGIN_SECONDS:
            raise PublishError(
                f"STS returned credentials that expire at {session.expires_at:%FT%TZ}, "
                f"expected well after {issued_at:%FT%TZ}",
                remedy="compare this machine's clock with the true time",
                code="ExpiryInThePast",
            )
        # With a clock that is behind, the wall alone would promise more than STS gave.
        return min(life, float(self._duration_seconds))

    def _credentials(
        self, session: IssuedSession, claims: Claims, issued_at: datetime
    ) -> Credentials:
        return Credentials(
            access_key_id=session.access_key_id,
            secret_access_key=session.secret_access_key,
            session_token=session.session_token,
            issued_at=issued_at,
            expires_at=session.expires_at,
            role_arn=self.terms.final_arn,
            assumed_role_arn=session.assumed_role_arn,
            environment=claims.environment,
            region=self.terms.region,
        )


def _beside_claims(error: ExchangeError, claims: Claims) -> ExchangeError:
    says = f"iss {claims.issuer}, sub {claims.subject}, aud {', '.join(claims.audience)}"
    return ExchangeError(
        # 500 characters in all, with what stands between the two.
        f"{tidy(error.reason, most=255)} (the token's {tidy(says, most=230)})",
        remedy=error.remedy,
        retry=error.retry,
        retry_after_seconds=error.retry_after_seconds,
        code=error.code,
    )


def token_spent(source: TokenSource) -> MintError:
    """Return what to say of a source whose one token can give no further session."""
    return MintError(
        f"the token of {source.description} cannot be minted again",
        remedy="hand a new one over the same way and start imdsd again",
        retry=Retry.NEVER,
        code="TokenSpent",
    )
