"""`imdsd serve`: the daemon in the foreground."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

from imdsd.clock import SystemClock
from imdsd.config import add_flags, load
from imdsd.errors import AlreadyRunningError
from imdsd.host.memory import close_memory, leave_no_core
from imdsd.host.runtime_directory import RuntimeDirectory
from imdsd.telemetry.log import configure_logging, get_logger

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

log = get_logger(__name__)

# A service manager has seen the other one end by then; nobody waits for this.
_STANDBY_SECONDS = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Take all flags of the configuration, and what to do beside another daemon."""
    parser.add_argument(
        "--standby",
        action="store_true",
        default=None,
        help="where a daemon serves already: do not fail, but wait, and serve once it has ended",
    )
    add_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads.

    The run-time directory is claimed before anything heavy is imported, so that a verb that is
    started beside finds a daemon on its way.
    """
    # Before the configuration is read, which has the first secrets.
    leave_no_core()
    open_memory = close_memory()
    environ = dict(os.environ)
    read_config = partial(load, flags=vars(arguments), environ=environ)
    config = read_config()
    configure_logging(level=config.log_level, log_format=config.log_format)
    if arguments.standby:
        directory = _acquire_in_turn(environ, clock=SystemClock())
        config = read_config()
    else:
        directory = RuntimeDirectory.acquire(environ, uid=os.geteuid())
    from imdsd.daemon.exchanging import ExchangeProcess

    with directory, ExchangeProcess(environ) as exchanges:
        # Beside the imports that follow, on another processor where there is one.
        exchanges.start_early()

        from imdsd.daemon import process
        from imdsd.daemon.boot import Boot
        from imdsd.daemon.service import Daemon

        boot = Boot(
            config,
            directory,
            environ,
            clock=SystemClock(),
            read_config=read_config,
            open_memory=open_memory,
            exchanges=exchanges,
        )
        process.run(lambda: Daemon(boot).run())
    return 0


def _acquire_in_turn(environ: Mapping[str, str], *, clock: SystemClock) -> RuntimeDirectory:
    """Lock the run-time directory as soon as no other daemon holds it.

    Who is stopped before its turn has done all that was asked of it.
    """
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    told = False
    while True:
        try:
            directory = RuntimeDirectory.acquire(environ, uid=os.geteuid())
        except AlreadyRunningError as error:
            if not told:
                log.info("daemon_standing_by", reason=str(error))
            told = True
            clock.pause(_STANDBY_SECONDS)
        else:
            signal.signal(signal.SIGTERM, before)
            return directory
