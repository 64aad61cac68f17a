"""What a wire case is: a request, the answer it must get, and who needs that."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

SERVICES = ("imdsd", "ec2")
TOKENS = ("valid", "none", "forged", "expired")
FACTS = {
    "address": "the host of the base URL, without a port",
    "bearer": "the container endpoint's bearer, of --bearer-file",
    "container_role": "the default role's name on the container face",
    "each": "the value that this case is repeated with",
    "expired_token": "an IMDS token that was good for a second",
    "forged_token": "an IMDS token with another character in its second half",
    "host": "the host of the base URL, with its port",
    "instance_id": "meta-data/instance-id",
    "mac": "meta-data/mac",
    "port": "the port of the base URL",
    "region": "meta-data/placement/region",
    "role": "the name that meta-data/iam/security-credentials lists",
    "token": "an IMDS token of this run",
    "zone": "meta-data/placement/availability-zone",
}
"""What `{name}` in a case may stand for."""

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_TOKEN_PATH = re.compile(r"/+[^/]+/+api/+token/*")
_OTHER_FACES = re.compile(r"/(v1/credentials|healthz|readyz|status|metrics|refresh|events)(/.*)?")

Pairs = tuple[tuple[str, str], ...]
Fill = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an answer must be; what is None or empty is not looked at."""

    status: tuple[int, ...]
    headers: Pairs = ()
    absent: tuple[str, ...] = ()
    body: str | None = None
    body_matches: str | None = None
    body_empty: bool = False
    body_bytes: int | None = None
    lines_include: tuple[str, ...] = ()
    lines_exclude: tuple[str, ...] = ()
    lines_sorted: bool = False
    json: Mapping[str, object] | None = None
    json_keys: tuple[str, ...] = ()
    same_as: str | None = None
    answers: int = 1
    closed: bool | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One request and the answer it must get.

    `raw` are lines of a request that is sent as it stands; without it one is made of `method`,
    `path`, `headers`, `token` and `body`. `each` is what `{each}` stands for in this case.
    """

    name: str
    reason: str
    expect: Expectation
    method: str = "GET"
    path: str = "/"
    headers: Pairs = ()
    token: str | None = None
    body: str | None = None
    raw: tuple[str, ...] = ()
    on: tuple[str, ...] = SERVICES
    needs: str = "plain"
    each: str = ""

    @property
    def target(self) -> str:
        """The request target, whoever worded it."""
        if not self.raw:
            return self.path
        words = self.raw[0].split(" ")
        return words[1] if len(words) > 1 else ""

    @property
    def verb(self) -> str:
        """The method of the last request, whoever worded it."""
        if not self.raw:
            return self.method
        lines = [line for line in self.raw if re.fullmatch(r"\S+ \S+ HTTP/1\.[01]", line)]
        return lines[-1].split(" ")[0] if lines else ""

    @property
    def is_imds(self) -> bool:
        """Whether the metadata service has to answer it."""
        return not _OTHER_FACES.fullmatch(self.target.partition("?")[0])

    @property
    def shows(self) -> str:
        """Which token the request carries: a valid one where a read of metadata needs it."""
        if self.token is not None or self.raw:
            return self.token or "none"
        reads = self.method in ("GET", "HEAD") and not _TOKEN_PATH.fullmatch(self.path)
        return "valid" if reads and self.is_imds else "none"

    def filled(self, fill: Fill) -> Case:
        """Return the case with every `{name}` replaced; in a pattern by what matches just that."""
        headers = tuple((name, fill(value)) for name, value in self.headers)
        raw = tuple(map(fill, self.raw))
        body = None if self.body is None else fill(self.body)
        return replace(
            self,
            method=fill(self.method),
            path=fill(self.path),
            headers=headers,
            raw=raw,
            body=body,
            expect=_filled(self.expect, fill),
        )


def _filled(expect: Expectation, fill: Fill) -> Expectation:
    def optional(text: str | None) -> str | None:
        return None if text is None else fill(text)

    def in_pattern(text: str) -> str:
        return PLACEHOLDER.sub(lambda found: re.escape(fill(found[0])), text)

    def value(text: str) -> str:
        return in_pattern(text) if text.startswith("~") else fill(text)

    json = expect.json and {
        key: value(each) if isinstance(each, str) else each for key, each in expect.json.items()
    }
    return replace(
        expect,
        headers=tuple((name, value(text)) for name, text in expect.headers),
        body=optional(expect.body),
        body_matches=None if expect.body_matches is None else in_pattern(expect.body_matches),
        lines_include=tuple(map(fill, expect.lines_include)),
        lines_exclude=tuple(map(fill, expect.lines_exclude)),
        json=json,
        same_as=optional(expect.same_as),
    )
