"""`imdsd serve`: the daemon in the foreground."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from imdsd.clock import SystemClock
from imdsd.config import add_flags, load
from imdsd.host.runtime_directory import RuntimeDirectory
from imdsd.telemetry.log import configure_logging

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Take all flags of the configuration."""
    add_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads.

    The run-time directory is claimed before anything heavy is imported, so that a verb that is
    started beside finds a daemon on its way.
    """
    environ = dict(os.environ)
    read_config = partial(load, flags=vars(arguments), environ=environ)
    config = read_config()
    configure_logging(level=config.log_level, log_format=config.log_format)
    with RuntimeDirectory.acquire(environ, uid=os.geteuid()) as directory:
        from imdsd.daemon import process
        from imdsd.daemon.boot import Boot
        from imdsd.daemon.service import Daemon

        boot = Boot(config, directory, environ, clock=SystemClock(), read_config=read_config)
        process.run(lambda: Daemon(boot).run())
    process.leave_behind_stuck_threads(0)
    return 0
