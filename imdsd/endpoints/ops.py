"""`/healthz`, `/readyz`, `/status`, `/metrics` and `/refresh`: for curl, probes and our own CLI."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imdsd.clock import format_instant
from imdsd.endpoints.container import unauthorized, unknown_role, why_unavailable
from imdsd.endpoints.message import (
    READ_METHODS,
    Answer,
    Request,
    error_document,
    json_answer,
    method_not_allowed,
)
from imdsd.telemetry.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from imdsd.credentials.model import Failure
    from imdsd.credentials.refresher import Refresher
    from imdsd.credentials.roles import RoleDefinition, Roles
    from imdsd.endpoints.documents import Documents
    from imdsd.telemetry.metrics import Metrics, RoleGauges

REFRESH_PATH = "/refresh"
_PROBES = ("/healthz", "/readyz")
_PAGES = (*_PROBES, "/status", "/metrics")


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """What the status says of the daemon itself."""

    version: str
    pid: int
    started_at: datetime
    demo: bool
    listeners: tuple[str, ...]


class OpsEndpoint:
    """Say how the daemon and its roles fare; nothing here holds a secret."""

    def __init__(
        self,
        roles: Roles[Documents],
        metrics: Metrics,
        *,
        facts: DaemonFacts,
        authorized: Callable[[Request], bool],
    ) -> None:
        self._roles = roles
        self._metrics = metrics
        self._facts = facts
        self._authorized = authorized
        self.warnings: tuple[str, ...] = ()
        self.passing_warnings: Callable[[], tuple[str, ...]] = tuple
        metrics.watch_roles(self._gauges)

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path is one of this endpoint's."""
        return path in _PAGES or path == REFRESH_PATH or path.startswith(REFRESH_PATH + "/")

    def answer_now(self, request: Request) -> Answer | None:
        """Return what probes ask for."""
        if request.method in READ_METHODS and request.path in _PROBES:
            return self._page(request.path)
        return None

    async def answer(self, request: Request) -> Answer:
        """Return the page, or what came of a refresh."""
        if request.path not in _PAGES:
            return await self._refresh(request)
        if request.method not in READ_METHODS:
            return method_not_allowed(*READ_METHODS)
        return self._page(request.path)

    def _page(self, path: str) -> Answer:
        if path == "/metrics":
            return Answer(200, self._metrics.render(), CONTENT_TYPE)
        if path == "/status":
            return _line(200, self._status())
        refresher = self._roles.default
        ready = refresher.current() is not None
        status = 200 if ready or path == "/healthz" else 503
        return _line(status, self._health(refresher))

    def _health(self, refresher: Refresher[Documents]) -> dict[str, object]:
        health: dict[str, object] = {
            "state": str(refresher.state),
            "role": refresher.name,
            "seconds_left": int(refresher.remaining_seconds),
        }
        if refresher.failure is not None:
            health["reason"] = why_unavailable(refresher)
        return health

    async def _refresh(self, request: Request) -> Answer:
        if request.method != "POST":
            return method_not_allowed("POST")
        if not self._authorized(request):
            return unauthorized()
        chosen = self._chosen(request.path)
        if not chosen:
            return unknown_role()
        errors = await asyncio.gather(*(refresher.refresh() for _, refresher in chosen))
        entries = [
            {**self._role(definition, refresher), "refreshed": error is None}
            for (definition, refresher), error in zip(chosen, errors, strict=True)
        ]
        failed = [error for error in errors if error is not None]
        if not failed:
            return _line(200, {"roles": entries})
        error = failed[0]
        document = error_document(error.code, f"{error} (stage: {error.stage})")
        return _line(503, {"roles": entries, **document})

    def _chosen(self, path: str) -> list[tuple[RoleDefinition, Refresher[Documents]]]:
        every = list(self._roles)
        if path == REFRESH_PATH:
            return every
        wanted = self._roles.find(path.removeprefix(REFRESH_PATH + "/"))
        return [pair for pair in every if pair[1] is wanted]

    def _status(self) -> dict[str, object]:
        facts = self._facts
        return {
            "version": facts.version,
            "pid": facts.pid,
            "started_at": format_instant(facts.started_at),
            "demo": facts.demo,
            "listeners": list(facts.listeners),
            "default_role": self._roles.default.name,
            "roles": [self._role(definition, refresher) for definition, refresher in self._roles],
            "warnings": [*self.warnings, *self.passing_warnings()],
        }

    def _role(
        self, definition: RoleDefinition, refresher: Refresher[Documents]
    ) -> dict[str, object]:
        held = refresher.snapshot.credentials if refresher.snapshot else None
        terms = refresher.attempt.terms
        return {
            "name": definition.name,
            "aliases": list(definition.aliases),
            "default": refresher is self._roles.default,
            "state": str(refresher.state),
            "served": refresher.current() is not None,
            "role_arn": terms.final_arn,
            "assumed_role_arn": held.assumed_role_arn if held else None,
            "account_id": held.account_id if held else None,
            "region": terms.region,
            "issued_at": format_instant(held.issued_at) if held else None,
            "expires_at": format_instant(held.expires_at) if held else None,
            "refresh_at": format_instant(at) if (at := refresher.refresh_at) else None,
            "seconds_left": int(refresher.remaining_seconds),
            "token_source": refresher.attempt.source.description,
            "renewable": refresher.attempt.source.renewable,
            "refreshes": refresher.refreshes,
            "failures": refresher.failures,
            "last_error": _last_error(refresher.failure),
        }

    def _gauges(self) -> Iterable[RoleGauges]:
        for definition, refresher in self._roles:
            held = refresher.snapshot
            expiry = held.credentials.expires_at.timestamp() if held else 0.0
            yield definition.name, str(refresher.state), expiry, refresher.remaining_seconds


def _line(status: int, document: object) -> Answer:
    """Return a JSON answer that ends its line, as a person at a prompt likes it."""
    answer = json_answer(status, document)
    return replace(answer, body=answer.body + b"\n")


def _last_error(failure: Failure | None) -> dict[str, object] | None:
    if failure is None:
        return None
    error = failure.error
    return {
        "stage": str(error.stage),
        "code": error.code,
        "reason": error.reason,
        "remedy": error.remedy,
        "at": format_instant(failure.at),
    }
