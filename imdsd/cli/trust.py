"""`imdsd trust`: what AWS needs to let this environment in, or whether a policy does."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.config import add_flags, build_source, load
from imdsd.errors import ClaimsError, ImdsdError, UsageError
from imdsd.trust import (
    Outcome,
    Scope,
    TrustPolicyError,
    TrustSetup,
    actions_of,
    as_cloudformation,
    as_json,
    as_script,
    as_terraform,
    check_issuer,
    check_trust,
    parse_held_policy,
    subject_rule,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import TextIO

    from imdsd.config import Config, RoleConfig
    from imdsd.tokens.claims import Claims
    from imdsd.trust import Answer, HeldPolicy

_OF_THE_DAEMON = (
    "session_name",
    "duration_seconds",
    "listen",
    "allow_imdsv1",
    "log_format",
    "log_level",
)
_FORMATS = {
    "json": as_json,
    "cli": as_script,
    "terraform": as_terraform,
    "cloudformation": as_cloudformation,
}
_DEFAULT_FORMAT, _DEFAULT_ROLE_NAME = "json", "imdsd"
# What a policy that is there already has settled.
_FOR_WRITING = ("scope", "format", "role_name", "max_session_duration")
_ARN = re.compile(
    r"arn:(?P<partition>[\w-]+):iam::(?P<account>\d{12}):role(?P<path>/(?:.*/)?)(?P<name>[^/]+)"
)
# IAM's limits on MaxSessionDuration. A token that cannot be minted again gets the longest session.
_LEAST_SECONDS, _MOST_SECONDS = 3600, 43200
# IAM takes trust policies of 4096 characters at most; get-role wraps more around one.
_MOST_CHARACTERS = 65_536


def configure(parser: argparse.ArgumentParser) -> None:
    """Take --check, what the role shall be, and what says where web identity tokens come from."""
    parser.add_argument(
        "--check",
        metavar="POLICY.json",
        help="hold the token's claims against this trust policy, or against what `aws iam "
        "get-role` printed; - reads it from stdin",
    )
    parser.add_argument(
        "--scope",
        choices=[str(each) for each in Scope],
        help="whom to let in (default: exact, this subject alone)",
    )
    parser.add_argument("--format", choices=_FORMATS, help="what to write (default: json)")
    parser.add_argument(
        "--role-name",
        metavar="NAME",
        help="the role's name (default: as in the role's ARN, else imdsd)",
    )
    parser.add_argument(
        "--account-id", metavar="ID", help="the account (default: as in the role's ARN)"
    )
    parser.add_argument(
        "--max-session-duration",
        metavar="N",
        type=int,
        help="longest session of the role, 3600 to 43200 (default: what duration_seconds needs)",
    )
    add_flags(parser, exclude=_OF_THE_DAEMON)


def run(arguments: argparse.Namespace) -> int:
    """Mint as the default role would, and write the set-up or judge the policy."""
    _refuse_misfits(arguments)
    held = _held(arguments.check) if arguments.check is not None else None
    config = load(flags=vars(arguments), environ=os.environ, require_role=False)
    environment = _environment(config)
    if held is not None:
        return _check(held, environment, arguments.account_id)
    form = arguments.format or _DEFAULT_FORMAT
    setup = _setup(arguments, environment)
    if setup.account is None and form == "cli":
        raise UsageError("--format cli needs the account: give --account-id or --role-arn")
    warnings = list(_warnings(setup, form))
    text = _FORMATS[form](setup)
    _warn(*warnings)
    sys.stdout.write(f"{text.rstrip()}\n")
    return 0


@dataclass(frozen=True, slots=True)
class _Environment:
    """What this environment has: the default role, if any, and the claims of a token for it."""

    role: RoleConfig | None
    audience: str
    claims: Claims
    renewable: bool

    @property
    def role_arn(self) -> re.Match[str] | None:
        """The parts of the role's ARN."""
        return None if self.role is None else _ARN.fullmatch(self.role.arn)


def _refuse_misfits(arguments: argparse.Namespace) -> None:
    for name in _FOR_WRITING if arguments.check is not None else ():
        if getattr(arguments, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} says what to write; --check writes none")
    for flag, value, pattern, expected in (
        ("--account-id", arguments.account_id, r"\d{12}", "12 digits"),
        ("--role-name", arguments.role_name, r"[\w+=,.@-]{1,64}", "1 to 64 of A-Za-z0-9_+=,.@-"),
    ):
        if value is not None and re.fullmatch(pattern, value, re.ASCII) is None:
            raise UsageError(f"{flag} is {value!r}, expected {expected}")
    seconds = arguments.max_session_duration
    if seconds is not None and not _LEAST_SECONDS <= seconds <= _MOST_SECONDS:
        raise UsageError(
            f"--max-session-duration is {seconds}, expected {_LEAST_SECONDS} to {_MOST_SECONDS}"
        )


def _environment(config: Config) -> _Environment:
    from imdsd.tokens.claims import read_claims

    role = {role.name: role for role in config.roles}.get(config.default_role)
    wanted = config.token if role is None else role.token
    source = build_source(wanted, environ=os.environ, ca_bundle=config.ca_bundle)
    claims = read_claims(asyncio.run(source.mint()))
    return _Environment(role, wanted.audience, claims, source.renewable)


def _warn(*warnings: str) -> None:
    sys.stderr.writelines(f"imdsd: warning: {warning}\n" for warning in warnings)


# Write


def _setup(arguments: argparse.Namespace, environment: _Environment) -> TrustSetup:
    claims, arn = environment.claims, environment.role_arn
    named, path = (arn["name"], arn["path"]) if arn else (_DEFAULT_ROLE_NAME, "/")
    if arguments.role_name not in {None, named}:
        named, path = arguments.role_name, "/"
    account = arguments.account_id or (arn["account"] if arn else None)
    return TrustSetup(
        issuer=claims.issuer,
        audience=_audience(environment),
        subject=subject_rule(claims.subject, Scope(arguments.scope or Scope.EXACT)),
        role_name=named,
        role_path=path,
        max_session_seconds=arguments.max_session_duration or _longest(environment),
        account=account,
        partition=arn["partition"] if arn else "aws",
        actions=actions_of(claims.values),
    )


def _audience(environment: _Environment) -> str:
    if environment.audience in environment.claims.audience:
        return environment.audience
    raise ClaimsError(
        "aud",
        found=" and ".join(map(repr, environment.claims.audience)),
        expected=repr(environment.audience),
        remedy="ask the token source for this audience, or set `audience`",
    )


def _longest(environment: _Environment) -> int:
    """Return the session that the daemon will ask for, as far as IAM can be told so."""
    usual = _LEAST_SECONDS if environment.renewable else _MOST_SECONDS
    asked = environment.role.duration_seconds if environment.role is not None else None
    return max(asked or usual, _LEAST_SECONDS)


def _warnings(setup: TrustSetup, form: str) -> Iterator[str]:
    yield from filter(None, (check_issuer(setup.issuer), setup.subject.warning))
    if setup.account is None and form == "json":
        yield "no account is known: put its 12 digits in place of ACCOUNT_ID, or give --account-id"


# Check


def _held(name: str) -> HeldPolicy:
    """Read the policy before anything is minted; what is wrong with it names the file."""
    try:
        return parse_held_policy(_read(name))
    except TrustPolicyError as error:
        raise ImdsdError(f"--check {name}: {error}") from None


def _check(held: HeldPolicy, environment: _Environment, account: str | None) -> int:
    """Print what the policy says to this token; 1 unless it surely lets it in."""
    of_policy, of_config = _ARN.fullmatch(held.role_arn), environment.role_arn
    if of_policy and of_config and of_policy[0] != of_config[0]:
        _warn(f"the policy is of {of_policy[0]}, the configured role is {of_config[0]}")
    arn = of_policy or of_config
    answers = check_trust(
        held.policy,
        issuer=environment.claims.issuer,
        claims=environment.claims.values,
        account=account or (arn["account"] if arn else None),
    )
    sys.stdout.writelines(f"{line}\n" for line in report(environment.claims, answers))
    return 0 if all(answer.outcome is Outcome.ALLOWED for answer in answers) else 1


def report(claims: Claims, answers: tuple[Answer, ...]) -> Iterator[str]:
    """Return the lines that say who asks, and what a policy answers to each action."""
    for name, values in (
        ("iss", (claims.issuer,)),
        ("aud", claims.audience),
        ("sub", (claims.subject,)),
    ):
        yield f"{name}  {', '.join(map(_visible, values))}"
    for answer in answers:
        place = f" by {answer.verdict.statement}" if answer.outcome is Outcome.REFUSED else ""
        yield f"{answer.outcome}: {answer.action}{place if answer.verdict.statement else ''}"
        if answer.outcome is Outcome.REFUSED:
            yield from (f"  {mismatch}" for mismatch in answer.verdict.mismatches)
        if answer.outcome is Outcome.UNDECIDED:
            yield f"  it depends on {', '.join(answer.open_keys)}, which only AWS knows"
    if any(answer.outcome is Outcome.REFUSED for answer in answers):
        yield "Change the policy, or write one that fits: imdsd trust"


def _visible(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _read(name: str) -> str:
    try:
        if name == "-":
            return _capped(sys.stdin)
        with Path(name).open(encoding="utf-8") as file:
            return _capped(file)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise UsageError(
            f"--check {name}: {why}; a role's policy is got by"
            " `aws iam get-role --role-name NAME > role.json`"
        ) from None


def _capped(file: TextIO) -> str:
    text = file.read(_MOST_CHARACTERS + 1)
    if len(text) > _MOST_CHARACTERS:
        raise UsageError(f"--check: more than {_MOST_CHARACTERS} characters, which no role has")
    return text
