"""Listings and paths of an upstream metadata service: none leads to credentials, or elsewhere."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from imdsd.endpoints.upstream.listing import parse_listing
from imdsd.endpoints.upstream.paths import Coverage
from tests.fuzz.shapes import odd_texts, spoiled
from tests.fuzz.target import Target

_COVERAGE = Coverage(("meta-data/", "dynamic/", "user-data"))
_PLAIN = re.compile(r"(meta-data|dynamic|user-data)(/[\w\-.~!$&'()*+,=:@]+)*", re.ASCII)


def check(data: bytes) -> None:
    """Take a first line for a directory, the rest for its listing, and each line for a path."""
    directory, _, body = data.decode("latin-1").partition("\n")
    if _COVERAGE.covers(directory):  # no other is asked for
        listing = parse_listing(directory, body.encode("latin-1"))
        for name in listing.names:
            _assert_harmless(f"{directory}/{name}".removesuffix("/"))
        assert {f"{label}/" for label in listing.labels} <= listing.names
        assert all(line.isascii() and b"\n" not in line for line in listing.labels.values())
    for path in data.decode("latin-1").split("\n"):
        if _COVERAGE.covers(path):
            _assert_harmless(path)


def _assert_harmless(path: str) -> None:
    """Hold that any server takes this path for itself, and that it is none of credentials."""
    assert _PLAIN.fullmatch(path), path
    segments = path.lower().split("/")
    assert not {"", ".", ".."} & set(segments), path
    assert segments[:2] != ["meta-data", "iam"], path
    assert not any(each.startswith("security-credentials") for each in segments), path


_LINES = st.one_of(
    st.sampled_from(
        ("meta-data", "iam/", "IAM", "..", "public-keys", "0=my key", "0=", "security-credentials/", "a/b",
         "%69am", "instance-id", "tags/", "user-data", "dynamic", ".", "meta-data/iam/", "99999=x")
    ),
    odd_texts(),
)  # fmt: skip
_SEEDS = (
    b"meta-data\nami-id\niam/\ntags/\npublic-keys/",
    b"meta-data/public-keys\n0=my-key\n1=another key",
    b"dynamic\ninstance-identity/\nfws/",
    b"meta-data/tags\ninstance/\n..\n../iam",
    b"meta-data/IAM/security-credentials\ndev",
)

TARGET = Target(
    check,
    cases=st.one_of(
        st.lists(_LINES, max_size=5).map(
            lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")
        ),
        spoiled(st.sampled_from(_SEEDS)),
    ),
    seeds=_SEEDS,
    longest=512,
)
