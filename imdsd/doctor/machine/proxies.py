"""Which proxies of this shell would swallow what SDKs send to this machine."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from imdsd.doctor.finding import Diagnosis, Level, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from imdsd.doctor.finding import Finding

_STEP = Step.PROXIES

NONE = Diagnosis(_STEP, Level.OK, "none", "no proxy is set for plain http")
EXCEPTED = Diagnosis(_STEP, Level.OK, "excepted", "a proxy is set, and NO_PROXY excepts the daemon")
SWALLOWS = Diagnosis(
    _STEP,
    Level.WARNING,
    "swallows",
    "clients named in the finding would ask a proxy for the daemon's address",
    'export NO_PROXY="{no_proxy}" no_proxy="{no_proxy}": `eval "$(imdsd env)"` does so',
)

_HTTP, _ALL, _EXCEPT = "http_proxy", "all_proxy", "no_proxy"
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "169.254.169.254")


def judge_proxies(environ: Mapping[str, str], hosts: Sequence[str]) -> Iterator[Finding]:
    """Say who would send a request for one of these hosts through a proxy."""
    proxy = next((each for each in _both(_HTTP, _ALL) if environ.get(each)), None)
    if proxy is None:
        yield NONE("no proxy is set for plain http")
        return
    told = {
        host: [client for client, goes in _CLIENTS.items() if goes(environ, host)]
        for host in dict.fromkeys(hosts)
    }
    swallowed = {host: clients for host, clients in told.items() if clients}
    for host, clients in swallowed.items():
        yield SWALLOWS(
            f"{proxy} is set, and {', '.join(clients)} would ask the proxy for {host}",
            host=host,
            clients=clients,
            no_proxy=",".join(_excepting(environ)),
        )
    if not swallowed:
        yield EXCEPTED(f"{proxy} is set, and {', '.join(told)} is excepted from it")


def _excepting(environ: Mapping[str, str]) -> list[str]:
    named = [each for name in _both(_EXCEPT) for each in _names(environ.get(name, ""))]
    return list(dict.fromkeys((*named, *_LOCAL_HOSTS)))


def _both(*names: str) -> Iterable[str]:
    for name in names:
        yield from (name, name.upper())


def _names(text: str) -> list[str]:
    return [each.strip().lower() for each in text.split(",") if each.strip()]


def _excepted(text: str, host: str) -> bool:
    return any(each in {"*", host} for each in _names(text))


def _excepted_by_network(text: str, host: str) -> bool:
    return _excepted(text, host) or any(_is_within(host, each) for each in _names(text))


def _is_within(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _lower_first(environ: Mapping[str, str], host: str) -> bool:
    """Judge as Python's urllib does: a lower-case name wins, even empty; loopback is no exception.

    ALL_PROXY has no part in it for plain http (urllib.request.getproxies_environment).
    """
    proxy = environ.get(_HTTP, "" if _is_cgi(environ) else environ.get(_HTTP.upper(), ""))
    excepted = environ.get(_EXCEPT, environ.get(_EXCEPT.upper(), ""))
    return bool(proxy) and not _excepted(excepted, host)


def _upper_or_lower(environ: Mapping[str, str], host: str) -> bool:
    """Judge as reqwest and curl-like clients do, which follow ALL_PROXY too."""
    lower = environ.get(_HTTP) or environ.get(_ALL)
    proxy = lower or environ.get(_HTTP.upper()) or environ.get(_ALL.upper())
    excepted = environ.get(_EXCEPT) or environ.get(_EXCEPT.upper()) or ""
    return bool(proxy) and not _excepted_by_network(excepted, host)


def _go(environ: Mapping[str, str], host: str) -> bool:
    """Judge as Go does: HTTP_PROXY first, and loopback goes past every proxy (httpproxy.Config)."""
    if host == "localhost" or host.startswith("127.") or host == "::1":
        return False
    proxy = environ.get(_HTTP.upper()) or environ.get(_HTTP)
    excepted = environ.get(_EXCEPT.upper()) or environ.get(_EXCEPT) or ""
    return bool(proxy) and not _excepted_by_network(excepted, host)


def _is_cgi(environ: Mapping[str, str]) -> bool:
    # HTTP_PROXY may then be a visitor's header.
    return bool(environ.get("REQUEST_METHOD"))


# boto3 asks the container endpoint, and JavaScript v3 and Java v2 both, past every proxy.
_CLIENTS = {
    "boto3 and the AWS CLI (for IMDS)": _lower_first,
    "object_store": _upper_or_lower,
    "Go v2": _go,
}
