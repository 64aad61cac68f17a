"""The one table of options: what has a flag and a variable, and which key of the file it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.config.tables import Setting
from imdsd.errors import Problem, nearest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection, Iterable, Mapping

PREFIX = "IMDSD_"

Layer = dict[str, dict[str, Setting]]
"""Settings of one strength, by table and key."""


def _as_number(text: str) -> object:
    return int(text) if re.fullmatch(r"-?\d{1,18}", text, re.ASCII) else text


def _as_boolean(text: str) -> object:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    return words.get(text.lower(), text)


def _as_list(text: str) -> object:
    return [item.strip() for item in text.split(",") if item.strip()]


def _as_path(text: str) -> object:
    try:
        return text if text.startswith("~/") else str(Path(text).absolute())
    except OSError:  # the working directory is gone: a relative path is then refused as such
        return text


@dataclass(frozen=True, slots=True)
class Option:
    """A setting that a flag and a variable can give; `decode` makes the file's type of a text."""

    name: str
    table: str
    key: str
    metavar: str | None
    help: str
    decode: Callable[[str], object] = str

    @property
    def flag(self) -> str:
        """The long flag."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.name.upper()

    def setting(self, value: object, source: str) -> Setting:
        """Return what a flag or a variable says, in the file's terms."""
        decoded = self.decode(value) if isinstance(value, str) else value
        return Setting(decoded, source, self.key)


OPTIONS = (
    Option("config", "", "config", "FILE", "the configuration file", _as_path),
    Option("role_arn", "role", "arn", "ARN", "the default role's ARN"),
    Option(
        "duration_seconds", "role", "duration_seconds", "N",
        "length of the default role's session, 900 to 43200 (default: 3600)", _as_number,
    ),
    Option(
        "session_name", "role", "session_name", "TEMPLATE",
        "the default role's session name; {host} and {CLAIM} are filled in",
    ),
    Option("audience", "token", "audience", "AUD", "the web identity token's audience"),
    Option(
        "token_command", "token", "command", "COMMAND",
        "a command that prints a web identity token; {audience} is filled in",
    ),
    Option("token_file", "token", "file", "FILE", "a file that holds one", _as_path),
    Option("region", "", "region", "REGION", "the AWS region of roles that name none"),
    Option(
        "listen", "", "listen", "ADDRESS:PORT",
        "where to listen; may be given again (default: 127.0.0.1:9254)", _as_list,
    ),
    Option("allow_imdsv1", "", "allow_imdsv1", None, "answer IMDSv1 too", _as_boolean),
    Option("log_format", "", "log_format", "FORMAT", "auto, json or text (default: auto)"),
    Option(
        "log_level", "", "log_level", "LEVEL", "debug, info, warning or error (default: info)"
    ),
)  # fmt: skip  # a table reads best as one

AWS_VARIABLES: tuple[tuple[str, str, str, Callable[[str], object]], ...] = (
    ("IDP_AWS_ROLE_ARN", "role", "arn", str),
    ("AWS_ROLE_ARN", "role", "arn", str),
    ("AWS_ROLE_SESSION_NAME", "role", "session_name", str),
    ("AWS_DEFAULT_REGION", "", "region", str),
    ("AWS_REGION", "", "region", str),
    ("AWS_CA_BUNDLE", "", "ca_bundle", _as_path),
)
"""What AWS users already have set, the weaker of two first.

AWS_WEB_IDENTITY_TOKEN_FILE is missing here because the source "auto" begins with it.
"""

_ELSEWHERE = ("IMDSD_RUNTIME_DIR",)

# Kubernetes sets these in every pod beside a Service called imdsd.
_SERVICE_LINK = re.compile(r"IMDSD_(SERVICE_(HOST|PORT)|PORT)(_\w+)?", re.ASCII)


def add_flags(parser: argparse.ArgumentParser, *, exclude: Collection[str] = ()) -> None:
    """Add a flag for every option but those whose names are excluded (as in "token_file")."""
    group = parser.add_argument_group(
        "configuration", "flags win over variables, both over the file"
    )
    for option in OPTIONS:
        if option.name not in exclude:
            _add_flag(group, option)


def _add_flag(group: argparse._ArgumentGroup, option: Option) -> None:
    described = f"{option.help} [{option.variable}]"
    if option.metavar is None:
        group.add_argument(option.flag, action="store_true", default=None, help=described)
    else:
        action = "append" if option.decode is _as_list else "store"
        group.add_argument(option.flag, action=action, metavar=option.metavar, help=described)


def flag_layer(flags: Mapping[str, object]) -> Layer:
    """Return what flags say; None and names that are no option are left out."""
    return _layer(
        (option, option.setting(flags[option.name], option.flag))
        for option in OPTIONS
        if flags.get(option.name) is not None
    )


def variable_layer(environ: Mapping[str, str]) -> Layer:
    """Return what IMDSD_ variables say; an empty one counts as not set."""
    return _layer(
        (option, option.setting(environ[option.variable], option.variable))
        for option in OPTIONS
        if environ.get(option.variable)
    )


def aws_layer(environ: Mapping[str, str]) -> Layer:
    """Return what the variables of AWS's own tools say, the weakest of all."""
    layer: Layer = {}
    for variable, table, key, decode in AWS_VARIABLES:
        value = environ.get(variable)
        if value:
            layer.setdefault(table, {})[key] = Setting(decode(value), variable, key)
    return layer


def unknown_variables(environ: Iterable[str]) -> list[Problem]:
    """Return a problem for each IMDSD_ variable that means nothing: a typo is no default."""
    known = (*(option.variable for option in OPTIONS), *_ELSEWHERE)
    return [
        _unknown_variable(name, known)
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in known and not _SERVICE_LINK.fullmatch(name)
    ]


def _unknown_variable(name: str, known: Iterable[str]) -> Problem:
    near = nearest(name, known)
    hint = f"did you mean {near}?" if near else "unset it"
    return Problem("environment", name, "a variable that is not known", "one of ours", hint)


def _layer(settings: Iterable[tuple[Option, Setting]]) -> Layer:
    layer: Layer = {}
    for option, setting in settings:
        layer.setdefault(option.table, {})[option.key] = setting
    return layer
