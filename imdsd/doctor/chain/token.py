"""Whether a web identity token can be minted, and whether its claims are fit for STS."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imdsd.addresses import is_loopback
from imdsd.clock import format_instant
from imdsd.config import build_source
from imdsd.doctor.finding import Diagnosis, Level, Step
from imdsd.errors import ClaimsError, MintError
from imdsd.tokens.claims import check_claims, read_claims
from imdsd.trust import check_issuer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from imdsd.client import WaitingClock
    from imdsd.config import TokenConfig
    from imdsd.credentials.model import TokenSource
    from imdsd.doctor.finding import Finding
    from imdsd.secret import Secret
    from imdsd.tokens.claims import Claims

MINTED = Diagnosis(Step.TOKEN, Level.OK, "minted", "the token source gave a token")
SLOW = Diagnosis(
    Step.TOKEN,
    Level.WARNING,
    "slow",
    "it took more than half of `timeout_seconds`",
    "see why it takes so long, or raise timeout_seconds in [token]",
)
NO_SOURCE = Diagnosis(
    Step.TOKEN,
    Level.FAILURE,
    "no-source",
    "the source is `auto`, and this environment offers none",
    "choose a source with --token-command or --token-file, or [token] in the configuration",
)
MINT_FAILED = Diagnosis(
    Step.TOKEN,
    Level.FAILURE,
    "mint-failed",
    "the token source gave none: a command that fails, a file that is not there, …",
    "{remedy}",
)

CLAIMS = Diagnosis(
    Step.CLAIMS, Level.OK, "fit", "issuer, audience, subject and life are fit for STS"
)
UNREADABLE = Diagnosis(
    Step.CLAIMS,
    Level.FAILURE,
    "unreadable",
    "the token is no JWT, or lacks a claim that STS needs",
    "see with `imdsd token --decode` what the issuer puts into its tokens",
)
AUDIENCE = Diagnosis(
    Step.CLAIMS,
    Level.FAILURE,
    "audience",
    "the token is for another audience",
    "ask the token source for the audience {expected}, or set --audience to what the token has "
    "and the identity provider in IAM accepts",
)
LIFE = Diagnosis(
    Step.CLAIMS,
    Level.FAILURE,
    "life",
    "the token has expired, or has less than 60 s to live",
    "have a new token minted; if this one is new, set this machine's clock",
)
SKEW = Diagnosis(
    Step.CLAIMS,
    Level.WARNING,
    "clock-skew",
    "the token was issued more than 60 s away from this machine's time",
    "set this machine's clock: switch time synchronization on (timedatectl set-ntp true)",
)
ISSUER = Diagnosis(
    Step.CLAIMS,
    Level.WARNING,
    "issuer",
    "IAM takes no identity provider with such an issuer",
    "have tokens minted by an issuer that AWS can reach by https",
)


@dataclass(frozen=True, slots=True)
class Minted:
    """A token that was minted, its claims where they are fit, and what was found on the way."""

    token: Secret | None
    claims: Claims | None
    findings: tuple[Finding, ...]


def mint(
    config: TokenConfig, environ: Mapping[str, str], *, ca_bundle: Path | None, clock: WaitingClock
) -> Minted:
    """Mint once, and hold the claims against what STS wants."""
    began = clock.monotonic()
    try:
        source = build_source(config, environ=environ, ca_bundle=ca_bundle)
        token = asyncio.run(source.mint())
    except MintError as error:
        return Minted(None, None, (_not_minted(config, environ, error),))
    except ValueError as error:
        return Minted(None, None, (MINT_FAILED(str(error), remedy="correct the token source"),))
    seconds = clock.monotonic() - began
    found = [_minted(source, seconds, limit=config.timeout_seconds)]
    try:
        claims = read_claims(token)
    except ClaimsError as error:
        return Minted(token, None, (*found, UNREADABLE(error.reason, claim=error.claim)))
    judged = tuple(judge_claims(claims, config.audience, source=source, clock=clock))
    fit = not any(each.level is Level.FAILURE for each in judged)
    return Minted(token, claims if fit else None, (*found, *judged))


def judge_claims(
    claims: Claims, audience: str, *, source: TokenSource, clock: WaitingClock
) -> Iterator[Finding]:
    """Say whether STS would take a token with these claims."""
    now = clock.now()
    facts = {
        "issuer": claims.issuer,
        "subject": claims.subject,
        "audience": list(claims.audience),
        "expires_at": format_instant(claims.expires_at),
        "seconds_left": int((claims.expires_at - now).total_seconds()),
    }
    try:
        skewed = check_claims(
            claims, audience=audience, now=now, minted_on_demand=source.minted_on_demand
        )
    except ClaimsError as error:
        refused = AUDIENCE if error.claim == "aud" else LIFE
        yield refused(error.reason, expected=error.expected, **facts)
        return
    told = f"iss {claims.issuer}, sub {claims.subject}, aud {', '.join(claims.audience)}"
    yield CLAIMS(f"{told}; {facts['seconds_left']} s left", **facts)
    for each in skewed:
        yield SKEW(each)
    if odd := _odd_issuer(claims.issuer):
        yield ISSUER(odd)


def _odd_issuer(issuer: str) -> str:
    if is_loopback(urlsplit(issuer).hostname or ""):
        return ""  # a demo's, whose STS is its own
    try:
        return check_issuer(issuer)
    except ClaimsError as error:
        return error.reason


def _minted(source: TokenSource, seconds: float, *, limit: float) -> Finding:
    told = f"{source.description} gave a token in {seconds:.1f} s"
    facts = {"source": source.description, "seconds": round(seconds, 3), "limit_seconds": limit}
    return (SLOW if seconds > limit / 2 else MINTED)(told, **facts)


def _not_minted(config: TokenConfig, environ: Mapping[str, str], error: MintError) -> Finding:
    if config.source == "auto":
        from imdsd.tokens.ambient import FindingKind, survey  # noqa: PLC0415  # aiohttp's import

        kinds = {each.kind for each in survey(environ, audience=config.audience)}
        if kinds == {FindingKind.ABSENT}:
            return NO_SOURCE(error.reason)
    return MINT_FAILED(error.reason, remedy=error.remedy, error=error.code)
