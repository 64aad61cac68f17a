"""`imdsd env`: print the variables that point AWS SDKs at the daemon."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.cli._asking import START_SECONDS, Caller, add_role_option, aim, patience, warn
from imdsd.host.sdk_environment import sdk_variables
from imdsd.host.shadowing import shadowing
from imdsd.host.shells import STYLES, assignments, render

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

_GITHUB = "github"
_BEARER = "AWS_CONTAINER_AUTHORIZATION_TOKEN"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `env`."""
    add_role_option(parser)
    parser.add_argument(
        "--format",
        choices=(*STYLES, _GITHUB),
        default="sh",
        help="how to write them (default: sh). github masks the bearer and appends the"
        " variables to $GITHUB_ENV, for the steps that follow",
    )
    parser.add_argument(
        "--timeout",
        type=patience,
        default=START_SECONDS,
        metavar="SECONDS",
        help="how long to wait for a daemon that is starting (default: 10)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the variables and warn about what would win over them."""
    return perform(arguments, Caller.of_this_process())


def perform(arguments: argparse.Namespace, caller: Caller) -> int:
    """Do it on behalf of a caller."""
    variables = sdk_variables(
        aim(arguments.role, caller, wait_seconds=arguments.timeout), environ=caller.environ
    )
    untouched = {key: value for key, value in caller.environ.items() if key not in variables}
    for shadow in shadowing(untouched, home=caller.home):
        warn(str(shadow))
    if arguments.format == _GITHUB:
        _write_github(variables, caller.environ.get("GITHUB_ENV"))
    else:
        sys.stdout.write(render(variables, style=arguments.format))
    return 0


def _write_github(variables: Mapping[str, str], file: str | None) -> None:
    """Mask on stdout, set in the file: the runner reads a mask nowhere else.

    Outside of a GitHub step the variables follow the mask on stdout, for a look.
    """
    lines = assignments(variables)
    sys.stdout.write(f"::add-mask::{variables[_BEARER]}\n")
    if file is None:
        sys.stdout.write(lines)
        return
    # The mask must be known to the runner before anything can print the variable.
    sys.stdout.flush()
    with Path(file).open("a", encoding="utf-8") as github_env:
        github_env.write(lines)
