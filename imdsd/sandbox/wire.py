"""The STS query protocol as the real service speaks it: parameter limits in, XML and codes out.

Limits, codes and status come from the STS API reference (version 2011-06-15); texts are the real
service's where one was seen.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from xml.sax.saxutils import escape

from imdsd.errors import ImdsdError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSION = "2011-06-15"
NAMESPACE = f"https://sts.amazonaws.com/doc/{VERSION}/"
TOO_LONG_FOR_ROLE = (
    "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
)
TOO_LONG_FOR_CHAIN = (
    "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role "
    "chaining"
)
NO_VERIFICATION_KEY = (
    "Couldn't retrieve verification key from your identity provider, please reference "
    "AssumeRoleWithWebIdentity documentation for requirements"
)
WRONG_SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)
PACKED_POLICY_BYTES = 2048
MOST_POLICY_ARNS = 10
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Code: HTTP status, and the text that goes with it.
ERRORS: Mapping[str, tuple[int, str]] = {
    "AccessDenied": (403, "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
    "ExpiredToken": (403, "The security token included in the request is expired"),
    "ExpiredTokenException": (400, "Token too old: 441398"),
    "IDPCommunicationError": (400, "Unable to reach the identity provider; please try again"),
    "IDPRejectedClaim": (403, "The identity provider (IdP) reports that authentication failed"),
    "IncompleteSignature": (400, "Authorization header is incomplete"),
    "InternalFailure": (500, "The request processing has failed because of an unknown error."),
    "InvalidAction": (400, "Could not find operation for version"),
    "InvalidClientTokenId": (403, "The security token included in the request is invalid."),
    "InvalidIdentityToken": (400, NO_VERIFICATION_KEY),
    "MalformedPolicyDocument": (400, "Syntax errors in policy."),
    "MissingAuthenticationToken": (403, "Request is missing Authentication Token"),
    "PackedPolicyTooLarge": (400, "Packed policy consumes more than 100% of allotted space"),
    "RegionDisabledException": (403, "STS is not activated in this region for this account."),
    "ServiceUnavailable": (503, "The request has failed due to a temporary failure."),
    "SignatureDoesNotMatch": (403, WRONG_SIGNATURE),
    "Throttling": (400, "Rate exceeded"),
    "ValidationError": (400, "1 validation error detected"),
}


class StsError(ImdsdError):
    """What the sandbox STS refuses; becomes an error answer with the real code and status."""

    def __init__(self, code: str, message: str = "", *, status: int | None = None) -> None:
        usual_status, usual_message = ERRORS[code]
        self.code = code
        self.message = message or usual_message
        self.status = status or usual_status
        super().__init__(f"{code}: {self.message}")


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; `code` is the error code, or OK."""

    status: int
    body: str
    code: str = "OK"
    headers: Mapping[str, str] = field(default_factory=dict)


Tree: TypeAlias = "Mapping[str, str | Tree]"


def render_result(action: str, result: Tree) -> Answer:
    """Render the answer to a successful call."""
    request_id = str(uuid.uuid4())
    tree: Tree = {
        f"{action}Result": result,
        "ResponseMetadata": {"RequestId": request_id},
    }
    return _answer(f"{action}Response", tree, status=200, code="OK", request_id=request_id)


def render_error(error: StsError) -> Answer:
    """Render a refusal."""
    request_id = str(uuid.uuid4())
    fault = "Sender" if error.status < 500 else "Receiver"  # noqa: PLR2004  # HTTP's own line
    tree: Tree = {
        "Error": {"Type": fault, "Code": error.code, "Message": error.message},
        "RequestId": request_id,
    }
    return _answer(
        "ErrorResponse", tree, status=error.status, code=error.code, request_id=request_id
    )


def _answer(root: str, tree: Tree, *, status: int, code: str, request_id: str) -> Answer:
    body = f'<{root} xmlns="{NAMESPACE}">\n{_xml(tree, indent=1)}</{root}>\n'
    return Answer(status, body, code, {"x-amzn-RequestId": request_id})


def _xml(tree: Tree, *, indent: int) -> str:
    margin = "  " * indent
    lines = (f"{margin}<{name}>{_inner(value, indent)}</{name}>\n" for name, value in tree.items())
    return "".join(lines)


def _inner(value: str | Tree, indent: int) -> str:
    if isinstance(value, str):
        return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value))
    return f"\n{_xml(value, indent=indent + 1)}{'  ' * indent}"


@dataclass(frozen=True, slots=True)
class Limit:
    """What the API reference allows for one parameter."""

    parameter: str
    shortest: int
    longest: int
    pattern: str = ""
    required: bool = False
    secret: bool = False

    def complaint(self, value: str | None) -> str:
        """Return the constraint that a value breaks, or nothing."""
        if value is None:
            return "Member must not be null" if self.required else ""
        if len(value) < self.shortest:
            return f"Member must have length greater than or equal to {self.shortest}"
        if len(value) > self.longest:
            return f"Member must have length less than or equal to {self.longest}"
        if self.pattern and not re.fullmatch(self.pattern, value, re.ASCII):
            return f"Member must satisfy regular expression pattern: {self.pattern}"
        return ""


@dataclass(frozen=True, slots=True)
class DurationLimit:
    """The range of DurationSeconds."""

    parameter: str = "DurationSeconds"
    secret: bool = False

    def complaint(self, value: str | None) -> str:
        """Return the constraint that a value breaks, or nothing."""
        if value is None:
            return ""
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
            return "Member must be an integer"
        if int(value) < 900:  # noqa: PLR2004  # the API reference's own number
            return "Member must have value greater than or equal to 900"
        if int(value) > 43200:  # noqa: PLR2004  # the API reference's own number
            return "Member must have value less than or equal to 43200"
        return ""


_ROLE_LIMITS = (
    Limit("RoleArn", 20, 2048, required=True),
    Limit("RoleSessionName", 2, 64, r"[\w+=,.@-]*", required=True),
    DurationLimit(),
    Limit("Policy", 1, 2048, "[\t\n\r -\xff]+"),
)
LIMITS: Mapping[str, tuple[Limit | DurationLimit, ...]] = {
    "AssumeRole": (*_ROLE_LIMITS, Limit("ExternalId", 2, 1224, r"[\w+=,.@:/-]*")),
    "AssumeRoleWithWebIdentity": (
        *_ROLE_LIMITS,
        Limit("WebIdentityToken", 4, 20000, required=True, secret=True),
    ),
    "GetCallerIdentity": (),
}


def check_parameters(action: str, parameters: Mapping[str, str]) -> None:
    """Refuse parameters outside their limits, all in one ValidationError as the real one does."""
    complaints = list(_complaints(action, parameters))
    if not complaints:
        return
    plural = "" if len(complaints) == 1 else "s"
    text = f"{len(complaints)} validation error{plural} detected: {'; '.join(complaints)}"
    raise StsError("ValidationError", text)


def _complaints(action: str, parameters: Mapping[str, str]) -> Iterator[str]:
    for limit in LIMITS[action]:
        value = parameters.get(limit.parameter)
        complaint = limit.complaint(value)
        if complaint:
            shown = "null" if value is None else "***" if limit.secret else f"'{value}'"
            name = limit.parameter[0].lower() + limit.parameter[1:]
            yield f"Value {shown} at '{name}' failed to satisfy constraint: {complaint}"
    if len(policy_arns(parameters)) > MOST_POLICY_ARNS:
        constraint = f"Member must have length less than or equal to {MOST_POLICY_ARNS}"
        yield f"Value at 'policyArns' failed to satisfy constraint: {constraint}"


def policy_arns(parameters: Mapping[str, str]) -> tuple[str, ...]:
    """Return the managed session policies that a call names."""
    pattern = re.compile(r"PolicyArns\.member\.\d+\.arn")
    return tuple(value for name, value in parameters.items() if pattern.fullmatch(name))


def packed_policy_size(parameters: Mapping[str, str]) -> int | None:
    """Check the session policy and return its share of the room, in percent; None without one.

    The real service packs to a binary form of its own; here a character counts as a byte.
    """
    policy = parameters.get("Policy")
    arns = policy_arns(parameters)
    if policy is None and not arns:
        return None
    if policy is not None:
        _check_session_policy(policy)
    size = (len(policy or "") + sum(map(len, arns))) * 100 // PACKED_POLICY_BYTES
    if size > 100:  # noqa: PLR2004  # a percentage
        text = f"Packed policy consumes {size}% of allotted space, please use smaller policy."
        raise StsError("PackedPolicyTooLarge", text)
    return size


def _check_session_policy(text: str) -> None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise StsError("MalformedPolicyDocument", "This policy contains invalid Json") from None
    statements = document.get("Statement") if isinstance(document, dict) else None
    listed = statements if isinstance(statements, list) else [statements]
    well_formed = (isinstance(item, dict) and _is_session_statement(item) for item in listed)
    if not listed or not all(well_formed):
        raise StsError("MalformedPolicyDocument")


def _is_session_statement(statement: Mapping[str, object]) -> bool:
    return (
        statement.get("Effect") in ("Allow", "Deny")
        and len({"Action", "NotAction"} & statement.keys()) == 1
        and len({"Resource", "NotResource"} & statement.keys()) == 1
        and not {"Principal", "NotPrincipal"} & statement.keys()
    )
