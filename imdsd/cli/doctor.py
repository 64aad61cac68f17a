"""`imdsd doctor`: walk the whole chain, and say at each step what is wrong and what to do."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.cli._asking import Caller
from imdsd.config import add_flags
from imdsd.host.memory import close_memory, leave_no_core

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from imdsd.doctor.examination import Examination
    from imdsd.doctor.finding import Finding, Surroundings
    from imdsd.doctor.rendering import Style

_OF_THE_DAEMON = ("allow_imdsv1", "log_format", "log_level")


def configure(parser: argparse.ArgumentParser) -> None:
    """Take what to look at, how to tell it, and the flags that `serve` is given."""
    parser.add_argument(
        "--role", metavar="NAME", help="the role to walk through (default: the default role)"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="check the token's signature with the issuer's keys (needs the extra verify)",
    )
    parser.add_argument(
        "--offline", action="store_true", help="mint nothing, ask neither issuer nor STS"
    )
    parser.add_argument("--strict", action="store_true", help="exit 5 when there are warnings")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--bundle",
        metavar="FILE",
        type=Path,
        help="write a report for a ticket into this file, without secrets, for its owner alone",
    )
    parser.add_argument(
        "--force", action="store_true", help="let --bundle replace a file that is no bundle"
    )
    add_flags(parser, exclude=_OF_THE_DAEMON)


def run(arguments: argparse.Namespace) -> int:
    """Look at everything from where this process is."""
    leave_no_core()
    close_memory()
    return perform(arguments, Caller.of_this_process())


def perform(arguments: argparse.Namespace, caller: Caller) -> int:
    """Do it on behalf of a caller."""
    from imdsd.doctor.examination import Examination, Order
    from imdsd.doctor.finding import Surroundings
    from imdsd.doctor.rendering import as_document, exit_status

    around = Surroundings(
        caller.environ, caller.uid, caller.home, caller.clock, caller.root, _folder()
    )
    order = Order(vars(arguments), arguments.role, arguments.verify, arguments.offline)
    examination = Examination(order, around)
    style = _style(caller)
    findings: list[Finding] = []
    for finding in examination.walk():
        findings.append(finding)
        # The report comes first where one is wanted: whoever reads the lines may stop reading.
        if not arguments.json and arguments.bundle is None:
            _print(*style.lines(finding))
    if arguments.bundle is not None:
        _bundle(arguments, findings, around, examination)
        if not arguments.json:
            _print(*(line for finding in findings for line in style.lines(finding)))
    if arguments.json:
        _print(json.dumps(as_document(findings), indent=2))
    else:
        _print("", style.summary(findings))
    return exit_status(findings, strict=arguments.strict)


def _bundle(
    arguments: argparse.Namespace,
    findings: Sequence[Finding],
    around: Surroundings,
    examination: Examination,
) -> None:
    from imdsd.doctor.bundle import write_bundle

    subject, met = examination.subject, examination.encounter
    write_bundle(
        arguments.bundle,
        findings,
        around,
        config=subject.config if subject else None,
        status=met.status if met else None,
        force=arguments.force,
    )
    sys.stderr.write(f"imdsd: the report is in {arguments.bundle}; read it before you send it\n")


def _folder() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it is gone
        return Path("/")


def _style(caller: Caller) -> Style:
    from imdsd.doctor.rendering import Style

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal or "COLUMNS" in caller.environ else None
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return Style(width=width, colour=terminal and not os.environ.get("NO_COLOR"), unicode=unicode)


def _print(*lines: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        sys.stdout.write(line.encode(encoding, "replace").decode(encoding) + "\n")
    # A step may take seconds: what is known is shown before.
    sys.stdout.flush()
