"""Who is refused before anything is looked up: one table, the same for every path and method."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from imdsd.endpoints.message import Request
    from imdsd.host.peer import Address, Peer, PeerLookup

_PROXY_HEADERS = (
    "Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port",
    "X-Forwarded-Proto", "X-Forwarded-Server", "X-Real-IP", "X-Client-IP",
    "X-Envoy-External-Address", "CF-Connecting-IP", "True-Client-IP",
)  # fmt: skip
# Not Sec-Fetch-Mode alone: Node's own fetch sends it.
_BROWSER_HEADERS = ("Origin", "Referer", "Sec-Fetch-Site")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: the guard's name, the status, and a sentence for a person.

    `ends_connection` where this is no HTTP, or nobody can say where it ends: what follows may be a
    part of it, dressed up as another request (RFC 9112, section 11.2).
    """

    guard: str
    status: int
    message: str
    ends_connection: bool = False


def refusal(request: Request) -> Refusal | None:
    """Return why this request is refused, or None."""
    for guard in _GUARDS:
        if (found := guard(request)) is not None:
            return found
    return None


def _host(request: Request) -> Refusal | None:
    hosts = request.headers.getall("Host", [])
    if len(hosts) == 1 and hosts[0].lower() in request.connection.hosts:
        return None
    return Refusal("host", 403, "Host is not an address of this daemon")


def _proxy(request: Request) -> Refusal | None:
    for name in _PROXY_HEADERS:
        if name in request.headers:
            return Refusal("proxy", 403, f"requests that came through a proxy ({name}) are refused")
    return None


def _browser(request: Request) -> Refusal | None:
    for name in _BROWSER_HEADERS:
        if name in request.headers:
            return Refusal("browser", 403, f"requests of web pages ({name}) are refused")
    return None


def _target(request: Request) -> Refusal | None:
    """Let origin form pass (RFC 9112, section 3.2.1), in printable ASCII."""
    target = request.path + request.query
    if target.startswith("/") and all("!" <= character <= "~" for character in target):
        return None
    # Whoever sends this means another protocol, or that somebody on the way reads it otherwise.
    return Refusal("target", 400, "the request target is not a plain path", ends_connection=True)


def _framing(request: Request) -> Refusal | None:
    for name in ("Content-Length", "Transfer-Encoding"):
        if len(request.headers.getall(name, [])) > 1:
            return _unclear_end(f"more than one {name} header")
    coding = request.headers.get("Transfer-Encoding")
    if coding is None:
        return None
    if "Content-Length" in request.headers:
        return _unclear_end("both Content-Length and Transfer-Encoding")
    if coding.strip().lower() != "chunked":
        return _unclear_end("a Transfer-Encoding other than chunked")
    return None


def _unclear_end(message: str) -> Refusal:
    return Refusal("framing", 400, message, ends_connection=True)


def _authorization(request: Request) -> Refusal | None:
    if len(request.headers.getall("Authorization", [])) > 1:
        return Refusal("framing", 400, "more than one Authorization header")
    return None


# First what no HTTP is, or has no clear end: that has to end the connection, whatever else it is.
_GUARDS = (_target, _framing, _authorization, _host, _proxy, _browser)


class Listener:
    """One listening address: what `Host` may say there, and who may use the metadata service."""

    def __init__(
        self,
        hosts: frozenset[str],
        *,
        imds: str,
        peers: PeerLookup,
        allowed_uids: frozenset[int],
        user_names: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        """Take `imds` as `attested`, `open` or `off`."""
        self.hosts = hosts
        self._imds = imds
        self._peers = peers
        self._allowed_uids = allowed_uids
        self._user_names = user_names

    def find_peer(self, local: Address, remote: Address) -> Peer | None:
        """Return who is at the other end of a connection, or None where the kernel cannot tell."""
        return self._peers.find_peer(local, remote)

    def imds_allowed(self, find_peer: Callable[[], Peer | None]) -> bool:
        """Whether the peer of a connection may use the metadata service.

        A peer the kernel cannot name, in another network namespace or gone already, may not.
        """
        if self._imds != "attested":
            return self._imds == "open"
        peer = find_peer()
        return peer is not None and peer.uid in self._allowed_uids

    def user_of(self, peer: Peer | None) -> str:
        """Return a peer's name, its number where no name is known, or `unknown`."""
        if peer is None:
            return "unknown"
        return self._user_names.get(peer.uid, str(peer.uid))


def host_names(listeners: Iterable[tuple[str, int]]) -> frozenset[str]:
    """Return the exact values of `Host`, lower case, that mean one of these listeners."""
    names = set()
    for host, port in listeners:
        for name in ("127.0.0.1", "localhost", "[::1]", _in_url(host)):
            names |= {name, f"{name}:{port}"}
    return frozenset(names)


def _in_url(host: str) -> str:
    return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host  # noqa: PLR2004
