"""The only module that knows how a table is read: key by key, every problem kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from imdsd.errors import Problem, nearest

T = TypeVar("T")
D = TypeVar("D")

Settings = Mapping[str, "Setting"]

KEYS: Mapping[str, tuple[str, ...]] = {
    "": (
        "listen", "allow_users", "allow_groups", "allow_imdsv1", "bearer_group",
        "hide_ec2_services", "region", "ca_bundle", "startup_grace_seconds",
        "startup_spread_seconds", "log_level", "log_format", "token", "role", "metadata",
    ),
    "listen": ("address", "imds", "hop_limit", "optional"),
    "role": (
        "name", "default", "aliases", "arn", "duration_seconds", "session_name", "policy",
        "policy_arns", "region", "sts_endpoint_url", "chain", "allowed_account_ids", "token",
        "files",
    ),
    "files": ("credentials_file", "profile"),
    "token": (
        "source", "audience", "timeout_seconds", "command", "file", "url", "headers", "pointer",
        "variable",
    ),
    "metadata": (
        "region", "availability_zone", "availability_zone_id", "instance_id", "instance_type",
        "ami_id", "hostname", "local_hostname", "local_ipv4", "ipv6", "mac", "public_ipv4",
        "public_hostname", "security_groups", "tags", "user_data", "user_data_file",
        "public_keys", "leaves", "interface", "event", "upstream", "upstream_paths",
    ),
    "interface": (
        "mac", "device_number", "interface_id", "local_ipv4s", "ipv6s", "public_ipv4s",
        "local_hostname", "public_hostname", "owner_id", "security_groups", "security_group_ids",
        "subnet_id", "subnet_ipv4_cidr_block", "vpc_id", "vpc_ipv4_cidr_block",
        "vpc_ipv4_cidr_blocks",
    ),
    "event": (
        "kind", "action", "code", "state", "description", "event_id", "after_seconds",
        "in_seconds", "until_seconds",
    ),
}  # fmt: skip  # one key a line would be four screens
"""Every key there is, by the table it belongs to; "" is the top of the file."""

_HEADINGS = {
    "": "the top level",
    "listen": "a listen table",
    "role": "[[role]]",
    "files": "[role.files]",
    "interface": "[[metadata.interface]]",
    "event": "[[metadata.event]]",
}
_TOKEN_LIKE = re.compile(r"eyJ[\w-]+\.")
_SHOWN_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it stands: a file, a flag or a variable, and the key in it."""

    value: object
    source: str
    key: str

    def item(self, index: int, value: object) -> Setting:
        """Return one element of a list as a setting of its own."""
        return Setting(value, self.source, f"{self.key}[{index}]")


class ExpectedError(ValueError):
    """A value was refused: what was expected, what to do, and what was found if not its repr."""

    def __init__(self, expected: str, *, hint: str = "", found: str | None = None) -> None:
        self.expected = expected
        self.hint = hint
        self.found = found
        super().__init__(expected)


class Table:
    """A table's settings, read one by one; what is refused is noted among `problems`."""

    def __init__(self, settings: Settings, problems: list[Problem]) -> None:
        self._settings = settings
        self._problems = problems

    def __contains__(self, name: str) -> bool:
        return name in self._settings

    def setting(self, name: str) -> Setting | None:
        """Return the setting itself, unread."""
        return self._settings.get(name)

    def read(self, name: str, parse: Callable[[object], T], default: D) -> T | D:
        """Return the parsed value; `default` where it is not set, or was refused and noted."""
        setting = self._settings.get(name)
        return default if setting is None else self._parse(setting, parse, default)

    def read_each(
        self, name: str, parse: Callable[[object], T], *, most: int | None = None
    ) -> tuple[T, ...]:
        """Return the parsed elements of a list, without those that were refused and noted."""
        setting = self._settings.get(name)
        if setting is None:
            return ()
        items = self._parse(setting, lambda value: _list(value, most), [])
        found = [
            self._parse(setting.item(index, item), parse, None) for index, item in enumerate(items)
        ]
        return tuple(item for item in found if item is not None)

    def refuse(self, name: str, refusal: ExpectedError) -> None:
        """Note a problem that only several keys together show."""
        self._problems.append(problem_of(self._settings[name], refusal))

    def _parse(self, setting: Setting, parse: Callable[[object], T], default: D) -> T | D:
        try:
            return parse(setting.value)
        except ExpectedError as refusal:
            self._problems.append(problem_of(setting, refusal))
            return default


def problem_of(setting: Setting, refusal: ExpectedError) -> Problem:
    """Return the refusal of a setting as a problem."""
    found = shown(setting.value) if refusal.found is None else refusal.found
    return Problem(setting.source, setting.key, found, refusal.expected, refusal.hint)


def missing(place: Setting, name: str, expected: str, *, hint: str) -> Problem:
    """Return the problem of a key that a table must have and has not."""
    return Problem(place.source, f"{place.key}.{name}", "nothing", expected, hint)


def settings_in(
    table: Mapping[str, object], *, kind: str, source: str, prefix: str, problems: list[Problem]
) -> dict[str, Setting]:
    """Return the known keys of a file's table as settings, and note the unknown ones."""
    problems += [
        _unknown(name, kind=kind, source=source, prefix=prefix)
        for name in table
        if name not in KEYS[kind]
    ]
    return {
        name: Setting(value, source, prefix + name)
        for name, value in table.items()
        if name in KEYS[kind]
    }


def shown(value: object) -> str:
    """Return a value as a message may show it: short, and never a token."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = repr(value) if isinstance(value, str) else str(value).lower()
    if _TOKEN_LIKE.search(text):
        return "what looks like a token (not shown)"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _list(value: object, most: int | None) -> list[object]:
    expected = "a list" if most is None else f"a list of at most {most}"
    if not isinstance(value, list) or (most is not None and len(value) > most):
        raise ExpectedError(expected)
    return value


def _unknown(name: str, *, kind: str, source: str, prefix: str) -> Problem:
    expected = f"a key of {_heading(kind)}"
    return Problem(source, prefix + name, "an unknown key", expected, _unknown_hint(name, kind))


def _unknown_hint(name: str, kind: str) -> str:
    homes = [_heading(other) for other, names in KEYS.items() if name in names]
    if homes:
        return f"{name} belongs in {' or '.join(homes)}"
    here = nearest(name, KEYS[kind])
    if here is not None:
        return f"did you mean {here}?"
    there = nearest(name, (key for names in KEYS.values() for key in names))
    return f"did you mean {there}, {_unknown_hint(there, kind)}?" if there else ""


def _heading(kind: str) -> str:
    return _HEADINGS.get(kind, f"[{kind}]")
