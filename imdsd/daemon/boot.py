"""From a configuration to the roles in service."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imdsd.config import build_source
from imdsd.credentials.attempt import Workshop
from imdsd.credentials.model import RoleTerms
from imdsd.credentials.roles import RoleDefinition, Roles
from imdsd.credentials.schedule import LEAST_INTERVAL_SECONDS
from imdsd.daemon.exchanging import ProcessExchange
from imdsd.sts import StsExchange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from imdsd.clock import Clock
    from imdsd.config import Config, RoleConfig, TokenConfig, UpstreamConfig
    from imdsd.credentials.model import Credentials, D, Publisher
    from imdsd.daemon.exchanging import ExchangeProcess
    from imdsd.endpoints.upstream.passthrough import Upstream
    from imdsd.host.runtime_directory import RuntimeDirectory
    from imdsd.telemetry.metrics import Metrics

_LONGEST_SESSION_SECONDS = 43200
_USUAL_SESSION_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Boot:
    """What a verb hands over to have a daemon run.

    `read_config` reads the configuration anew for a reload; `demo_sts_url` is set for a demo
    only; `least_interval_seconds` is lowered by a demo only, so that a refresh can be watched;
    `open_memory` says why processes of the same user may read this one, where they may;
    `exchanges` is the exchange process where that was started early.
    """

    config: Config
    directory: RuntimeDirectory
    environ: Mapping[str, str]
    clock: Clock
    read_config: Callable[[], Config]
    demo_sts_url: str | None = None
    least_interval_seconds: float = LEAST_INTERVAL_SECONDS
    open_memory: str = ""
    exchanges: ExchangeProcess | None = None


def build_roles(
    boot: Boot,
    publisher: Publisher[D],
    metrics: Metrics,
    *,
    published: Callable[[str, Credentials], None] = lambda _role, _credentials: None,
    process: ExchangeProcess | None = None,
) -> Roles[D]:
    """Return the roles of a starting daemon; `published` is told what comes into service.

    Their exchanges are made by `process`, or in this one.

    The first mints keep their distance from the last one of a daemon that was killed.
    """
    workshop = Workshop(
        publisher=publisher,
        clock=boot.clock,
        metrics=metrics,
        draw=random.random,
        host=socket.gethostname(),
        least_interval_seconds=boot.least_interval_seconds,
        attempt_begins=lambda: boot.directory.stamp_mint(boot.clock.now()),
        published=published,
    )
    first = boot.directory.seconds_until_mint(boot.clock.now())
    return Roles(
        define_roles(boot.config, environ=boot.environ, process=process),
        workshop,
        default=boot.config.default_role,
        first_after_seconds=first,
        spread_seconds=boot.config.startup_spread_seconds,
    )


def build_upstream(
    upstream: UpstreamConfig | None, clock: Clock, metrics: Metrics
) -> Upstream | None:
    """Return the real metadata service whose paths are passed through, None without one."""
    if upstream is None:
        return None
    from imdsd.endpoints.upstream.passthrough import Upstream  # noqa: PLC0415  # few have one

    return Upstream(upstream.url, upstream.paths, clock=clock, metrics=metrics)


def define_roles(
    config: Config, *, environ: Mapping[str, str], process: ExchangeProcess | None = None
) -> tuple[RoleDefinition, ...]:
    """Return what the configuration says of each role, with its token source and exchange."""
    return tuple(
        define_role(role, environ=environ, ca_bundle=config.ca_bundle, process=process)
        for role in config.roles
    )


def define_role(
    role: RoleConfig,
    *,
    environ: Mapping[str, str],
    ca_bundle: Path | None,
    process: ExchangeProcess | None = None,
) -> RoleDefinition:
    """Return what the configuration says of one role, with its token source and exchange.

    The exchange is made by `process`, or in this one where there is none.
    """
    source = build_source(role.token, environ=environ, ca_bundle=ca_bundle)
    kind = StsExchange if process is None else partial(ProcessExchange, process)
    exchange = kind(role.region, endpoint_url=role.sts_endpoint_url, ca_bundle=ca_bundle)
    terms = RoleTerms(
        role_arn=role.arn,
        chain=role.chain,
        session_name=role.session_name,
        duration_seconds=_duration(role, renewable=source.renewable),
        policy=role.policy,
        policy_arns=role.policy_arns,
        region=role.region,
        sts_endpoint_url=role.sts_endpoint_url,
        source=_identity(role.token),
        audience=role.token.audience,
        allowed_account_ids=role.allowed_account_ids,
    )
    return RoleDefinition(role.name, role.aliases, terms, source, exchange)


def _duration(role: RoleConfig, *, renewable: bool) -> int:
    if role.duration_seconds is not None:
        return role.duration_seconds
    return _USUAL_SESSION_SECONDS if renewable else _LONGEST_SESSION_SECONDS


def _identity(token: TokenConfig) -> str:
    """Return what makes two token sources the same, without a secret."""
    kind = (token.source, *token.command, token.file, token.url, token.pointer, token.variable)
    return " ".join(str(part) for part in kind if part)
