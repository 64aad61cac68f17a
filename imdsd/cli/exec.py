"""`imdsd exec`: become a command whose AWS SDKs ask the daemon."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from imdsd.cli._asking import Caller, add_role_option, aim, warn
from imdsd.errors import UsageError
from imdsd.host.sdk_environment import scrubbed, sdk_variables
from imdsd.host.shadowing import shadowing_files

if TYPE_CHECKING:
    import argparse

# What shells answer for a command that is not there, and for one that cannot be run.
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `exec`."""
    add_role_option(parser)
    parser.add_argument("command", metavar="-- COMMAND", nargs="...", help="what to become")


def run(arguments: argparse.Namespace) -> int:
    """Become the command; returns only when that fails."""
    return perform(arguments, Caller.of_this_process())


def perform(arguments: argparse.Namespace, caller: Caller) -> int:
    """Do it on behalf of a caller."""
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise UsageError("exec needs a command: imdsd exec -- COMMAND…")
    environ = scrubbed(caller.environ)
    environ.update(sdk_variables(aim(arguments.role, caller), environ=caller.environ))
    for shadow in shadowing_files(environ, home=caller.home):
        warn(str(shadow))
    return _become(command, environ)


def _become(command: list[str], environ: dict[str, str]) -> int:
    # Python ignores both; a command that inherits that never dies of a closed pipe.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], command, environ)  # noqa: S606  # no shell: that is the point
    except (FileNotFoundError, NotADirectoryError):
        return _refuse(command[0], "command not found", code=_NOT_FOUND)
    except OSError as error:
        return _refuse(command[0], str(error.strerror), code=_NOT_EXECUTABLE)


def _refuse(command: str, why: str, *, code: int) -> int:
    sys.stderr.write(f"imdsd: exec: {command}: {why}\n")
    return code
