"""The only module that knows which real metadata service may stand behind ours, and for what."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imdsd.config.metadata.paths import covered_path
from imdsd.config.model import UpstreamConfig
from imdsd.config.parsers import of_type
from imdsd.config.tables import ExpectedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsd.config.model import ListenConfig
    from imdsd.config.tables import Table

_AWS_LOCAL = ipaddress.ip_network("fd00:ec2::/32")
_MOST_PATHS = 100
_EXAMPLE = "http://169.254.169.254"
_EXPECTED = f"http and a literal loopback or link-local address: {_EXAMPLE}"

_text = of_type(str, "a text in quotes")


def read_upstream(table: Table, *, listen: Sequence[ListenConfig]) -> UpstreamConfig | None:
    """Return what is passed through, None for nothing; what is wrong is noted."""
    for key, needed in (("upstream", "upstream_paths"), ("upstream_paths", "upstream")):
        if key in table and needed not in table:
            hint = f"for example {needed} = {_example_of(needed)}"
            table.refuse(key, ExpectedError(f"{needed} beside it", found=f"{key} alone", hint=hint))
    address = table.read("upstream", _address, None)
    paths = table.read_each("upstream_paths", covered_path, most=_MOST_PATHS)
    if address is not None:
        _refuse_own_listener(table, address, listen)
    if "upstream_paths" in table:
        _refuse_empty_or_nested(table, paths)
    if address is None or not paths:
        return None
    return UpstreamConfig(_url(address), paths)


Address = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]


def _address(value: object) -> Address:
    found = _text(value)
    refusal = ExpectedError(_EXPECTED, hint=_hint(found), found=_shown(found))
    if not found.isascii() or not found.isprintable() or " " in found:
        raise refusal
    try:
        parts = urlsplit(found)
        host, port = ipaddress.ip_address(parts.hostname or ""), parts.port
    except ValueError:
        raise refusal from None
    bare = found.lower().startswith("http://") and not (
        parts.path or "?" in found or "#" in found or "@" in found or "%" in found
    )
    if not bare or port == 0 or parts.netloc.endswith(":") or not _is_local(host):
        raise refusal
    return host, port or 80


def _is_local(host: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return host.is_loopback or host.is_link_local or host in _AWS_LOCAL


def _hint(found: str) -> str:
    if found.startswith("https://"):
        return "a metadata service knows no TLS; write http"
    if found.startswith(f"{_EXAMPLE}/"):
        return f"write {_EXAMPLE}; upstream_paths says which paths"
    if "@" in found or "localhost" in found:
        return "no name, no user: credentials of IMDS itself are made as needed"
    return f"write {_EXAMPLE}" if "://" not in found else ""


def _shown(found: str) -> str | None:
    return "a URL with a user (not shown)" if "@" in found else None


def _url(address: Address) -> str:
    host, port = address
    literal = f"[{host}]" if host.version == 6 else str(host)  # noqa: PLR2004  # IPv6
    return f"http://{literal}" if port == 80 else f"http://{literal}:{port}"  # noqa: PLR2004


def _refuse_own_listener(table: Table, address: Address, listen: Sequence[ListenConfig]) -> None:
    own = {(ipaddress.ip_address(each.host), each.port) for each in listen}
    if address in own:
        hint = "the daemon would ask itself; listen elsewhere or take upstream out"
        found = f"{_url(address)}, where the daemon itself listens"
        table.refuse("upstream", ExpectedError("another service's address", found=found, hint=hint))


def _refuse_empty_or_nested(table: Table, paths: Sequence[str]) -> None:
    setting = table.setting("upstream_paths")
    if setting is not None and setting.value == []:
        hint = f"for example {_example_of('upstream_paths')}"
        table.refuse("upstream_paths", ExpectedError("at least one path", hint=hint))
    for index, path in enumerate(paths):
        for other in (*paths[:index], *paths[index + 1 :]):
            if path == other or (other.endswith("/") and path.startswith(other)):
                found = f"{path!r} beside {other!r}, which covers it"
                table.refuse("upstream_paths", ExpectedError("each path once", found=found))
                return


def _example_of(key: str) -> str:
    return f'"{_EXAMPLE}"' if key == "upstream" else '["meta-data/tags/"]'
