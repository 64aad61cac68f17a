"""Every wire case, against a daemon of its own process for each configuration and parser."""

import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.system.daemon import Daemons
from tests.wire.loading import configurations, load_cases
from tests.wire.running import applies, run
from tests.wire.serving import PARSERS, service_of, serving

CASES = load_cases()
HELD = [
    case for name in configurations() for case in CASES if applies(case, on="imdsd", needs=name)
]

_WHICH_PARSER = """
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
print("python" if HttpRequestParser is HttpRequestParserPy else "c")
"""


@pytest.fixture(scope="session", params=PARSERS)
def parser(request):
    return request.param


@pytest.fixture(scope="session")
def services(parser, tmp_path_factory):
    """Return the service of a configuration, started when the first case needs it."""
    started = {}
    place = tmp_path_factory.mktemp(f"wire-{parser}")
    with ExitStack() as stack:

        def service(configuration):
            if configuration not in started:
                directory = place / configuration
                directory.mkdir()
                daemon = stack.enter_context(serving(directory, configuration, parser))
                started[configuration] = service_of(daemon)
                started[configuration].begin()
            return started[configuration]

        yield service


@pytest.mark.parametrize("case", HELD, ids=lambda case: f"{case.needs}-{case.name}")
def test_a_case_holds(case, services):
    outcome = run(case, services(case.needs))
    assert outcome.lacking is None, f"{case.name}: {outcome.lacking} ({case.reason})"
    assert not outcome.problems, str(outcome)


@pytest.mark.parametrize("name", PARSERS)
def test_the_parser_is_the_one_that_is_meant(name, tmp_path):
    environ = Daemons(tmp_path).environ(**PARSERS[name])
    command = [sys.executable, "-c", _WHICH_PARSER]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == name


def test_there_are_enough_cases():
    written = {case.name.partition("[")[0] for case in CASES}
    assert len(written) >= 150
    assert {case.needs for case in CASES} == set(configurations())
