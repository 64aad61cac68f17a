"""Numbers in sentences of the documents are those of the code, each sentence beside its constant."""

from __future__ import annotations

import itertools

import pytest

from benchmarks import faults, recovery
from benchmarks.fleet import sts
from benchmarks.fleet.scenarios import LARGEST_WHOLE, OUTAGE_SECONDS
from imdsd.cli import _asking
from imdsd.cli import wait as waiting
from imdsd.credentials import refresher, roles, schedule
from imdsd.daemon import descriptors, listeners, loop_errors, service, telling
from imdsd.endpoints import container, imds
from imdsd.endpoints.door import limits
from imdsd.endpoints.upstream import holdings, passthrough, wire
from imdsd.host import runtime_directory
from imdsd.metadata import events
from imdsd.sts import exchange, library
from imdsd.tokens import claims, http, shape, warden
from tests.documents.blocks import ROOT

WORDS = {1: "one", 2: "two", 4: "four", 5: "fifth", 30: "half a minute"}


def kib(number: int) -> str:
    return f"{number // 1024:g} KiB"


def percent(share: float) -> str:
    return f"{share * 100:g} %"


def growing(pause) -> str:
    """Return the first three of a row of pauses, and where it ends."""
    row = [f"{pause(tries):g}" for tries in (1, 2, 3, 100)]
    return f"{', '.join(row[:3])}, … at most {row[3]}"


def no_credentials(tries: int) -> float:
    return schedule.retry_pause(tries, 0, draw=1)


def with_an_hour(tries: int) -> float:
    return schedule.retry_pause(tries, 3600, draw=1)


def with_little(tries: int) -> float:
    return schedule.retry_pause(tries, schedule._LONG_ENOUGH_SECONDS - 1, draw=1)


def denied(tries: int) -> float:
    return schedule.denied_pause(tries, draw=0.5)


SENTENCES = {
    "README.md": [
        f"until {schedule.SERVE_MARGIN_SECONDS:g} seconds before their own end",
    ],
    "docs/refresh.md": [
        f"until {schedule.SERVE_MARGIN_SECONDS:g} seconds before their own end",
        f"has less than {schedule.SERVE_MARGIN_SECONDS:g} s left",
        (
            f"STS {library.CONNECT_SECONDS:g} seconds to connect, {library.READ_SECONDS:g} for an "
            f"answer, {exchange.TOTAL_SECONDS:g} for the whole exchange"
        ),
        f"a random part of up to {percent(schedule.JITTER)}, never lengthened",
        f"is cut by up to {'half' if schedule.EARLY_SPREAD == 0.5 else schedule.EARLY_SPREAD}",
        f"never shorter than {schedule.LEAST_INTERVAL_SECONDS:g} seconds",
        f"after a random part of {growing(no_credentials)} s; for ever",
        (
            f"after a random part of {growing(with_an_hour)} s, with less than "
            f"{schedule._LONG_ENOUGH_SECONDS / 60:g} minutes left at most {with_little(100):g} s; "
            f"never under {schedule.retry_pause(1, 3600, draw=0):g} s"
        ),
        f"the {WORDS[schedule.LIMITED_TRIES]} in a row makes the role `denied`",
        (
            f"after {', '.join(f'{denied(tries):g}' for tries in (1, 2, 3))}, then {denied(4):g} s, "
            f"each ± {percent(1 - schedule.denied_pause(1, draw=0) / denied(1))}"
        ),
        f"after that long, at most {schedule.asked_pause(10**6):g} s",
        f"at most once in {WORDS[refresher.HURRY_SECONDS]} seconds for each role",
        f"({container.HOLD_SECONDS:g} s on the container face, {imds.HOLD_SECONDS:g} s on IMDS)",
        f"keep {runtime_directory.MINT_GAP_SECONDS:g} seconds' distance",
        f"never sleeps for more than {schedule.NAP_SECONDS:g} seconds at a time",
        f"by more than {roles.JUMP_SECONDS:g} seconds after such a nap",
    ],
    "docs/cli.md": [
        f"requests in flight get {WORDS[service.DRAIN_SECONDS]} seconds to finish",
        (
            f"to {descriptors._ENOUGH} where it is lower, and exits 78 where the hard limit is under "
            f"{descriptors.LEAST}: {limits.LIMITS.connections} connections and {descriptors.SPARE} "
            "for all else"
        ),
        f"at most every {telling._LEAST_FEEDING_SECONDS:g} seconds",
        f"Waits up to {_asking.START_SECONDS:g} seconds for a daemon that is starting",
        f"give up after this many seconds (default: {waiting._DEFAULT_SECONDS:g})",
        f"keeps first attempts {runtime_directory.MINT_GAP_SECONDS:g} seconds apart",
    ],
    "docs/endpoints.md": [
        f"held for up to {container.HOLD_SECONDS:g} seconds",
        f"held for up to {imds.HOLD_SECONDS:g} seconds",
        f"live for more than {schedule.SERVE_MARGIN_SECONDS:g} seconds",
        f"| request line, one header | {limits.LINE_BYTES} bytes |",
        f"| headers | {limits.HEADERS} |",
        f"| all headers together | {kib(limits.HEADER_BYTES)} |",
        f"used by `POST /events` alone | {kib(limits.BODY_BYTES)} |",
        f"from their first byte | {limits.LIMITS.head_seconds:g} s |",
        f"from the same instant | {limits.LIMITS.request_seconds:g} s |",
        f"| time without reading an answer | {limits.LIMITS.write_seconds:g} s |",
        f"| idle connection | {limits.LIMITS.idle_seconds:g} s |",
        f"| connections | {limits.LIMITS.connections} |",
        f"A connection beyond the {limits.LIMITS.connections}th takes",
        f"{limits.LIMITS.spare_connections} at a time",
        f"| 409 | {events.EVENTS_LIMIT} events are set |",
    ],
    "docs/log-events.md": [
        f"until there were enough for {WORDS[loop_errors.QUIET_SECONDS]}",
    ],
    "docs/fleet.md": [
        f"looks at the clock every {schedule.NAP_SECONDS:g} seconds",
        (
            f"Minting takes {sts.MINT_SECONDS:g} s, an answer of STS {sts.ANSWER_SECONDS:g} s, a "
            f"call into an outage {library.CONNECT_SECONDS:g} s"
        ),
        f"Nobody reached STS for {OUTAGE_SECONDS / 60:g} minutes",
        f"a fleet of more than {LARGEST_WHOLE:,} machines are".replace(",", " "),
    ],
    "docs/metadata.md": [
        f"over at most {WORDS[wire._CONNECTIONS]} connections",
        f"once it is {holdings.FRESH_SECONDS:g} seconds old",
        f"tries after {growing(lambda tries: min(passthrough.LEAST_PAUSE_SECONDS * 2.0 ** (tries - 1), passthrough.MOST_PAUSE_SECONDS))} seconds",
        (
            f"A value may have {kib(wire.ANSWER_CAP_BYTES)}; {holdings.MOST_LEAVES} values and "
            f"{holdings.MOST_BYTES // 1024**2} MiB are held"
        ),
    ],
    "docs/reliability.md": [
        f"until {schedule.SERVE_MARGIN_SECONDS:g} seconds before their own end",
        f"at most {kib(warden.OUTPUT_CAP_BYTES)} are read",
        f"under {claims.LEAST_LIFE.total_seconds():g} s of life",
        f"waited for {listeners.BUSY_SECONDS:g} s, then exit 1",
        f"asked once more with {schedule.shorter_duration(43200, renewable=True)}",
        f"Target: at most {faults.MOST_LINES} lines in the minute",
        f"Target: {recovery.RECOVERED_SECONDS:g} s where nothing or little is held",
        (
            f"Targets: {recovery.ASKED_SECONDS:g} s with a request, "
            f"{recovery.RECOVERED_SECONDS:g} s without"
        ),
    ],
    "docs/token-sources.md": [
        f"At most {kib(warden.OUTPUT_CAP_BYTES)} are read",
        f"writable by its owner alone, at most {kib(shape.TOKEN_CAP_BYTES)}",
        f"at most {kib(http.ANSWER_CAP_BYTES)} read",
    ],
}


@pytest.mark.parametrize(
    ("document", "sentence"),
    [pair for name, told in SENTENCES.items() for pair in zip(itertools.repeat(name), told)],
)
def test_a_number_is_that_of_the_code(document, sentence):
    assert sentence in " ".join((ROOT / document).read_text().split())
