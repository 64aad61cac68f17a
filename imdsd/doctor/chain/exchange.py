"""Whether STS can be reached, and what it makes of the token."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imdsd.clock import format_instant
from imdsd.credentials.model import belongs_to
from imdsd.credentials.session_name import render_session_name
from imdsd.daemon import process
from imdsd.doctor.chain.network import NetworkError, Trouble, get
from imdsd.doctor.finding import Diagnosis, Level, Step, skip
from imdsd.errors import ClaimsError, DurationRefusedError, ExchangeError
from imdsd.tokens.route import proxy_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from imdsd.client import WaitingClock
    from imdsd.credentials.model import RoleTerms
    from imdsd.credentials.roles import RoleDefinition
    from imdsd.doctor.finding import Finding
    from imdsd.secret import Secret
    from imdsd.tokens.claims import Claims

LOOK_SECONDS = 5.0
_TOLERATED_SKEW_SECONDS = 60
# Under this, SDKs log warnings and take the session for an outage (docs/refresh.md).
_SHORT_SESSION_SECONDS = 1800

_failure = partial(Diagnosis, Step.STS, Level.FAILURE)

REACHED = Diagnosis(Step.STS, Level.OK, "reached", "STS answers")
NAME = _failure(
    "name",
    "its name cannot be resolved",
    "see whether `getent hosts {host}` answers; set region or sts_endpoint_url to one that exists, "
    "HTTPS_PROXY where names are for the proxy to resolve",
)
CONNECTION = _failure(
    "connection",
    "nobody takes the connection",
    "see whether a firewall lets this machine out to {host}, port {port}; where a proxy is needed, "
    "set HTTPS_PROXY",
)
PROXY = _failure(
    "proxy",
    "the proxy does not let the request through",
    "correct HTTPS_PROXY, have the proxy allow {host}, or name {host} in NO_PROXY",
)
TLS = _failure(
    "tls",
    "the certificate is not trusted",
    "set ca_bundle (or AWS_CA_BUNDLE) to a file with the authority that signed it: a corporate "
    "proxy that opens TLS has one of its own",
)
SILENCE = _failure(
    "silence",
    "no answer within 5 s",
    "see whether a firewall drops packets to {host}, port {port}, and whether the proxy is the "
    "right one",
)
ANSWER = _failure(
    "odd-answer",
    "what answers does not speak as STS does",
    "ask who answers at {host}: a proxy, a captive portal",
)
SKEW = Diagnosis(
    Step.STS,
    Level.WARNING,
    "clock-skew",
    "its Date header is more than 60 s away from this machine's time",
    "set this machine's clock: switch time synchronization on (timedatectl set-ntp true)",
)

EXCHANGED = Diagnosis(Step.STS, Level.OK, "exchanged", "STS gave credentials of the role")
SHORT = Diagnosis(
    Step.STS,
    Level.WARNING,
    "short-session",
    "the session is shorter than 30 minutes: SDKs take it for an outage",
    "set duration_seconds to 3600 or more",
)
SESSION_NAME = _failure(
    "session-name", "the session name cannot be made of the token's claims", "{remedy}"
)
ACCESS_DENIED = _failure(
    "access-denied",
    "`AccessDenied`, `IDPRejectedClaim`: the role's trust policy does not let the token in",
    "the trust policy must match sub {subject} and aud {audience}; hold it against the token: "
    "aws iam get-role --role-name {role_name} > role.json; imdsd trust --check role.json",
)
INVALID_TOKEN = _failure(
    "invalid-token",
    "`InvalidIdentityToken`: no identity provider for this issuer and audience",
    "create the provider {issuer} with the audience {audience} in the role's account: "
    "`imdsd trust --format cli` writes the commands; just after that, wait a minute",
)
EXPIRED_TOKEN = _failure(
    "expired-token",
    "`ExpiredTokenException`: STS finds the token too old",
    "have the source mint a new token; if this one is new, set this machine's clock",
)
ISSUER_UNREACHABLE = _failure(
    "issuer-unreachable",
    "`IDPCommunicationError`: STS could not fetch the issuer's keys",
    "try again in a minute; if it stays, see whether {issuer}/.well-known/openid-configuration "
    "can be reached from the internet",
)
DURATION = _failure(
    "duration",
    "the session is longer than the role's MaxSessionDuration, or than an hour in a chain",
    "set duration_seconds to 3600, or raise the role's maximum: aws iam update-role "
    "--role-name {role_name} --max-session-duration {duration_seconds}",
)
REGION = _failure(
    "region",
    "`RegionDisabledException`: STS is not activated in the region",
    "activate STS in {region} in the account settings of IAM, or set another region",
)
THROTTLED = _failure(
    "throttled",
    "`Throttling`: STS gets too many requests from this account",
    "wait a minute; for many machines that start together set startup_spread_seconds",
)
POLICY = _failure(
    "policy",
    "STS does not take the session policy",
    "correct or shorten policy, policy_arns and session tags of the role",
)
PARAMETERS = _failure(
    "parameters", "`ValidationError`: STS does not take a parameter", "correct the role's settings"
)
WRONG_ROLE = _failure(
    "wrong-role",
    "STS gave credentials of another role than was asked for",
    "ask who answers at the STS endpoint; see arn and sts_endpoint_url",
)
OTHER = _failure("refused", "any other refusal, or no answer to the exchange", "{remedy}")

_BY_TROUBLE = {
    Trouble.NAME: NAME,
    Trouble.CONNECTION: CONNECTION,
    Trouble.PROXY: PROXY,
    Trouble.TLS: TLS,
    Trouble.SILENCE: SILENCE,
    Trouble.ANSWER: ANSWER,
}
_BY_CODE = {
    "AccessDenied": ACCESS_DENIED,
    "AccessDeniedException": ACCESS_DENIED,
    "IDPRejectedClaim": ACCESS_DENIED,
    "InvalidIdentityToken": INVALID_TOKEN,
    "ExpiredTokenException": EXPIRED_TOKEN,
    "ExpiredToken": EXPIRED_TOKEN,
    "IDPCommunicationError": ISSUER_UNREACHABLE,
    "RegionDisabledException": REGION,
    "Throttling": THROTTLED,
    "ThrottlingException": THROTTLED,
    "MalformedPolicyDocument": POLICY,
    "PackedPolicyTooLarge": POLICY,
    "ValidationError": PARAMETERS,
    "MalformedAnswer": ANSWER,
}


def look_at_sts(
    url: str,
    environ: Mapping[str, str],
    *,
    ca_bundle: Path | None,
    clock: WaitingClock,
    seconds: float = LOOK_SECONDS,
) -> Iterator[Finding]:
    """Ask for nothing, to see whether and how fast STS answers and what time it has."""
    began = clock.monotonic()
    try:
        if (proxy_for(url, environ) or "").startswith("https:"):
            # TLS within TLS is more than http.client can do; whatever exchanges can.
            yield skip(Step.STS, "the way to STS, which the exchange shows: the proxy speaks TLS")
            return
        answer = get(url, environ=environ, ca_bundle=ca_bundle, seconds=seconds)
    except NetworkError as error:
        yield _BY_TROUBLE[error.trouble](f"{url}: {error}", **_place(url))
        return
    except ValueError as error:
        yield PROXY(f"{url}: {error}", **_place(url))
        return
    taken = round((clock.monotonic() - began) * 1000)
    yield REACHED(f"{url} answers in {taken} ms", url=url, milliseconds=taken)
    yield from _judge_clock(answer.date, clock.now())


def exchange(
    definition: RoleDefinition, token: Secret, claims: Claims, *, clock: WaitingClock
) -> Iterator[Finding]:
    """Exchange the token once, drop what STS gives, and say what it was."""
    terms = definition.terms
    facts = _facts(terms, claims)
    began = clock.monotonic()
    try:
        name = render_session_name(
            terms.session_name, claims=claims.values, host=socket.gethostname()
        )
        session = process.run(
            lambda: definition.exchange.exchange(
                token,
                role_arn=terms.role_arn,
                chain=terms.chain,
                session_name=name,
                duration_seconds=terms.duration_seconds,
                policy=terms.policy,
                policy_arns=terms.policy_arns,
            )
        )
    except ClaimsError as error:
        yield SESSION_NAME(error.reason, remedy=error.remedy)
        return
    except ExchangeError as error:
        yield _explained(error, facts)
        return
    got = session.assumed_role_arn
    if not belongs_to(got, terms.final_arn):
        yield WRONG_ROLE(f"STS gave {got}, expected {terms.final_arn}", **facts)
        return
    seconds = round(clock.monotonic() - began, 3)
    life = int((session.expires_at - clock.now()).total_seconds())
    facts |= {"seconds": seconds, "expires_at": format_instant(session.expires_at)}
    yield EXCHANGED(f"{got} for {life} s, in {seconds:.1f} s", assumed_role_arn=got, **facts)
    if life < _SHORT_SESSION_SECONDS:
        yield SHORT(f"the session lasts {life} s", session_seconds=life)


def _explained(error: ExchangeError, facts: Mapping[str, object]) -> Finding:
    kind = _BY_CODE.get(error.code, OTHER)
    if isinstance(error, DurationRefusedError):
        kind = DURATION
    remedy = error.remedy or "try again in a minute"
    return kind(error.reason, error=error.code, remedy=remedy, **facts)


def _facts(terms: RoleTerms, claims: Claims) -> dict[str, object]:
    return {
        "role_arn": terms.final_arn,
        "role_name": terms.role_arn.rpartition("/")[2],
        "region": terms.region,
        "duration_seconds": terms.duration_seconds,
        "issuer": claims.issuer,
        "subject": claims.subject,
        "audience": ", ".join(claims.audience),
        "host": "the STS endpoint",
    }


def _place(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    usual = 443 if parts.scheme == "https" else 80
    return {"url": url, "host": parts.hostname or "", "port": parts.port or usual}


def _judge_clock(theirs: datetime | None, ours: datetime) -> Iterator[Finding]:
    if theirs is None:
        return
    ahead = round((ours - theirs).total_seconds())
    if abs(ahead) > _TOLERATED_SKEW_SECONDS:
        where = f"{abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'}"
        yield SKEW(
            f"this machine's clock is {where} STS, which says {format_instant(theirs)}",
            ahead_seconds=ahead,
        )
