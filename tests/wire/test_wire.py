"""Every wire case, against a daemon of its own process for each configuration and parser."""

import asyncio
import subprocess
import sys
import tomllib
from contextlib import ExitStack, contextmanager

import pytest

from tests.system.daemon import SERVE, Daemons
from tests.wire.loading import CONFIGURATIONS, configurations, load_cases
from tests.wire.running import applies, run
from tests.wire.service import Service
from tests.wire.talking import Place

CASES = load_cases()
HELD = [
    case for name in configurations() for case in CASES if applies(case, on="imdsd", needs=name)
]

# aiohttp's own switch: https://docs.aiohttp.org/en/stable/ leaves it out, its helpers.py reads it.
PARSERS = {"c": {}, "python": {"AIOHTTP_NO_EXTENSIONS": "1"}}
_WHICH_PARSER = """
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
print("python" if HttpRequestParser is HttpRequestParserPy else "c")
"""


@contextmanager
def _serving(place, configuration, parser):
    daemons = Daemons(place)
    try:
        config = CONFIGURATIONS / f"{configuration}.toml"
        daemon = asyncio.run(_started(daemons, config, **PARSERS[parser]))
        service = Service(Place("127.0.0.1", daemon.port), bearer=daemon.bearer)
        service.begin()
        yield service
        assert daemon.running, daemon.log
    finally:
        daemons.close()


async def _started(daemons, config, **variables):
    """Return a demo that is ready or, of a configuration with roles, a daemon that has failed."""
    if "role" not in tomllib.loads(config.read_text()):
        return await daemons.demo("--config", str(config), **variables).ready()
    argv = [*SERVE, "--config", str(config), "--listen", "127.0.0.1:0"]
    daemon = await daemons.start(argv, **variables).listening()

    async def failed():
        return (await daemon.role())["failures"]

    await daemon.until(failed, what="an attempt fails")
    return daemon


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
                started[configuration] = stack.enter_context(
                    _serving(directory, configuration, parser)
                )
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
