"""A daemon of its own process for a configuration, with either of aiohttp's parsers."""

import asyncio
import tomllib
from contextlib import contextmanager

from tests.system.daemon import SERVE, Daemons
from tests.wire.loading import CONFIGURATIONS
from tests.wire.service import Service
from tests.wire.talking import Place

# aiohttp's own switch: https://docs.aiohttp.org/en/stable/ leaves it out, its helpers.py reads it.
PARSERS = {"c": {}, "python": {"AIOHTTP_NO_EXTENSIONS": "1"}}


@contextmanager
def serving(place, configuration, parser):
    """Run the daemon; it must be alive in the end."""
    daemons = Daemons(place)
    try:
        config = CONFIGURATIONS / f"{configuration}.toml"
        daemon = asyncio.run(_started(daemons, config, **PARSERS[parser]))
        yield daemon
        assert daemon.running, daemon.log
    finally:
        daemons.close()


def service_of(daemon):
    """Return what a daemon says of itself, asked for when it is needed."""
    return Service(Place("127.0.0.1", daemon.port), bearer=daemon.bearer)


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
