"""The only module that knows which leaves the keys that describe the whole instance give.

Sources for tags: the EC2 user guide's pages "View tags for your EC2 instances using instance
metadata" (work-with-tags-in-IMDS.html) and "Tag your Amazon EC2 resources" (Using_Tags.html).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from imdsd.config import arn
from imdsd.config.metadata import values
from imdsd.config.metadata.entries import entries_of
from imdsd.config.parsers import of_type
from imdsd.config.tables import ExpectedError, Table, shown

if TYPE_CHECKING:
    from imdsd.config.metadata.placing import Placing
    from imdsd.errors import Problem

REGION = "meta-data/placement/region"
ZONE = "meta-data/placement/availability-zone"
MAC = "meta-data/mac"
DOCUMENT = "dynamic/instance-identity/document"
SECURITY_GROUPS = "meta-data/security-groups"

PATHS: Mapping[str, tuple[str, Callable[[object], str]]] = {
    "region": (REGION, arn.region),
    "availability_zone": (ZONE, values.availability_zone),
    "availability_zone_id": (f"{ZONE}-id", values.availability_zone_id),
    "instance_id": ("meta-data/instance-id", values.instance_id),
    "instance_type": ("meta-data/instance-type", values.instance_type),
    "ami_id": ("meta-data/ami-id", values.ami_id),
    "hostname": ("meta-data/hostname", values.host_name),
    "local_hostname": ("meta-data/local-hostname", values.host_name),
    "local_ipv4": ("meta-data/local-ipv4", values.ipv4),
    "ipv6": ("meta-data/ipv6", values.ipv6),
    "mac": (MAC, values.mac),
    "public_ipv4": ("meta-data/public-ipv4", values.ipv4),
    "public_hostname": ("meta-data/public-hostname", values.host_name),
}
"""The leaf of each key that holds one value, and what that may be."""

_MOST_BYTES = 65536

_TAGS = "meta-data/tags/instance"
_MOST_TAGS = 50
_MOST_TAG_CHARACTERS = 256
_TAG_KEY = re.compile(r"[A-Za-z0-9+\-=.,_:@]{1,128}")
_NO_TAG_KEYS = frozenset({".", "..", "_index"})
_A_TAG_KEY = "a tag key that instance metadata can have"

_text = of_type(str, "a text in quotes")


def place_friendly(table: Table, placing: Placing) -> None:
    """Put the leaf of every plain key that is set."""
    for key, (path, parse) in PATHS.items():
        value, setting = table.read(key, parse, None), table.setting(key)
        if value is not None and setting is not None:
            placing.put(path, value.encode(), setting)
    groups, setting = table.read_each("security_groups", values.security_group), None
    if groups and (setting := table.setting("security_groups")) is not None:
        placing.put(SECURITY_GROUPS, "\n".join(groups).encode(), setting)


def place_tags(table: Table, placing: Placing, problems: list[Problem]) -> None:
    """Put the leaf of every tag."""
    found = entries_of(table, "tags")
    if len(found) > _MOST_TAGS:
        refusal = ExpectedError(f"at most {_MOST_TAGS} tags, EC2's limit", found=f"{len(found)}")
        table.refuse("tags", refusal)
        return
    tags = Table(found, problems)
    for key, setting in found.items():
        value = tags.read(key, _tag_called(key), None)
        if value is not None:
            placing.put(f"{_TAGS}/{key}", value.encode(), setting)


def _tag_called(key: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        _check_tag_key(key)
        found = _text(value)
        if len(found) > _MOST_TAG_CHARACTERS or not found.isprintable():
            expected = f"a text of one line, of at most {_MOST_TAG_CHARACTERS} characters"
            raise ExpectedError(expected)
        return found

    return parse


def _check_tag_key(key: str) -> None:
    if key.lower().startswith("aws:"):
        hint = f'a tag of AWS\'s own stands in [metadata.leaves]: "{_TAGS}/{key}" = "…"'
        raise ExpectedError(_A_TAG_KEY, found=f"{shown(key)}, a prefix of AWS's own", hint=hint)
    if not _TAG_KEY.fullmatch(key) or key in _NO_TAG_KEYS:
        hint = "1 to 128 of a-z, A-Z, 0-9 and + - = . , _ : @, and not ., .. or _index"
        raise ExpectedError(_A_TAG_KEY, found=shown(key), hint=hint)


def leaf_value(path: str) -> Callable[[object], bytes]:
    """Return a parser for the value of any leaf: what a plain key asks of it is asked here too."""
    strict = dict(PATHS.values()).get(path)

    def parse(value: object) -> bytes:
        found = _any_text(value)
        if strict is not None:
            return strict(found).encode()
        if path == DOCUMENT and not _is_object(found):
            raise ExpectedError("the text of a JSON object", found="a text that is none")
        return found.encode()

    return parse


def _any_text(value: object) -> str:
    if isinstance(value, Mapping):
        hint = 'write the whole path in quotes: "meta-data/profile" = "default-hvm"'
        raise ExpectedError("a text in quotes", found="a table", hint=hint)
    if isinstance(value, bool | int | float):
        shown = str(value).lower()
        raise ExpectedError("a text in quotes", hint=f'put it in quotes: "{shown}"')
    found = _text(value)
    if (length := len(found.encode(errors="replace"))) > _MOST_BYTES:
        raise ExpectedError(f"at most {_MOST_BYTES} bytes", found=f"{length} bytes")
    if found.endswith("\n"):
        # Clients take it for a part of the value.
        hint = "close the quotes right after the last character"
        raise ExpectedError("a text without a newline at its end", found="one with", hint=hint)
    return found


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
