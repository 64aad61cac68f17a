"""One session for a role, obtained as the daemon would obtain it, without a daemon."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

from imdsd import __version__
from imdsd.credentials.attempt import Attempt, Workshop
from imdsd.daemon.boot import define_role
from imdsd.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imdsd.clock import Clock
    from imdsd.config import RoleConfig
    from imdsd.credentials.model import Credentials


async def obtain(
    role: RoleConfig, *, environ: Mapping[str, str], ca_bundle: Path | None, clock: Clock
) -> Credentials:
    """Mint, check and exchange once, with every check of the daemon's; raise `RefreshError`."""
    definition = define_role(role, environ=environ, ca_bundle=ca_bundle)
    workshop = Workshop(
        publisher=_Nobody(),
        clock=clock,
        metrics=Metrics(__version__),
        draw=random.random,
        host=socket.gethostname(),
    )
    attempt = Attempt(
        definition.terms, workshop, source=definition.source, exchange=definition.exchange
    )
    return (await attempt.run(role.name)).credentials


class _Nobody:
    """There are no clients, and no documents for them."""

    def publish(self, credentials: Credentials) -> None: ...
