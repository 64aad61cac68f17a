"""`python3 -m tests.wire BASE_URL`: the cases, held against whatever answers there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.wire.case import SERVICES, Case
from tests.wire.loading import BadCaseError, configurations, load_cases
from tests.wire.running import Outcome, applies, run
from tests.wire.service import Service
from tests.wire.talking import NoAnswerError, Place

_LINK_LOCAL = ("169.254.169.254", "fd00:ec2::254")


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when every case holds, 1 when one does not, 2 for a wrong command line."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        place = Place.of(args.url) if args.url else None
        cases = load_cases()
    except (ValueError, BadCaseError) as error:
        parser.error(str(error))
    if place is None and not args.list:
        parser.error("no base URL, expected one such as http://127.0.0.1:9254")
    on = args.on or _guessed(place)
    chosen = [case for case in cases if applies(case, on=on, needs=args.configured, only=args.only)]
    if args.list or place is None:
        return _list(chosen)
    try:
        bearer = args.bearer_file.read_text().strip() if args.bearer_file else None
    except OSError as error:
        parser.error(f"the bearer cannot be read: {error}")
    return _hold(chosen, Service(place, bearer=bearer))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.wire",
        description="Hold the wire cases against a service: a daemon, or the real one on EC2.",
    )
    add = parser.add_argument
    add("url", metavar="BASE_URL", nargs="?", help="http://HOST or http://HOST:PORT")
    add("--only", metavar="GLOB", default="*", help="cases with such a name")
    add("--on", choices=SERVICES, help="what answers there (default: ec2 on 169.254.169.254)")
    add(
        "--configured",
        choices=configurations(),
        default="plain",
        help="how the service is set up: as tests/wire/configurations/NAME.toml (default: plain)",
    )
    add("--bearer-file", metavar="FILE", type=Path, help="for the container and ops cases")
    add("--list", action="store_true", help="print the cases and their reasons, and ask nobody")
    return parser


def _guessed(place: Place | None) -> str:
    return "ec2" if place and place.host in _LINK_LOCAL else "imdsd"


def _list(cases: list[Case]) -> int:
    for case in cases:
        print(_line(case))
    return 0


def _line(case: Case) -> str:
    shown = case.filled(lambda text: text.replace("{each}", case.each))
    return f"{case.name}: {shown.verb} {shown.target}: {case.reason}"


def _hold(cases: list[Case], service: Service) -> int:
    try:
        service.begin()
    except (NoAnswerError, OSError) as error:
        print(f"{service.place.authority} does not answer as IMDS: {error}", file=sys.stderr)
        return 1
    outcomes = [run(case, service) for case in cases]
    for outcome in outcomes:
        _tell(outcome)
    failed = sum(bool(outcome.problems) for outcome in outcomes)
    lacking = sum(outcome.lacking is not None for outcome in outcomes)
    print(f"{len(cases) - failed - lacking} cases hold, {failed} do not, {lacking} not applicable")
    return 1 if failed or not cases else 0


def _tell(outcome: Outcome) -> None:
    if outcome.problems:
        print(outcome)
    elif outcome.lacking:
        print(f"{outcome.case.name}: not applicable: {outcome.lacking}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
