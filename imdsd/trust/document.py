"""Trust policies as IAM's JSON: written for an issuer, and read without guessing.

What cannot be judged here (conditions on addresses, dates, numbers and ARNs, policy variables,
NotPrincipal, NotAction) is refused by name rather than ignored.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from imdsd.errors import ImdsdError
from imdsd.trust.policy import (
    WEB_IDENTITY_ACTION,
    Condition,
    Operator,
    Principal,
    PrincipalKind,
    Statement,
    TrustPolicy,
    provider_arn,
    provider_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OPERATOR = re.compile(
    r"(?P<quantifier>ForAnyValue:|ForAllValues:)?"
    r"(?:String(?P<negated>Not)?(?P<comparison>EqualsIgnoreCase|Equals|Like)|(?P<bool>Bool))"
    r"(?P<if_exists>IfExists)?"
)
_KNOWN_OPERATORS = "Null, Bool or an operator on strings"
_VERSION = "2012-10-17"
# `${*}`, `${?}`, `${$}` stand for the characters themselves (IAM User Guide, "Policy variables").
_VARIABLE = re.compile(r"\$\{(?![*?$]\})")
_STATEMENT_KEYS = frozenset({"Sid", "Effect", "Principal", "Action", "Condition"})
_POLICY_KEYS = frozenset({"Version", "Id", "Statement"})


class TrustPolicyError(ImdsdError):
    """A text is no trust policy that can be judged; says where, what was found and expected."""

    def __init__(self, where: str, *, found: str, expected: str) -> None:
        self.where = where
        self.found = found
        self.expected = expected
        super().__init__(f"trust policy: {where} is {found}, expected {expected}")


def write_trust_policy(
    *, account: str, issuer: str, audience: str, subject: str, partition: str = "aws"
) -> str:
    """Write the trust policy that lets one audience and one subject pattern assume a role.

    A `subject` without `*` or `?` is compared exactly.
    """
    operator = "StringLike" if re.search(r"[*?]", subject) else "StringEquals"
    document = policy_document(
        provider=provider_arn(issuer, account=account, partition=partition),
        name=provider_name(issuer),
        audience=audience,
        subject=(operator, literal(subject)),
    )
    return json.dumps(document, indent=2)


def policy_document(
    *,
    provider: object,
    name: str,
    audience: str,
    subject: tuple[str, str],
    actions: tuple[str, ...] = (WEB_IDENTITY_ACTION,),
) -> dict[str, object]:
    """Return a trust policy for one provider, one audience and one subject, as IAM's document.

    `subject` is an operator and its value, in which what is literal is marked as such; `provider`
    is the ARN, or what stands for it in a template.
    """
    operator, value = subject
    conditions: dict[str, dict[str, str]] = {"StringEquals": {f"{name}:aud": literal(audience)}}
    conditions.setdefault(operator, {})[f"{name}:sub"] = value
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": actions[0] if len(actions) == 1 else list(actions),
        "Condition": conditions,
    }
    return {"Version": _VERSION, "Statement": [statement]}


def literal(text: str, *, wildcards: bool = False) -> str:
    """Mark what IAM would fill in as a policy variable, and on request its wildcards, as text."""
    marked = r"[*?]|\$(?=\{)" if wildcards else r"\$(?=\{)"
    return re.sub(marked, lambda found: f"${{{found[0]}}}", text)


def parse_trust_policy(text: str) -> TrustPolicy:
    """Parse a trust policy document.

    Raises TrustPolicyError for what is no JSON, no trust policy, or cannot be judged here.
    """
    return read_trust_policy(parse_json(text))


def parse_json(text: str) -> object:
    """Parse JSON, in which no key may stand twice; raises TrustPolicyError."""
    try:
        parsed: object = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise TrustPolicyError(
            "the document", found=f"no JSON ({error})", expected="an object in JSON"
        ) from None
    return parsed


def read_trust_policy(document: object) -> TrustPolicy:
    """Read a trust policy out of parsed JSON; raises TrustPolicyError."""
    policy = _object(document, "the document")
    _refuse_unknown(policy, "the document", _POLICY_KEYS)
    statements = policy.get("Statement")
    listed = statements if isinstance(statements, list) else [statements]
    if not listed:
        raise TrustPolicyError("Statement", found="empty", expected="at least one statement")
    return TrustPolicy(tuple(_statement(item, index) for index, item in enumerate(listed)))


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} twice in one object")
    return found


def _statement(item: object, index: int) -> Statement:
    where = f"Statement[{index}]"
    fields = _object(item, where)
    _refuse_unknown(fields, where, _STATEMENT_KEYS)
    effect = fields.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise TrustPolicyError(f"{where}.Effect", found=repr(effect), expected="Allow or Deny")
    sid = fields.get("Sid")
    return Statement(
        label=sid if isinstance(sid, str) else where,
        allows=effect == "Allow",
        principals=tuple(_principals(fields.get("Principal"), f"{where}.Principal")),
        actions=_texts(fields.get("Action"), f"{where}.Action"),
        conditions=tuple(_conditions(fields.get("Condition", {}), f"{where}.Condition")),
    )


def _principals(value: object, where: str) -> Iterator[Principal]:
    by_kind = {kind.value: "*" for kind in PrincipalKind} if value == "*" else _object(value, where)
    for name, listed in by_kind.items():
        texts = _texts(listed, f"{where}.{name}")
        # Services and canonical users are principals too, but none that a token can be.
        if name in {kind.value for kind in PrincipalKind}:
            yield from (Principal(PrincipalKind(name), text) for text in texts)


def _conditions(value: object, where: str) -> Iterator[Condition]:
    for name, keys in _object(value, where).items():
        operator = _operator(name, where)
        for key, values in _object(keys, f"{where}.{name}").items():
            yield Condition(operator, key, _values(operator, values, f"{where}.{name}.{key}"))


def _values(operator: Operator, value: object, where: str) -> tuple[str, ...]:
    if operator.comparison in {"Null", "Bool"}:
        return _truths(value, where)
    texts = _texts(value, where)
    for text in texts:
        if _VARIABLE.search(text):
            raise TrustPolicyError(where, found=repr(text), expected="no policy variable")
    return texts


def _truths(value: object, where: str) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    words = tuple(str(item).lower() for item in listed if isinstance(item, bool | str))
    if not words or len(words) < len(listed) or not {"true", "false"}.issuperset(words):
        raise TrustPolicyError(where, found=_kind(value), expected="true or false")
    return words


def _operator(name: str, where: str) -> Operator:
    if name == "Null":
        return Operator(name, "Null")
    parts = _OPERATOR.fullmatch(name)
    if parts is None:
        raise TrustPolicyError(where, found=repr(name), expected=_KNOWN_OPERATORS)
    return Operator(
        name=name,
        comparison=parts["comparison"] or parts["bool"],
        negated=parts["negated"] is not None,
        if_exists=parts["if_exists"] is not None,
        quantifier=parts["quantifier"] or "",
    )


def _refuse_unknown(fields: Mapping[str, object], where: str, known: frozenset[str]) -> None:
    for name in fields.keys() - known:
        expected = f"only {', '.join(sorted(known))}"
        raise TrustPolicyError(f"{where}.{name}", found="present", expected=expected)


def _object(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TrustPolicyError(where, found=_kind(value), expected="an object")
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    texts = tuple(item for item in listed if isinstance(item, str))
    if not texts or len(texts) < len(listed):
        raise TrustPolicyError(where, found=_kind(value), expected="a text or a list of texts")
    return texts


def _kind(value: object) -> str:
    return "absent" if value is None else f"{type(value).__name__} {json.dumps(value)[:80]}"
