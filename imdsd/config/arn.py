"""The only module that knows ARNs of IAM: their shape, their partitions, and common mix-ups."""

from __future__ import annotations

import re
from dataclasses import dataclass

from imdsd.config.parsers import matching, text
from imdsd.config.tables import ExpectedError

EXAMPLE = "arn:aws:iam::123456789012:role/NAME"

_ROLE = re.compile(
    r"arn:(aws(?:-[a-z]+)*):iam::(\d{12}):role/(?:[!-.0-~]+/)*[\w+=,.@-]{1,64}", re.ASCII
)
_MOST_CHARACTERS = 2048  # AssumeRoleWithWebIdentity's limit on RoleArn

_PARTITION_REGIONS = {
    "aws": "us-east-1",
    "aws-cn": "cn-north-1",
    "aws-us-gov": "us-gov-west-1",
    "aws-iso": "us-iso-east-1",
    "aws-iso-b": "us-isob-east-1",
    "aws-iso-e": "eu-isoe-west-1",
    "aws-iso-f": "us-isof-south-1",
    "aws-eusc": "eusc-de-east-1",
}

_REGION_PREFIXES = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "eu-isoe-": "aws-iso-e",
    "us-isof-": "aws-iso-f",
    "eusc-": "aws-eusc",
}

_MIX_UPS = (
    (
        r"arn:([^:]+):sts::(\d{12}):assumed-role/([^/]+).*",
        r"that is a session of a role, whose ARN is arn:\1:iam::\2:role/\3 (perhaps with a path)",
    ),
    (r"arn:.*:user/.*", "a user cannot be assumed with a web identity token; name a role"),
    (
        r"arn:([^:]+):iam::(\d{12}):instance-profile/(.*)",
        r"that is an instance profile; its role is often called the same: arn:\1:iam::\2:role/\3",
    ),
    (r"arn:.*:oidc-provider/.*", "that is the identity provider; name the role that trusts it"),
    (r"arn:.*:policy/.*", "that is a policy; name the role it is attached to"),
    (
        r"arn:([^:]+):iam::(\d{12}):([\w+=,.@-]+)",
        r"role/ is missing: arn:\1:iam::\2:role/\3",
    ),
    (
        r"arn:([^:]+):iam:[^:]+:(\d{12}):(role/.+)",
        r"IAM has no region in its ARNs: arn:\1:iam::\2:\3",
    ),
    (r"arn:[^:]+:iam::(?!\d{12}:)[^:]*:role/.*", "an account has exactly 12 digits"),
    (r"(?!arn:)(?:role/)?[\w+=,.@-]+", f"write the whole ARN: {EXAMPLE}"),
    (r"\s.*|.*\s|[\"'].*", "take the spaces and quotes around it away"),
)
"""What is found instead of a role's ARN, and what to say about it; the first that fits counts."""


@dataclass(frozen=True, slots=True)
class RoleArn:
    """The ARN of an IAM role; `text` is the whole of it."""

    text: str
    partition: str
    account: str


def role_arn(value: object) -> RoleArn:
    """Return the ARN of a role, or refuse with a hint for what is often mistaken for one."""
    found = text(value)
    match = _ROLE.fullmatch(found)
    if match is None or len(found) > _MOST_CHARACTERS:
        raise ExpectedError(f"the ARN of a role, {EXAMPLE}", hint=_hint(found))
    return RoleArn(found, match[1], match[2])


policy_arn = matching(
    r"arn:aws(-[a-z]+)*:iam::(aws|\d{12}):policy/[!-~]{1,1024}",
    "the ARN of a policy, arn:aws:iam::aws:policy/NAME",
)

account_id = matching(r"\d{12}", 'an account of 12 digits in quotes, "123456789012"')

region = matching(r"[a-z]{2,8}(-[a-z]+)+-\d{1,2}", "a region such as eu-central-1")


def default_region(partition: str) -> str | None:
    """Return the region whose STS a partition is asked at when nobody names one."""
    return _PARTITION_REGIONS.get(partition)


def partition_of(region_name: str) -> str:
    """Return the partition a region lies in."""
    for prefix, partition in _REGION_PREFIXES.items():
        if region_name.startswith(prefix):
            return partition
    return "aws"


def _hint(found: str) -> str:
    for pattern, hint in _MIX_UPS:
        match = re.fullmatch(pattern, found, re.ASCII)
        if match is not None:
            return match.expand(hint) if match.re.groups else hint
    return ""
