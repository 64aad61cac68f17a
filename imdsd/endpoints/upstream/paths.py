"""Which paths are upstream's to answer, and which never are, whatever is configured."""

from __future__ import annotations

import re

MOST_SEGMENTS = 16

_TOPS = ("meta-data", "dynamic", "user-data")
# What a path segment may hold as it is (RFC 3986, section 3.3). Escapes and `;` are left out: a
# server may take such a segment for another one.
_SEGMENT = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,=:@]+")


class Coverage:
    """The configured prefixes; one that ends in a slash means itself and everything below."""

    def __init__(self, prefixes: tuple[str, ...]) -> None:
        directories = {prefix for prefix in prefixes if prefix.endswith("/")}
        self._directories = tuple(
            sorted(each for each in directories if not _is_below(each, directories - {each}))
        )
        leaves = {prefix for prefix in prefixes if not prefix.endswith("/")}
        self._leaves = frozenset(each for each in leaves if not _is_below(each, directories))

    def covers(self, path: str) -> bool:
        """Whether a path below a version, without a slash at either end, is upstream's."""
        if path not in self._leaves and not f"{path}/".startswith(self._directories):
            return False
        return may_pass(path)

    def is_leaf(self, path: str) -> bool:
        """Whether a path is configured as that one leaf."""
        return path in self._leaves

    def roots(self) -> tuple[str, ...]:
        """Return where a crawl begins; directories end in a slash."""
        roots = (*self._directories, *sorted(self._leaves))
        return tuple(root for root in roots if may_pass(root.removesuffix("/")))


def may_pass(path: str) -> bool:
    """Whether upstream may be asked for a path at all: it is plain, and leads to no credentials.

    Letters of either case count, so that a service which makes no difference gives none away.
    """
    segments = path.split("/")
    if segments[0] not in _TOPS or len(segments) > MOST_SEGMENTS:
        return False
    if not all(_SEGMENT.fullmatch(each) and each.strip(".") for each in segments):
        return False
    lowered = [segment.lower() for segment in segments]
    return lowered[:2] != ["meta-data", "iam"] and not any(
        segment.startswith("security-credentials") for segment in lowered
    )


def _is_below(path: str, directories: set[str]) -> bool:
    return f"{path}/".startswith(tuple(directories))
