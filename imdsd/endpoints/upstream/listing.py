"""How upstream's listings read: names, sub-directories with a slash, and labelled public keys."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imdsd.endpoints.upstream.paths import may_pass

if TYPE_CHECKING:
    from collections.abc import Mapping

_PUBLIC_KEYS = "public-keys"
# A key pair's name is up to 255 ASCII characters, blanks among them:
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateKeyPair.html
_KEY = re.compile(r"([0-9]{1,4})=[ -~]{1,255}")


@dataclass(frozen=True, slots=True)
class DirectoryListing:
    """What a directory holds: names, those of directories with a slash at the end.

    `labels` are the lines that name a directory otherwise, by its name.
    """

    names: frozenset[str]
    labels: Mapping[str, bytes] = field(default_factory=dict)


def parse_listing(directory: str, body: bytes) -> DirectoryListing:
    """Return the names in a listing that may be asked for; what else it says is passed over."""
    names, labels = set(), {}
    labelled = directory.rpartition("/")[2] == _PUBLIC_KEYS
    for line in body.decode("ascii", "replace").splitlines():
        if labelled and (key := _KEY.fullmatch(line)):
            labels[key[1]] = line.encode()
            names.add(f"{key[1]}/")
        elif may_pass(f"{directory}/{line.removesuffix('/')}"):
            names.add(line)
    return DirectoryListing(frozenset(names), labels)
