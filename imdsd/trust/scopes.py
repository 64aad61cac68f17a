"""The only module that knows the forms of Ona's subjects, and how much of one a scope keeps.

Version 2 of the claims has `org:ID/prj:ID/env:ID`, version 3 has
`organization_id:ID:project_id:ID:environment_id:ID` with what the organization adds after it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from imdsd.errors import ClaimsError
from imdsd.trust.document import literal


class Scope(StrEnum):
    """Whom a trust policy lets in, the widest first."""

    ORGANIZATION = "organization"
    PROJECT = "project"
    ENVIRONMENT = "environment"
    EXACT = "exact"


@dataclass(frozen=True, slots=True)
class SubjectRule:
    """What `sub` is compared with: a text, and whether anything may follow it.

    `warning` says who else is let in, where that is more than one subject of one environment.
    """

    text: str
    is_open: bool = False
    warning: str = ""

    @property
    def condition(self) -> tuple[str, str]:
        """Return the operator and the value of the condition."""
        if self.is_open:
            return "StringLike", f"{literal(self.text, wildcards=True)}*"
        return "StringEquals", literal(self.text)


@dataclass(frozen=True, slots=True)
class _Form:
    separator: str
    organization: str
    project: str
    environment: str

    def head(self, subject: str, scope: Scope) -> re.Match[str] | None:
        """Find the part of a subject that a scope keeps; the group is the scope's own ID.

        It begins the subject and has nothing but IDs: a `*` before them, or after a text that
        somebody can choose, could match the subject of others.
        """
        project = f"{self.separator}{self.project}:{_ID}"
        own = {
            Scope.ORGANIZATION: rf"{self.organization}:({_ID})",
            Scope.PROJECT: rf"{self.organization}:{_ID}{self.separator}{self.project}:({_ID})",
            Scope.ENVIRONMENT: rf"{self.organization}:{_ID}(?:{project})?"
            rf"{self.separator}{self.environment}:({_ID})",
        }
        return re.match(rf"{own[scope]}(?={self.separator}|\Z)", subject, re.ASCII)


_ID = r"[\w.-]+"
_FORMS = (
    _Form("/", "org", "prj", "env"),
    _Form(":", "organization_id", "project_id", "environment_id"),
)
_EXPECTED = {
    Scope.ORGANIZATION: "org:ID/… or organization_id:ID:…",
    Scope.PROJECT: "org:ID/prj:ID/… or organization_id:ID:project_id:ID…",
    Scope.ENVIRONMENT: "org:ID/prj:ID/env:ID or …:project_id:ID:environment_id:ID…",
}
_WHOM = {
    Scope.ORGANIZATION: "every environment of organization {}",
    Scope.PROJECT: "every environment of project {}",
    Scope.ENVIRONMENT: "every token of environment {}",
}


def subject_rule(subject: str, scope: Scope) -> SubjectRule:
    """Return what a subject is compared with at a scope.

    Raises ClaimsError where the subject does not say what the scope needs.
    """
    if scope is Scope.EXACT:
        return SubjectRule(subject, warning=_shared(subject))
    for form in _FORMS:
        head = form.head(subject, scope)
        if head is not None:
            return _kept(subject, head, scope, form.separator)
    raise ClaimsError(
        "sub",
        found=repr(subject),
        expected=f"{_EXPECTED[scope]} for the scope {scope}",
        remedy=f"choose another scope; {Scope.EXACT} fits every subject",
    )


def _kept(subject: str, head: re.Match[str], scope: Scope, separator: str) -> SubjectRule:
    if head[0] == subject:
        return SubjectRule(subject, warning=_shared(subject))
    warning = f"the scope {scope} lets in {_WHOM[scope].format(head[1])}"
    return SubjectRule(head[0] + separator, is_open=True, warning=warning)


def _shared(subject: str) -> str:
    """Say who else has this very subject: one that names no environment is not of one alone."""
    for scope in (Scope.ENVIRONMENT, Scope.PROJECT, Scope.ORGANIZATION):
        heads = [head for form in _FORMS if (head := form.head(subject, scope))]
        if heads and scope is Scope.ENVIRONMENT:
            return ""
        if heads:
            whom = _WHOM[scope].format(heads[0][1])
            return f"the subject names no environment: {whom} has the same and is let in"
    return ""
