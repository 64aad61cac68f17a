"""A token's claims held against a trust policy that IAM has, and what cannot be told from here."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote

from imdsd.trust.document import parse_json, read_trust_policy
from imdsd.trust.policy import (
    Condition,
    Statement,
    TrustPolicy,
    TrustRequest,
    Verdict,
    judge,
    provider_name,
    web_identity_request,
)
from imdsd.trust.setup import actions_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Issuers that are built into IAM: their own name is the principal (IAM User Guide, "Principal").
_BUILT_IN = frozenset({"accounts.google.com", "cognito-identity.amazonaws.com"})
# No account, so that no principal is taken for a match by mistake.
_ANY_ACCOUNT = "ANY_ACCOUNT"
# What STS is asked by: its endpoints speak https only.
_KNOWN = {"aws:SecureTransport": ("true",)}


class Outcome(StrEnum):
    """What a policy says to a request, as far as it can be told from here."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a policy says to one action; `open_keys` are those that nobody but AWS knows."""

    action: str
    outcome: Outcome
    verdict: Verdict
    open_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldPolicy:
    """A trust policy out of a file, and the ARN of its role where that stands beside it."""

    policy: TrustPolicy
    role_arn: str = ""


def parse_held_policy(text: str) -> HeldPolicy:
    """Parse a trust policy, the output of `aws iam get-role`, or ours.

    Raises TrustPolicyError for what is none of them or cannot be judged.
    """
    document = parse_json(text)
    role = document
    if isinstance(document, dict):
        role = document.get("Role", document)
        document = document.get("trust_policy", document)
    if isinstance(role, dict) and "AssumeRolePolicyDocument" in role:
        arn, document = role.get("Arn"), role["AssumeRolePolicyDocument"]
        if isinstance(document, str):  # as the API itself returns it
            document = parse_json(unquote(document))
        return HeldPolicy(read_trust_policy(document), arn if isinstance(arn, str) else "")
    return HeldPolicy(read_trust_policy(document))


def check_trust(
    policy: TrustPolicy, *, issuer: str, claims: Mapping[str, object], account: str | None = None
) -> tuple[Answer, ...]:
    """Return the answer to each action that a token needs, the session itself first.

    Without an account any provider of this issuer that the policy names will do.
    """
    request = web_identity_request(issuer, claims, account=account or _ANY_ACCOUNT)
    names = tuple(_providers(policy, provider_name(issuer), account)) or request.names
    request = replace(request, names=names, context={**request.context, **_KNOWN})
    unknown = _Unknown(request, _hidden_audience(issuer, claims))
    return tuple(
        _answer(policy, replace(request, action=action), unknown) for action in actions_of(claims)
    )


def _providers(policy: TrustPolicy, name: str, account: str | None) -> Iterator[str]:
    """Find the names of the issuer's provider in a policy, in whatever partition it is."""
    expected = rf"arn:[\w-]+:iam::{account or '[0-9]{12}'}:oidc-provider/{re.escape(name)}"
    for statement in policy.statements:
        for principal in statement.principals:
            built_in = principal.name in _BUILT_IN and principal.name == name
            if built_in or re.fullmatch(expected, principal.name):
                yield principal.name


def _hidden_audience(issuer: str, claims: Mapping[str, object]) -> frozenset[str]:
    """Name the key of the audience where the token has `azp`, which AWS may compare instead."""
    azp = claims.get("azp")
    differs = azp is not None and claims.get("aud") not in (azp, [azp])
    return frozenset({f"{provider_name(issuer)}:aud".casefold()} if differs else ())


@dataclass(frozen=True, slots=True)
class _Unknown:
    """Which conditions only AWS can judge: on the request, or on claims it reads for few issuers.

    A key of another issuer, or one that is misspelt, is surely absent.
    """

    request: TrustRequest
    hidden: frozenset[str]

    def keys(self, statement: Statement) -> tuple[str, ...]:
        return tuple(each.key for each in statement.conditions if self.holds(each))

    def holds(self, condition: Condition) -> bool:
        key = condition.key.casefold()
        known = {name.casefold() for name in self.request.context}
        if key in known:
            return key in self.hidden
        issuers = {name.rpartition(":")[0] for name in known}
        return key.rpartition(":")[0] in issuers or key.startswith(("aws:", "sts:", "iam:"))

    def without(self, policy: TrustPolicy, *, kindly: bool) -> TrustPolicy:
        """Return the policy as if all these conditions spoke for the caller, or all against."""
        return TrustPolicy(
            tuple(
                self._stripped(statement)
                for statement in policy.statements
                if statement.allows == kindly or not self.keys(statement)
            )
        )

    def _stripped(self, statement: Statement) -> Statement:
        kept = tuple(each for each in statement.conditions if not self.holds(each))
        return replace(statement, conditions=kept)


def _answer(policy: TrustPolicy, request: TrustRequest, unknown: _Unknown) -> Answer:
    best = judge(unknown.without(policy, kindly=True), request)
    worst = judge(unknown.without(policy, kindly=False), request)
    if worst.allowed:
        return Answer(request.action, Outcome.ALLOWED, worst)
    if not best.allowed:
        return Answer(request.action, Outcome.REFUSED, best)
    keys = dict.fromkeys(key for each in policy.statements for key in unknown.keys(each))
    return Answer(request.action, Outcome.UNDECIDED, worst, tuple(keys))
