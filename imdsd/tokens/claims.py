"""The only module that looks inside a web identity token: its claims, and what STS would refuse.

The signature is not checked here: STS does that. What is read serves to refuse early.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from imdsd.clock import format_instant
from imdsd.errors import ClaimsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsd.secret import Secret

# The exchange may take 10 s and STS may be asked twice; less than this would die on the way.
LEAST_LIFE = timedelta(seconds=60)
TOLERATED_SKEW = timedelta(seconds=60)

# The claims that name an environment as finely as its issuer does, and stay the same when a token
# is minted again. The first row that a token has wholly counts; a row names several claims so that
# another issuer's claim of the same name is not taken for it.
_NAMED_BY: tuple[tuple[tuple[str, ...], ...], ...] = (
    # Ona: the environment.
    (("environment_id",),),
    # Kubernetes, "Managing Service Accounts", private claims of bound tokens: the pod.
    (("kubernetes.io", "pod", "uid"),),
    # GitHub, "OpenID Connect reference": the job, one of a matrix too; older servers lack it.
    (("repository_id",), ("run_id",), ("check_run_id",)),
    (("repository_id",), ("run_id",), ("run_attempt",), ("job_workflow_ref",), ("sub",)),
    # GitLab, "OpenID Connect (OIDC) Authentication Using ID Tokens": the job.
    (("project_id",), ("pipeline_id",), ("job_id",)),
    # CircleCI; PyPI's trusted publishers list the claim: the job, all its parallel containers.
    (("oidc.circleci.com/project-id",), ("oidc.circleci.com/job-id",)),
    # Buildkite, "buildkite-agent oidc": the job, a retry being another.
    (("organization_slug",), ("pipeline_slug",), ("job_id",)),
    # Bitbucket, "Integrate Pipelines with resource servers using OIDC": the step.
    (("repositoryUuid",), ("stepUuid",)),
    # HCP Terraform, "Workload identity": plan and apply of a run are machines of their own.
    (("terraform_run_id",), ("terraform_run_phase",)),
)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a web identity token says about itself and its holder."""

    issuer: str
    subject: str
    audience: tuple[str, ...]
    expires_at: datetime
    issued_at: datetime | None
    values: Mapping[str, object] = field(repr=False)

    @property
    def environment(self) -> str:
        """Name the environment, or else the holder, the same from token to token."""
        for claims in _NAMED_BY:
            names = [name for path in claims if (name := _name_at(self.values, path))]
            if len(names) == len(claims):
                return " ".join((self.issuer, *names))
        return f"{self.issuer} {self.subject}"


def read_claims(token: Secret) -> Claims:
    """Read the claims without checking the signature.

    Raises ClaimsError where the token cannot be read, or a claim is missing or of a wrong type.
    """
    values = _decode(token)
    return Claims(
        issuer=_text(values, "iss"),
        subject=_text(values, "sub"),
        audience=_audience(values),
        expires_at=_instant(values, "exp"),
        issued_at=_instant(values, "iat") if "iat" in values else None,
        values=MappingProxyType(values),
    )


def check_claims(
    claims: Claims, *, audience: str, now: datetime, minted_on_demand: bool = True
) -> tuple[str, ...]:
    """Refuse what STS would surely refuse, and return warnings about the rest.

    `minted_on_demand` says that the token was made just now, so that an old `iat` means a skewed
    clock; a token out of a file or a variable is old by nature.

    Raises ClaimsError for another audience, or less than 60 s of life.
    """
    _check_audience(claims, audience)
    _check_life(claims, now)
    return _skew(claims, now, minted_on_demand=minted_on_demand)


def _check_audience(claims: Claims, audience: str) -> None:
    if audience in claims.audience:
        return
    raise ClaimsError(
        "aud",
        found=" and ".join(repr(value) for value in claims.audience),
        expected=repr(audience),
        remedy="ask the token source for this audience, or set `audience`",
    )


def _check_life(claims: Claims, now: datetime) -> None:
    remaining = claims.expires_at - now
    if remaining >= LEAST_LIFE:
        return
    seconds = int(abs(remaining).total_seconds())
    age = f"{seconds} s ahead" if remaining > timedelta(0) else f"{seconds} s ago"
    raise ClaimsError(
        "exp",
        found=f"{format_instant(claims.expires_at)} ({age})",
        expected=f"at least 60 s after now, {format_instant(now)}",
        remedy="mint a new token; if this one is new, set this machine's clock",
    )


def _skew(claims: Claims, now: datetime, *, minted_on_demand: bool) -> tuple[str, ...]:
    if claims.issued_at is None:
        return ()
    age = now - claims.issued_at
    if age >= -TOLERATED_SKEW and (age <= TOLERATED_SKEW or not minted_on_demand):
        return ()
    issued, here = format_instant(claims.issued_at), format_instant(now)
    return (f"clock skew: the token was issued at {issued}, this machine's clock says {here}",)


def load() -> None:
    """Load what reads a token, which takes too long for a start, and for a loop with clients."""
    import jwt  # noqa: F401, PLC0415


def _decode(token: Secret) -> dict[str, object]:
    import jwt  # noqa: PLC0415  # see `load`

    # PyJWT would hold exp and iat against its own reading of the clock, and raises on a future
    # iat before anything else; every claim is checked here, against the instant that is handed in.
    try:
        values: dict[str, object] = jwt.decode(token.reveal(), options={"verify_signature": False})
        # JSON can hold half a surrogate pair, which nothing can write down afterwards.
        json.dumps(values, ensure_ascii=False).encode()
    except (jwt.PyJWTError, ValueError, RecursionError):
        # Without the cause: its text may quote the token.
        raise ClaimsError(
            "token", found="not readable as a JWT", expected="a signed JWT with a JSON body"
        ) from None
    return values


def _text(values: Mapping[str, object], claim: str) -> str:
    value = values.get(claim)
    if isinstance(value, str) and value:
        return value
    raise _wrong(values, claim, expected="a text")


def _audience(values: Mapping[str, object]) -> tuple[str, ...]:
    value = values.get("aud")
    listed = [value] if isinstance(value, str) else value
    if isinstance(listed, list) and listed:
        texts = tuple(item for item in listed if isinstance(item, str))
        if len(texts) == len(listed):
            return texts
    raise _wrong(values, "aud", expected="a text or a list of texts")


def _name_at(values: Mapping[str, object], path: tuple[str, ...]) -> str:
    """Return the text or number at a path of keys, nothing for whatever else stands there."""
    found: object = values
    for key in path:
        found = found.get(key) if isinstance(found, dict | MappingProxyType) else None
    if isinstance(found, bool) or not isinstance(found, str | int):
        return ""
    return str(found)


def _instant(values: Mapping[str, object], claim: str) -> datetime:
    value = values.get(claim)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            pass
    raise _wrong(values, claim, expected="seconds since 1970 (RFC 7519, section 2)")


def _wrong(values: Mapping[str, object], claim: str, *, expected: str) -> ClaimsError:
    found = f"of type {type(values[claim]).__name__}" if claim in values else "missing"
    if claim in values and type(values[claim]) in {str, int, float, list}:
        found = f"out of range or empty ({found})"
    return ClaimsError(
        claim, found=found, expected=expected, remedy="see what the issuer puts into its tokens"
    )
