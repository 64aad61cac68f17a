"""`imdsd serve` in all but one thing: it may refresh sooner, so that sessions can be short.

A demo may do the same, but has its issuer and its STS in its own process.
"""

import argparse
import os
from functools import partial

from imdsd.clock import SystemClock
from imdsd.config import add_flags, load
from imdsd.daemon import process
from imdsd.daemon.boot import Boot
from imdsd.daemon.service import Daemon
from imdsd.host.runtime_directory import RuntimeDirectory
from imdsd.telemetry.log import configure_logging

LEAST_INTERVAL_SECONDS = 10.0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    add_flags(parser)
    environ = dict(os.environ)
    read_config = partial(load, flags=vars(parser.parse_args()), environ=environ)
    config = read_config()
    configure_logging(level=config.log_level, log_format=config.log_format)
    with RuntimeDirectory.acquire(environ, uid=os.geteuid()) as directory:
        boot = Boot(
            config,
            directory,
            environ,
            clock=SystemClock(),
            read_config=read_config,
            least_interval_seconds=LEAST_INTERVAL_SECONDS,
        )
        process.run(lambda: Daemon(boot).run())


if __name__ == "__main__":
    main()
