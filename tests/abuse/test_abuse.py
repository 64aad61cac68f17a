"""Every abuse, against a daemon of its own process for each parser of aiohttp and two set-ups."""

from contextlib import ExitStack
from itertools import chain, groupby

import pytest

from tests.abuse.loading import load_abuses
from tests.abuse.running import Target
from tests.wire.serving import PARSERS, service_of, serving

CONFIGURATIONS = ("plain", "imdsv1")
"""As in tests/wire/configurations; with IMDSv1 a request without a token is not refused for it."""

ABUSES = {
    name: tuple(repeated)
    for name, repeated in groupby(
        load_abuses(configurations=CONFIGURATIONS), lambda abuse: abuse.name.partition("[")[0]
    )
}
HELD = [
    (configuration, name)
    for configuration in CONFIGURATIONS
    for name, (abuse, *_) in ABUSES.items()
    if configuration in ("plain", *abuse.outcomes)
]
DAEMONS = [(parser, name) for parser in PARSERS for name in CONFIGURATIONS]

# What a daemon says before anybody abuses it, and goes on saying without them.
_USUAL_EVENTS = {"credentials_refreshed", "imdsv1_used"}


@pytest.fixture(scope="session")
def targets(tmp_path_factory):
    """Return all daemons; every slow abuse is under way from here on."""
    targets = {}
    with ExitStack() as stack:
        for parser, name in DAEMONS:
            place = tmp_path_factory.mktemp(f"abuse-{parser}-{name}")
            daemon = stack.enter_context(serving(place, name, parser))
            target = Target(service_of(daemon), name)
            stack.callback(target.close)
            target.events_before = len(daemon.events())
            target.daemon = daemon
            targets[parser, name] = target
        for parser in PARSERS:
            targets[parser, "plain"].begin(chain.from_iterable(ABUSES.values()))
        yield targets


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(("configuration", "name"), HELD)
def test_an_abuse_gets_what_it_deserves_and_nobody_else_feels_it(
    targets, parser, configuration, name
):
    problems = targets[parser, configuration].hold(ABUSES[name])
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(("parser", "configuration"), DAEMONS)
def test_the_log_tells_nothing_of_any_abuse(targets, parser, configuration):
    target = targets[parser, configuration]
    log = target.daemon.log.encode()
    assert b"Traceback" not in log
    assert not any(value in log for value in target.secrets.values)
    later = target.daemon.events()[target.events_before :]
    assert {event["event"] for event in later} <= _USUAL_EVENTS
    assert all(line.startswith("{") for line in target.daemon.log.splitlines())


def test_there_are_enough_abuses():
    assert len(ABUSES) >= 200
