"""The SDK, loaded late and held on a short leash: no files, no variables, no chain, no redirect."""

from __future__ import annotations

import functools
import importlib
import os
import threading
from functools import partial
from types import SimpleNamespace
from typing import Any

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
_LOADING = threading.Lock()


def shared_session() -> Any:
    """Return the session of all roles; each of its own would hold botocore's data once more."""
    with _LOADING:
        return _isolated_session()


@functools.cache
def _isolated_session() -> Any:
    """Return a botocore session that reads no variable, no file and no credential."""
    provider = importlib.import_module("botocore.configprovider")
    session = importlib.import_module("aiobotocore.session").AioSession()
    variables = provider.BOTOCORE_DEFAUT_SESSION_VARIABLES
    constants = {name: default for name, (_, _, default, _) in variables.items()}
    constants["config_file"] = constants["credentials_file"] = os.devnull
    store = provider.ConfigValueStore(
        mapping={name: provider.ConstantProvider(value) for name, value in constants.items()}
    )
    session.register_component("config_store", store)
    session.register_component(
        "credential_provider",
        importlib.import_module("botocore.credentials").CredentialResolver([]),
    )
    # Here, so that roles which start side by side do not each read the 8 MB that they share.
    session.warm_up_loader_caches("sts")
    return session


def client_config(*, signed: bool, proxied: bool) -> Any:
    """Return how a client asks: one attempt, with deadlines, past no proxy unless `proxied`."""
    config = importlib.import_module("aiobotocore.config")
    return config.AioConfig(
        signature_version=None if signed else importlib.import_module("botocore").UNSIGNED,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": 1, "mode": "standard"},
        ignore_configured_endpoint_urls=True,
        max_pool_connections=1,
        proxies=None if proxied else {},
        warm_up_loader_caches=True,
        http_session_cls=_one_hop(),
    )


@functools.cache
def _one_hop() -> Any:
    """Return aiobotocore's HTTP session, following no redirect: it would hand the token on."""
    library = importlib.import_module("aiobotocore.httpsession")

    class OneHop(library.AIOHTTPSession):  # type: ignore[name-defined,misc]  # botocore has no types
        async def _get_session(self, proxy_url: str | None) -> SimpleNamespace:
            session = await super()._get_session(proxy_url)
            return SimpleNamespace(request=partial(session.request, allow_redirects=False))

    return OneHop


def regional_endpoint(region: str) -> str:
    """Return the URL of a region's STS."""
    session = shared_session()
    known = session.get_component("data_loader").load_data("endpoints")
    resolver = importlib.import_module("botocore.regions").EndpointResolver(known)
    found = resolver.construct_endpoint("sts", region)
    return f"https://{found['hostname'] if found else f'sts.{region}.amazonaws.com'}"
