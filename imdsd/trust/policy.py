"""The rules by which a trust policy lets a request in.

They are those of the IAM User Guide, "IAM JSON policy elements" and "Multivalued context keys".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WEB_IDENTITY_ACTION = "sts:AssumeRoleWithWebIdentity"


class PrincipalKind(StrEnum):
    """The two kinds of principal that can assume a role here."""

    FEDERATED = "Federated"
    AWS = "AWS"


# What a policy writes for a wildcard, or a dollar, that stands for itself.
_LITERAL = re.compile(r"\$\{([*?$])\}")


@dataclass(frozen=True, slots=True)
class Operator:
    """A condition operator, taken apart."""

    name: str
    comparison: str
    negated: bool = False
    if_exists: bool = False
    quantifier: str = ""

    def meets(self, value: str, patterns: tuple[str, ...]) -> bool:
        """Say whether one value of the request satisfies the operator."""
        return self.negated != any(self._matches(value, pattern) for pattern in patterns)

    def _matches(self, value: str, pattern: str) -> bool:
        if self.comparison == "Like":
            return _fits(value, _LITERAL.split(pattern))
        literal = _LITERAL.sub(r"\1", pattern)
        if self.comparison in {"EqualsIgnoreCase", "Bool"}:
            return value.casefold() == literal.casefold()
        return value == literal


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: an operator, a context key and the values it is compared with."""

    operator: Operator
    key: str
    values: tuple[str, ...]

    def holds(self, found: tuple[str, ...]) -> bool:
        """Judge the values of the request; no value at all means that the key is absent."""
        if self.operator.comparison == "Null":
            return ("false" if found else "true") in self.values
        meets = (self.operator.meets(value, self.values) for value in found)
        match self.operator.quantifier:
            case "ForAnyValue:":
                return any(meets)
            case "ForAllValues:":
                return all(meets)
        if not found:
            return self.operator.negated or self.operator.if_exists
        return all(meets) if self.operator.negated else any(meets)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a statement is about; the name `*` is everybody of that kind."""

    kind: PrincipalKind
    name: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a trust policy."""

    label: str
    allows: bool
    principals: tuple[Principal, ...]
    actions: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """A parsed trust policy."""

    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class TrustRequest:
    """Who asks for what: `names` are all the names by which a policy may mean the caller."""

    action: str
    kind: PrincipalKind
    names: tuple[str, ...]
    context: Mapping[str, tuple[str, ...]]

    def values(self, key: str) -> tuple[str, ...]:
        """Return the values of a context key; IAM compares key names without their case."""
        wanted = key.casefold()
        matching = (values for name, values in self.context.items() if name.casefold() == wanted)
        return next(matching, ())


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that keeps a statement from letting a request in."""

    key: str
    operator: str
    found: tuple[str, ...]
    expected: tuple[str, ...]

    def __str__(self) -> str:
        found = ", ".join(map(repr, self.found)) or "absent"
        expected = " or ".join(map(repr, self.expected)) or "present"
        operator = f"({self.operator}) " if self.operator else ""
        return f"{self.key} is {found}, expected {operator}{expected}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says to a request: no mismatch means allowed.

    When refused, the mismatches are those of the statement that came nearest, whose label is
    `statement`; a policy that allows nobody has none.
    """

    mismatches: tuple[Mismatch, ...] = ()
    statement: str = ""

    @property
    def allowed(self) -> bool:
        """Whether the request is let in."""
        return not self.mismatches

    def __str__(self) -> str:
        return "; ".join(map(str, self.mismatches)) or "allowed"


def provider_name(issuer: str) -> str:
    """Return an issuer as IAM names it: host and path, no scheme.

    A last slash stays: the provider of `https://tenant.example/` is named `tenant.example/`, in
    its ARN and in condition keys (issuers of Auth0 are of that kind).
    """
    return issuer.partition("://")[2] or issuer


def provider_arn(issuer: str, *, account: str, partition: str = "aws") -> str:
    """Return the ARN of the OIDC provider for an issuer in an account."""
    return f"arn:{partition}:iam::{account}:oidc-provider/{provider_name(issuer)}"


def web_identity_request(
    issuer: str, claims: Mapping[str, object], *, account: str, partition: str = "aws"
) -> TrustRequest:
    """Build the request that a web identity token with these claims makes.

    Only `aud` and `sub` of a generic issuer reach a trust policy (IAM User Guide, "Available
    keys for AWS OIDC federation").
    """
    name = provider_name(issuer)
    return TrustRequest(
        action=WEB_IDENTITY_ACTION,
        kind=PrincipalKind.FEDERATED,
        names=(provider_arn(issuer, account=account, partition=partition),),
        context={f"{name}:{claim}": _claim_values(claims.get(claim)) for claim in ("aud", "sub")},
    )


def _claim_values(claim: object) -> tuple[str, ...]:
    values = claim if isinstance(claim, list) else [claim]
    return tuple(value for value in values if isinstance(value, str))


def is_like(value: str, pattern: str) -> bool:
    """Compare as the pattern of an action does: `*` is any text, `?` any one character."""
    return _fits(value, [pattern])


def _fits(value: str, parts: list[str]) -> bool:
    """Compare with a pattern in parts, every second of which is literal.

    What stands between two stars is taken where it first fits, for good: a pattern full of stars
    would take for ever otherwise.
    """
    segments = [""]
    for index, part in enumerate(parts):
        first, *rest = [re.escape(part)] if index % 2 else map(_any_one, part.split("*"))
        segments[-1] += first
        segments += rest
    head, *middle, tail = segments if len(segments) > 1 else ("", *segments)
    star = ".*" if len(segments) > 1 else ""
    expression = f"{head}{''.join(f'(?>.*?{segment})' for segment in middle)}{star}{tail}"
    return re.fullmatch(expression, value, re.DOTALL) is not None


def _any_one(text: str) -> str:
    return ".".join(map(re.escape, text.split("?")))


def judge(policy: TrustPolicy, request: TrustRequest) -> Verdict:
    """Hold a request against a policy: a Deny that applies wins, then any Allow that does."""
    judged = [
        (statement, tuple(_mismatches(statement, request))) for statement in policy.statements
    ]
    for statement, mismatches in judged:
        if not statement.allows and not mismatches:
            found = (f"Deny in {statement.label}",)
            return Verdict((Mismatch("Effect", "", found, ("Allow",)),), statement.label)
    refusals = [
        Verdict(mismatches, statement.label) for statement, mismatches in judged if statement.allows
    ]
    if not refusals:
        return Verdict((Mismatch("Effect", "", (), ("Allow",)),))
    return min(refusals, key=_distance)


def _distance(verdict: Verdict) -> tuple[bool, int]:
    about_others = any(mismatch.key in {"Action", "Principal"} for mismatch in verdict.mismatches)
    return about_others, len(verdict.mismatches)


def _mismatches(statement: Statement, request: TrustRequest) -> Iterator[Mismatch]:
    action = request.action.casefold()
    if not any(is_like(action, pattern.casefold()) for pattern in statement.actions):
        yield Mismatch("Action", "StringLike", (request.action,), statement.actions)
    names = tuple(who.name for who in statement.principals if who.kind is request.kind)
    if not {*request.names, "*"} & set(names):
        yield Mismatch("Principal", request.kind.value, request.names, names)
    for condition in statement.conditions:
        found = request.values(condition.key)
        if not condition.holds(found):
            yield Mismatch(condition.key, condition.operator.name, found, condition.values)
