"""How a verb reads the metadata service: as any client does, with a token, path by path."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from imdsd.errors import ImdsdError
from imdsd.metadata.tree import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imdsd.client.finding import Daemon
    from imdsd.client.http import RawReply

_OK, _UNAUTHORIZED, _FORBIDDEN = 200, 401, 403
_TOKEN_PATH = "/latest/api/token"
_TTL_SECONDS = "300"
_CATEGORIES = ("dynamic", "meta-data", "user-data")
_LABELLED = "meta-data/public-keys/"
_MOST_DEPTH = 16
# All printable ASCII but what ends a path (RFC 3986, 3.3): the daemon compares paths as they are.
_PLAIN = "!$%&'()*+,/:;<=>@[\\]^_`{|}~\""


def request_path(typed: str) -> str:
    """Return the path to ask for, `placement/region` being below `/latest/meta-data`."""
    path = typed.lstrip("/")
    first = path.partition("/")[0]
    if first in VERSIONS or not path:
        return quote(f"/{path}", safe=_PLAIN)
    if first in _CATEGORIES:
        return quote(f"/latest/{path}", safe=_PLAIN)
    return quote(f"/latest/meta-data/{path}", safe=_PLAIN)


class MetadataReader:
    """Read paths with one IMDS token; raises ImdsdError where the service lets nobody in."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": _TTL_SECONDS}
        reply = daemon.ask_as_client("PUT", _TOKEN_PATH, lifetime)
        if reply.status != _OK:
            raise self._refusal(_TOKEN_PATH, reply.status)
        self._headers = {"X-aws-ec2-metadata-token": reply.body.decode("ascii", "replace")}

    def read(self, path: str) -> RawReply:
        """Return what stands at a path of the request's form."""
        reply = self._daemon.ask_as_client("GET", path, self._headers)
        if reply.status in (_UNAUTHORIZED, _FORBIDDEN):
            raise self._refusal(path, reply.status)
        return reply

    def leaves(self) -> Iterator[str]:
        """Yield the path of every value below `latest`, directories walked by their listings.

        A name that ends in a slash is a directory, and so is `0=NAME` of the public keys, as
        cloud-init takes them. Whether there is something at a path, only reading it tells.
        """
        for name in self._names(""):
            is_value = name.strip("/") == "user-data"
            yield from ("user-data",) if is_value else self._below(f"{name.strip('/')}/")

    def _below(self, directory: str) -> Iterator[str]:
        if directory.count("/") > _MOST_DEPTH:
            return
        for name in self._names(directory):
            if name.endswith("/"):
                yield from self._below(directory + name)
            elif directory == _LABELLED and "=" in name:
                yield from self._below(f"{directory}{name.partition('=')[0]}/")
            else:
                yield directory + name

    def _names(self, directory: str) -> list[str]:
        reply = self.read(request_path(f"latest/{directory}"))
        listing = reply.body.decode("utf-8", "replace") if reply.status == _OK else ""
        return [name for name in listing.split("\n") if name.strip("/")]

    def _refusal(self, path: str, status: int) -> ImdsdError:
        where = f"the metadata service at {self._daemon.base_url} answered {path} with {status}"
        if status == _FORBIDDEN:
            return ImdsdError(
                f"{where}: it serves the daemon's user, root, allow_users and allow_groups, and"
                ' nobody on a listener with imds = "off"; add this user to allow_users, or turn'
                " imds on there, and restart the daemon"
            )
        if status == _UNAUTHORIZED:
            return ImdsdError(f"{where}: the token is of another daemon's time; try again")
        return ImdsdError(f"{where}, expected 200; see the daemon's log")
