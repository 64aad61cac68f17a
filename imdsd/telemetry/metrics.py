"""Every counter and gauge, in a registry of the daemon's own."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client.metrics_core import Metric

# When a counter began says nothing here, and would double the number of series.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library forgot to type it

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

RoleGauges = tuple[str, str, float, float]
"""A role's name, its state, its expiry as a Unix time (0 without), and its remaining seconds."""


class Metrics:
    """Count what happens; `render()` gives the Prometheus text."""

    def __init__(self, version: str) -> None:
        registry = CollectorRegistry(auto_describe=False)
        self._registry = registry
        Gauge("imdsd_build_info", "The version that runs.", ["version"], registry=registry).labels(
            version
        ).set(1)
        self._attempts = Histogram(
            "imdsd_refresh_duration_seconds",
            "How long attempts took, from mint to publish.",
            ["role"],
            buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
            registry=registry,
        )
        self._failures = Counter(
            "imdsd_refresh_failures_total",
            "Attempts that failed, by the stage and the reason.",
            ["role", "stage", "code"],
            registry=registry,
        )
        self._wrong_roles = Counter(
            "imdsd_wrong_role_total",
            "Credentials that STS returned for another role, never served.",
            ["role"],
            registry=registry,
        )
        # The library looks a counter up by its labels, and locks it: half as much as an answer.
        self._answers: dict[tuple[str, int], int] = {}
        registry.register(_AnswerCollector(self._answers))
        self._refused = Counter(
            "imdsd_guard_refusals_total",
            "Requests a guard refused.",
            ["guard"],
            registry=registry,
        )
        self._connections = Gauge("imdsd_connections", "Connections now open.", registry=registry)
        self._connections_closed = Counter(
            "imdsd_connections_closed_total",
            "Connections that a limit closed, by its name.",
            ["reason"],
            registry=registry,
        )
        self._imdsv1 = Counter(
            "imdsd_imdsv1_requests_total",
            "IMDS requests without a token, by the user who made them.",
            ["user"],
            registry=registry,
        )
        self._upstream_up = Gauge(
            "imdsd_upstream_up",
            "1 while the metadata service behind ours answers.",
            ["upstream"],
            registry=registry,
        )
        self._upstream_requests = Counter(
            "imdsd_upstream_requests_total",
            "Reads from the metadata service behind ours, by result.",
            ["result"],
            registry=registry,
        )
        self._files_current = Gauge(
            "imdsd_credentials_file_current",
            "1 while the file of [role.files] holds what is served.",
            ["role"],
            registry=registry,
        )
        self._reloads = Counter(
            "imdsd_reloads_total", "Reloads, by result.", ["result"], registry=registry
        )
        self._reload_ok = Gauge(
            "imdsd_last_reload_successful", "1 if the last reload was taken.", registry=registry
        )
        self._reload_ok.set(1)

    def attempt_ended(self, role: str, seconds: float) -> None:
        """Count an attempt, whatever came of it."""
        self._attempts.labels(role).observe(seconds)

    def refresh_failed(self, role: str, stage: str, code: str) -> None:
        """Count a failed attempt."""
        self._failures.labels(role, stage, code).inc()

    def wrong_role(self, role: str) -> None:
        """Count credentials of a role that was not asked for."""
        self._wrong_roles.labels(role).inc()

    def answered(self, endpoint: str, status: int) -> None:
        """Count an answer."""
        key = endpoint, status
        self._answers[key] = self._answers.get(key, 0) + 1

    def refused(self, guard: str) -> None:
        """Count a request that a guard refused."""
        self._refused.labels(guard).inc()

    def connection_closed(self, reason: str) -> None:
        """Count a connection that a limit closed."""
        self._connections_closed.labels(reason).inc()

    def watch_connections(self, count: Callable[[], int]) -> None:
        """Have the number of open connections read from `count` at every scrape."""
        self._connections.set_function(count)

    def imdsv1_used(self, user: str) -> None:
        """Count an IMDS request that brought no token and was served all the same."""
        self._imdsv1.labels(user).inc()

    def upstream_is(self, url: str, *, up: bool) -> None:
        """Say whether the metadata service behind ours answers."""
        self._upstream_up.labels(url).set(up)

    def upstream_asked(self, result: str) -> None:
        """Count a read from it: `ok`, `absent` or `failed`."""
        self._upstream_requests.labels(result).inc()

    def file_is(self, role: str, *, current: bool | None) -> None:
        """Say whether a role's file holds what is served; None where it has no file any more."""
        if current is None:
            with suppress(KeyError):
                self._files_current.remove(role)
        else:
            self._files_current.labels(role).set(current)

    def reloaded(self, *, taken: bool) -> None:
        """Count a reload."""
        self._reloads.labels("taken" if taken else "refused").inc()
        self._reload_ok.set(taken)

    def watch_roles(self, read: Callable[[], Iterable[RoleGauges]]) -> None:
        """Have the roles' gauges read from `read` at every scrape."""
        self._registry.register(_RoleCollector(read))

    def render(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self._registry)


class _AnswerCollector(Collector):
    def __init__(self, answers: Mapping[tuple[str, int], int]) -> None:
        self._answers = answers

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "imdsd_requests",
            "Requests answered, by endpoint and status.",
            labels=["endpoint", "status"],
        )
        for (endpoint, status), count in self._answers.items():
            requests.add_metric([endpoint, str(status)], count)
        return (requests,)


class _RoleCollector(Collector):
    def __init__(self, read: Callable[[], Iterable[RoleGauges]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        state = GaugeMetricFamily(
            "imdsd_role_state", "1 for the state each role is in.", labels=["role", "state"]
        )
        expiry = GaugeMetricFamily(
            "imdsd_credentials_expiry_timestamp_seconds",
            "When what is held expires, 0 without.",
            labels=["role"],
        )
        remaining = GaugeMetricFamily(
            "imdsd_credentials_remaining_seconds",
            "How long what is held can be served, 0 when it cannot.",
            labels=["role"],
        )
        for role, role_state, expires, left in self._read():
            state.add_metric([role, role_state], 1)
            expiry.add_metric([role], expires)
            remaining.add_metric([role], left)
        return (state, expiry, remaining)
