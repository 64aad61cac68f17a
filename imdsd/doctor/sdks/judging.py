"""Where each SDK of this shell ends: at the daemon, elsewhere, or nowhere, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from imdsd.doctor.finding import Diagnosis, Level, Step
from imdsd.doctor.sdks.aws_cli import judge_cli
from imdsd.doctor.sdks.chains import CHAINS
from imdsd.doctor.sdks.links import EC2_ADDRESS, IMDS_DISABLED, Kind, Link, Source, View
from imdsd.doctor.sdks.profiles import read_files
from imdsd.host.sdk_environment import STS_ENDPOINT, sts_is_on_loopback
from imdsd.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imdsd.client import Daemon
    from imdsd.doctor.finding import Finding, Surroundings

_STEP = Step.SDKS
BEARER, BEARER_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
_POINT_HERE = '`eval "$(imdsd env)"`'
_HTTP_PORT = 80
_CONTAINER_PATH = "/v1/credentials"

_warning = partial(Diagnosis, _STEP, Level.WARNING)

SERVED = Diagnosis(_STEP, Level.OK, "served", "this SDK takes what the daemon serves")
SHADOWED = _warning(
    "shadowed",
    "a variable or a profile that this SDK looks at first wins over the daemon",
    "{remedy}; or run the program by `imdsd exec -- COMMAND`, which does so for it",
)
BROKEN = _warning(
    "broken",
    "a variable breaks this SDK's chain before it comes to the daemon",
    "{remedy}",
)
NOWHERE = _warning(
    "nowhere",
    "nothing leads this SDK to the daemon",
    f"once a daemon runs, {_POINT_HERE}, or the same in the shell's profile for every shell",
)
ELSEWHERE = _warning(
    "elsewhere",
    "the variables lead this SDK to another address than the daemon's",
    f"{_POINT_HERE} in this shell, or have the daemon listen there",
)
STALE_BEARER = _warning(
    "stale-bearer",
    "the bearer in this shell is not the daemon's: its answer will be 401",
    f"{_POINT_HERE} in this shell",
)
NOT_SERVED = _warning(
    "not-served",
    "the variables ask the daemon for a role or path that it does not have: its answer will be 404",
    f"{_POINT_HERE} in this shell, or give the daemon that role",
)
STS_ELSEWHERE = _warning(
    "sts-on-loopback",
    "AWS_ENDPOINT_URL_STS sends calls of STS to this machine, as a demo does that may be over",
    f"unset {STS_ENDPOINT}",
)
BROKEN_FILE = _warning(
    "broken-file", "an AWS file cannot be read as one, and SDKs fail on it", "correct {path}"
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the daemon is: its addresses, and itself and its roles where this user may ask it."""

    addresses: frozenset[tuple[str, int]]
    daemon: Daemon | None
    roles: frozenset[str] | None = None

    def is_at(self, url: str) -> bool:
        """Whether a URL leads to the daemon, which speaks plain http."""
        try:
            parts = urlsplit(url)
            port = parts.port or _HTTP_PORT
        except ValueError:
            return False
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
        return parts.scheme == "http" and (host, port) in self.addresses

    def serves(self, url: str) -> bool:
        """Whether the daemon, to which it leads, has the role or path of a URL."""
        path = urlsplit(url).path
        role = path.removeprefix(f"{_CONTAINER_PATH}/")
        if role == path:
            return path == _CONTAINER_PATH
        return self.roles is None or unquote(role) in self.roles


def judge_sdks(around: Surroundings, target: Target) -> Iterator[Finding]:
    """Say of each SDK what it takes in this shell, then what is odd for all of them."""
    view = View(around.environ, read_files(around.environ, home=around.home))
    for sdk, chain in CHAINS.items():
        links = tuple(chain(view))
        yield _judge(sdk, links, target)
    if (stale := _stale_bearer(around.environ, target)) is not None:
        yield stale
    container = view.container()
    if container and target.is_at(container.url) and not target.serves(container.url):
        yield NOT_SERVED(f"{container.what} leads to {urlsplit(container.url).path or '/'}")
    elif container and target.is_at(container.url):
        yield from judge_cli(around)
    if sts_is_on_loopback(around.environ) and not (target.daemon and target.daemon.record.demo):
        yield STS_ELSEWHERE(f"{STS_ENDPOINT} is {_shown(around.environ[STS_ENDPOINT])}")
    for path, why in view.files.broken.items():
        yield BROKEN_FILE(f"{path}: {why}", path=str(path))


def winner(links: tuple[Link, ...]) -> Link | None:
    """Return the first link that finds something: the SDK goes no further."""
    return next((link for link in links if link.source is not None), None)


def _judge(sdk: str, links: tuple[Link, ...], target: Target) -> Finding:
    won = winner(links)
    facts: dict[str, object] = {"sdk": sdk, "chain": list(_told(links, won))}
    if won is None or won.source is None:
        found = f"{sdk} finds nothing in any link: {IMDS_DISABLED} keeps it from asking IMDS"
        return NOWHERE(found, **facts)
    source = won.source
    takes = f"{sdk} takes {won.name} ({source.what})"
    if _is_served(source, target):
        return SERVED(f"{takes}, which leads to the daemon", **facts)
    if source.kind is Kind.BROKEN:
        return BROKEN(f"{sdk} stops: {source.what}", remedy=source.remedy, **facts)
    if source.kind is Kind.IMDS and source.url == EC2_ADDRESS:
        return NOWHERE(f"{sdk} comes to its last link, {won.name}, at {EC2_ADDRESS}", **facts)
    if source.kind in (Kind.CONTAINER, Kind.IMDS):
        return ELSEWHERE(f"{takes}, which leads to {_shown(source.url)}", **facts)
    shadowed = _after(links, won, target)
    behind = f" before {shadowed.name}, which leads to the daemon" if shadowed else ""
    return SHADOWED(f"{takes}{behind}", remedy=source.remedy, **facts)


def _is_served(source: Source, target: Target) -> bool:
    return source.ours or target.is_at(source.url)


def _after(links: tuple[Link, ...], won: Link, target: Target) -> Link | None:
    rest = links[links.index(won) + 1 :]
    return next((each for each in rest if each.source and _is_served(each.source, target)), None)


def _told(links: tuple[Link, ...], won: Link | None) -> Iterator[dict[str, object]]:
    for link in links:
        found = link.source.what if link.source else None
        yield {"link": link.name, "finds": found, "wins": link is won}


def _shown(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    except ValueError:
        return "no URL"


def _stale_bearer(environ: Mapping[str, str], target: Target) -> Finding | None:
    daemon = target.daemon
    if daemon is None or not target.is_at(environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")):
        return None
    value, file = environ.get(BEARER), environ.get(BEARER_FILE)
    if value and Secret(value) != daemon.bearer:
        return STALE_BEARER(f"{BEARER} is not the daemon's bearer", variable=BEARER)
    if file and not _same_file(Path(file), daemon.bearer_file):
        told = f"{BEARER_FILE} is {file}, the daemon's bearer is in {daemon.bearer_file}"
        return STALE_BEARER(told, variable=BEARER_FILE)
    if not value and not file:
        return STALE_BEARER(f"neither {BEARER} nor {BEARER_FILE} is set", variable=BEARER)
    return None


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
