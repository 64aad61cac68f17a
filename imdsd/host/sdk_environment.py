"""The only module that knows which variables point SDKs at the daemon, and which point elsewhere.

The sources are the credential chains of botocore, Java v2, JavaScript v2 and v3, Go v2, the
CRT and object_store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from imdsd.addresses import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imdsd.secret import Secret

STS_ENDPOINT = "AWS_ENDPOINT_URL_STS"

_LOCAL_HOSTS = ("127.0.0.1", "localhost", "169.254.169.254")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
# What would be asked before us, or lead past us, in one SDK or another.
_SCRUBBED = frozenset(
    {
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_DEFAULT_PROFILE",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
        "AWS_METADATA_ENDPOINT",
        "AWS_PROFILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SECRET_KEY",
        "AWS_SECURITY_TOKEN",
        "AWS_SESSION_TOKEN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    }
)


@dataclass(frozen=True, slots=True)
class SdkTarget:
    """Where SDKs shall go: a daemon, and one of its roles by name or its default role.

    `on_imds` says whether the role is the one that IMDS answers with; `sts_endpoint_url` is
    a demo's.
    """

    base_url: str
    bearer: Secret
    bearer_file: Path
    role: str | None
    on_imds: bool
    region: str
    sts_endpoint_url: str | None = None


def sdk_variables(target: SdkTarget, *, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that point every SDK at the daemon, the bearer among them."""
    return {
        **_container(target),
        **_imds(target),
        **_region(target, environ),
        **_no_proxy(environ),
        **({STS_ENDPOINT: target.sts_endpoint_url} if target.sts_endpoint_url else {}),
    }


def scrubbed(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the variables that would lead SDKs past the daemon."""
    without = _SCRUBBED | ({STS_ENDPOINT} if sts_is_on_loopback(environ) else set())
    return {name: value for name, value in environ.items() if name not in without}


def sts_is_on_loopback(environ: Mapping[str, str]) -> bool:
    """Whether SDKs are sent to an STS on this machine, as a demo that may be over sends them."""
    try:
        return is_loopback(urlsplit(environ.get(STS_ENDPOINT, "")).hostname or "")
    except ValueError:
        return False


def _container(target: SdkTarget) -> dict[str, str]:
    path = "/v1/credentials" + (f"/{quote(target.role, safe='')}" if target.role else "")
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": target.base_url + path,
        # object_store reads the file only, Java v2 and JavaScript v2 the value first.
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(target.bearer_file),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": target.bearer.reveal(),
    }


def _imds(target: SdkTarget) -> dict[str, str]:
    if not target.on_imds:
        # IMDS serves the default role: one role must never turn into another by a fall-back.
        return {"AWS_EC2_METADATA_DISABLED": "true"}
    return {
        # No slash at the end: C++, .NET and Java join it with a path that begins with one.
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": target.base_url,
        "AWS_METADATA_ENDPOINT": target.base_url,
    }


def _region(target: SdkTarget, environ: Mapping[str, str]) -> dict[str, str]:
    """Keep what the caller chose; botocore reads the second name only, the others the first."""
    first, second = environ.get("AWS_REGION"), environ.get("AWS_DEFAULT_REGION")
    return {
        "AWS_REGION": first or second or target.region,
        "AWS_DEFAULT_REGION": second or first or target.region,
    }


def _no_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """Keep botocore and object_store, which send loopback through a proxy, from doing so."""
    if not any(environ.get(name) or environ.get(name.lower()) for name in _PROXIES):
        return {}
    named = [*_hosts(environ.get("NO_PROXY")), *_hosts(environ.get("no_proxy"))]
    excepted = ",".join(dict.fromkeys((*named, *_LOCAL_HOSTS)))
    return {"NO_PROXY": excepted, "no_proxy": excepted}


def _hosts(text: str | None) -> list[str]:
    return [host.strip() for host in (text or "").split(",") if host.strip()]
