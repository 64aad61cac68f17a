"""What is counted, and how a scrape reads it."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from imdsd.telemetry.metrics import CONTENT_TYPE, Metrics


@pytest.fixture
def metrics():
    return Metrics("1.2.3")


def samples(metrics):
    """Return every sample as a scraper reads it, by name and labels."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_version_that_runs_is_a_label(metrics):
    assert samples(metrics)["imdsd_build_info", ("version", "1.2.3")] == 1


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (
            lambda m: m.refresh_failed("dev", "mint", "MintFailed"),
            (
                "imdsd_refresh_failures_total",
                ("code", "MintFailed"),
                ("role", "dev"),
                ("stage", "mint"),
            ),
        ),
        (lambda m: m.wrong_role("dev"), ("imdsd_wrong_role_total", ("role", "dev"))),
        (
            lambda m: m.answered("imds", 404),
            ("imdsd_requests_total", ("endpoint", "imds"), ("status", "404")),
        ),
        (lambda m: m.refused("host"), ("imdsd_guard_refusals_total", ("guard", "host"))),
        (
            lambda m: m.connection_closed("idle"),
            ("imdsd_connections_closed_total", ("reason", "idle")),
        ),
        (lambda m: m.imdsv1_used("app"), ("imdsd_imdsv1_requests_total", ("user", "app"))),
        (
            lambda m: m.upstream_asked("absent"),
            ("imdsd_upstream_requests_total", ("result", "absent")),
        ),
        (lambda m: m.reloaded(taken=True), ("imdsd_reloads_total", ("result", "taken"))),
        (lambda m: m.reloaded(taken=False), ("imdsd_reloads_total", ("result", "refused"))),
    ],
)
def test_what_happens_is_counted(metrics, count, expected):
    assert samples(metrics).get(expected, 0) == 0
    count(metrics)
    count(metrics)
    assert samples(metrics)[expected] == 2


def test_an_attempts_length_is_counted_whatever_came_of_it(metrics):
    metrics.attempt_ended("dev", 0.3)
    metrics.attempt_ended("dev", 7)
    seen = samples(metrics)
    assert seen["imdsd_refresh_duration_seconds_count", ("role", "dev")] == 2
    assert seen["imdsd_refresh_duration_seconds_sum", ("role", "dev")] == pytest.approx(7.3)
    assert seen["imdsd_refresh_duration_seconds_bucket", ("le", "0.5"), ("role", "dev")] == 1


def test_a_reload_that_is_refused_shows_until_one_is_taken(metrics):
    def last():
        return samples(metrics)["imdsd_last_reload_successful",]

    assert last() == 1
    metrics.reloaded(taken=False)
    assert last() == 0
    metrics.reloaded(taken=True)
    assert last() == 1


def test_the_roles_gauges_are_read_at_every_scrape(metrics):
    held = [("dev", "ok", 1_800_000_000.0, 3600.0), ("other", "starting", 0.0, 0.0)]
    metrics.watch_roles(lambda: held)
    seen = samples(metrics)
    assert seen["imdsd_role_state", ("role", "dev"), ("state", "ok")] == 1
    assert seen["imdsd_role_state", ("role", "other"), ("state", "starting")] == 1
    assert seen["imdsd_credentials_expiry_timestamp_seconds", ("role", "dev")] == 1_800_000_000
    assert seen["imdsd_credentials_remaining_seconds", ("role", "dev")] == 3600
    held[:] = [("dev", "denied", 1_800_000_000.0, 0.0)]
    seen = samples(metrics)
    assert seen["imdsd_role_state", ("role", "dev"), ("state", "denied")] == 1
    assert ("imdsd_role_state", ("role", "dev"), ("state", "ok")) not in seen
    assert not [name for name in seen if ("role", "other") in name]


def test_a_label_that_holds_anything_at_all_still_renders(metrics):
    odd = 'a "quote", a \\ and a\nline'
    metrics.wrong_role(odd)
    assert samples(metrics)["imdsd_wrong_role_total", ("role", odd)] == 1


def test_each_daemon_counts_in_a_registry_of_its_own(metrics):
    metrics.reloaded(taken=False)
    assert samples(Metrics("1"))["imdsd_last_reload_successful",] == 1
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("imdsd")]


def test_nothing_is_said_twice_or_without_help(metrics):
    metrics.answered("imds", 200)
    text = metrics.render().decode()
    assert "_created" not in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP")]
    assert len(names) == len(set(names))
    assert all(name.startswith("imdsd_") for name in names)
    assert all(family.documentation for family in text_string_to_metric_families(text))


def test_the_content_type_is_that_of_the_text_format():
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_whether_upstream_answers_is_known_once_there_is_one(metrics):
    up = ("imdsd_upstream_up", ("upstream", "http://127.0.0.1:1"))
    assert up not in samples(metrics)
    metrics.upstream_is("http://127.0.0.1:1", up=True)
    assert samples(metrics)[up] == 1
    metrics.upstream_is("http://127.0.0.1:1", up=False)
    assert samples(metrics)[up] == 0
