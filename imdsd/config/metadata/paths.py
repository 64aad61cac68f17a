"""The only module that knows which paths EC2's tree has, and which of them may be configured.

Source: the EC2 user guide's page "Use instance metadata to manage your EC2 instance"
(ec2-instance-metadata.html), and what the real service lists beyond it.
"""

from __future__ import annotations

import difflib

from imdsd.config.parsers import of_type
from imdsd.config.tables import ExpectedError, shown
from imdsd.errors import nearest
from imdsd.metadata.tree import VERSIONS, split_path

_MOST_CHARACTERS = 1024
_MOST_SEGMENTS = 16
_SIMILAR = 0.8

_ROOTS = ("meta-data", "dynamic")
_ANY = "*"

_OF_INTERFACES = (
    "device-number", "interface-id", "ipv4-associations/*", "ipv4-prefix", "ipv6-prefix", "ipv6s",
    "local-hostname", "local-ipv4s", "mac", "network-card-index", "owner-id", "public-hostname",
    "public-ipv4s", "security-group-ids", "security-groups", "subnet-id",
    "subnet-ipv4-cidr-block", "subnet-ipv6-cidr-blocks", "vpc-id", "vpc-ipv4-cidr-block",
    "vpc-ipv4-cidr-blocks", "vpc-ipv6-cidr-blocks",
)  # fmt: skip

_OF_META_DATA = (
    "ami-id", "ami-launch-index", "ami-manifest-path", "ancestor-ami-ids",
    "autoscaling/target-lifecycle-state", "block-device-mapping/*",
    "elastic-gpus/associations/*", "elastic-inference/associations/*",
    "events/maintenance/history", "events/maintenance/scheduled",
    "events/recommendations/rebalance", "hostname", "iam/info", "iam/security-credentials/*",
    "identity-credentials/ec2/info", "identity-credentials/ec2/security-credentials/*",
    "instance-action", "instance-id", "instance-life-cycle", "instance-type", "ipv6", "kernel-id",
    "local-hostname", "local-ipv4", "mac", "managed-ssh-keys/signer-cert", "metrics/vhostmd",
    "placement/availability-zone", "placement/availability-zone-id", "placement/group-name",
    "placement/host-id", "placement/partition-number", "placement/region", "product-codes",
    "profile", "public-hostname", "public-ipv4", "public-keys/*/openssh-key", "ramdisk-id",
    "reservation-id", "security-groups", "services/domain", "services/partition",
    "spot/instance-action", "spot/termination-time", "system", "tags/instance/*",
    *(f"network/interfaces/macs/*/{name}" for name in _OF_INTERFACES),
)  # fmt: skip

_OF_DYNAMIC = (
    "fws/instance-monitoring", "instance-identity/document", "instance-identity/pkcs7",
    "instance-identity/rsa2048", "instance-identity/signature",
)  # fmt: skip

KNOWN = (
    *(f"meta-data/{path}" for path in _OF_META_DATA),
    *(f"dynamic/{path}" for path in _OF_DYNAMIC),
    "user-data",
)
"""The leaves of EC2's tree by their path below a version; * stands for any one name."""

Segments = tuple[str, ...]
_PATTERNS: tuple[Segments, ...] = tuple(tuple(path.split("/")) for path in KNOWN)

_CREDENTIALS: tuple[Segments, ...] = (
    ("iam",),
    ("api",),
    ("identity-credentials", "ec2", "security-credentials"),
)
"""What no one else may answer, below meta-data or a version, with all that is below it."""

_OWN = (*_CREDENTIALS, ("identity-credentials",))
"""What no configuration may say either: it names the account of the credentials."""

_OWN_KEYS = (
    ("user-data", "the key user_data or user_data_file", "it is no leaf of [metadata.leaves]"),
    ("meta-data/public-keys", "the key public_keys", "the directory lists names, not leaves"),
    (
        "meta-data/events/maintenance",
        "a [[metadata.event]]",
        'kind = "maintenance" puts it there; the two lists are always served',
    ),
)
"""Paths that other keys give, with the key and why."""

_text = of_type(str, "a text in quotes")
_A_LEAF = 'a leaf by its path below a version, such as "meta-data/instance-id"'


def leaf_path(value: object) -> str:
    """Return the path of a leaf that may be configured, or refuse it with the right spelling."""
    found = _text(value)
    segments = _spelt(found, _A_LEAF)
    _refuse_reserved(segments, _A_LEAF, _OWN)
    path = "/".join(segments)
    for place, key, why in _OWN_KEYS:
        if path == place or path.startswith(f"{place}/"):
            raise ExpectedError(key, found=shown(path), hint=why)
    if found != path:
        raise ExpectedError(_A_LEAF, found=shown(found), hint=f'write "{path}"')
    _refuse_directory(segments)
    return path


def covered_path(value: object) -> str:
    """Return a path that upstream may answer: a leaf, or a directory that ends in a slash."""
    found = _text(value)
    expected = 'a directory such as "meta-data/tags/" or a leaf such as "meta-data/ami-id"'
    segments = _spelt(found, expected)
    _refuse_reserved(segments, expected)
    path = "/".join(segments) + ("/" if found.endswith("/") else "")
    if found != path:
        raise ExpectedError(expected, hint=f'write "{path}"')
    if not path.endswith("/") and is_directory(segments):
        raise ExpectedError(expected, hint=f'write "{path}/" for all that is below it')
    if path == "user-data/":
        raise ExpectedError(expected, hint='write "user-data"')
    return path


def similar_path(path: str) -> str | None:
    """Return EC2's path that one of another spelling is near to; None for one of EC2's own."""
    segments = split_path(path)
    if any(_matches(segments, pattern) for pattern in _PATTERNS):
        return None
    filled = [_fill(pattern, segments) for pattern in _PATTERNS if len(pattern) == len(segments)]
    near = [(_likeness(each, segments), each) for each in filled]
    likeness, best = max(near, default=(0.0, ()))
    return "/".join(best) if likeness >= _SIMILAR else None


def is_directory(segments: Segments) -> bool:
    """Whether EC2's tree has a directory there, perhaps an empty one."""
    depth = len(segments)
    return any(
        len(pattern) > depth and _matches(segments, pattern[:depth]) for pattern in _PATTERNS
    )


def _spelt(found: str, expected: str) -> Segments:
    """Return the segments that a path has to have, without doubled slashes or a version."""
    _refuse_characters(found, expected)
    segments = split_path(found)
    if segments and segments[0].lower() in VERSIONS:
        segments = segments[1:]
    _refuse_reserved(segments, expected)
    if segments and _lies_in_meta_data(segments):
        segments = ("meta-data", *segments)
    if not segments or segments[0] not in (*_ROOTS, "user-data"):
        raise ExpectedError(expected, hint=_root_hint(segments))
    if len(segments) > _MOST_SEGMENTS:
        found_depth = f"a path of {len(segments)} names"
        raise ExpectedError(f"at most {_MOST_SEGMENTS} names in a path", found=found_depth)
    return segments


def _refuse_characters(found: str, expected: str) -> None:
    if len(found) > _MOST_CHARACTERS:
        raise ExpectedError(
            f"at most {_MOST_CHARACTERS} characters", found=f"a path of {len(found)}"
        )
    if not found.isascii() or not found.isprintable() or set(found) & set(" ?#%\\"):
        hint = "a path has printable ASCII without spaces, ?, #, % and \\"
        raise ExpectedError(expected, found=shown(found), hint=hint)
    if {".", ".."} & set(found.split("/")):
        raise ExpectedError(expected, found=shown(found), hint="no name may be . or ..")


def _lies_in_meta_data(segments: Segments) -> bool:
    return segments[0] not in (*_ROOTS, "user-data") and (
        is_directory(("meta-data", segments[0]))
        or any(_matches(("meta-data", segments[0]), pattern) for pattern in _PATTERNS)
    )


def _root_hint(segments: Segments) -> str:
    near = nearest(segments[0].lower(), (*_ROOTS, "user-data")) if segments else None
    if near is not None:
        return f'write "{"/".join((near, *segments[1:]))}"'
    return 'its first name is "meta-data" or "dynamic"'


def _refuse_reserved(
    segments: Segments, expected: str, reserved: tuple[Segments, ...] = _CREDENTIALS
) -> None:
    """Refuse what only the daemon itself may answer, however it is spelt."""
    names = tuple(name.lower() for name in segments)
    if names[:1] == ("meta-data",):
        names = names[1:]
    if any(names[: len(place)] == place for place in reserved) or any(
        name.startswith("security-credentials") for name in names
    ):
        found = f"{shown('/'.join(segments))}, which is reserved"
        hint = "take it out; credentials and tokens are the daemon's own, and never passed through"
        raise ExpectedError(expected, found=found, hint=hint)


def _refuse_directory(segments: Segments) -> None:
    path = "/".join(segments)
    if is_directory(segments):
        raise ExpectedError(
            "a leaf", found=f"{shown(path)}, a directory of EC2's tree", hint="name a leaf below it"
        )
    for depth in range(1, len(segments)):
        if any(_matches(segments[:depth], pattern) for pattern in _PATTERNS):
            above = "/".join(segments[:depth])
            found = f"{shown(path)}, below {above!r}, which is a leaf in EC2's tree"
            raise ExpectedError("either a leaf or a directory", found=found)


def _matches(segments: Segments, pattern: Segments) -> bool:
    return len(segments) == len(pattern) and all(
        part in (_ANY, name) for name, part in zip(segments, pattern, strict=True)
    )


def _fill(pattern: Segments, segments: Segments) -> Segments:
    pairs = zip(segments, pattern, strict=True)
    return tuple(name if part == _ANY else part for name, part in pairs)


def _likeness(one: Segments, other: Segments) -> float:
    """Return how near two paths of a length are, by the names in which they differ."""
    differing = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
    if len(differing) != 1:
        return 0.0
    return difflib.SequenceMatcher(None, *differing[0]).ratio()
