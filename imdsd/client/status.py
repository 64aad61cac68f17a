"""The only module that reads the daemon's /status document into values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from imdsd.errors import NoDaemonError


@dataclass(frozen=True, slots=True)
class LastError:
    """Why the last refresh of a role failed, and what a person can do."""

    stage: str
    code: str
    reason: str
    remedy: str
    at: datetime | None

    def __str__(self) -> str:
        return f"{self.stage}: {self.reason}" + (f"; {self.remedy}" if self.remedy else "")


@dataclass(frozen=True, slots=True)
class RoleStatus:
    """One role as the daemon sees it."""

    name: str
    aliases: tuple[str, ...]
    default: bool
    state: str
    served: bool
    role_arn: str
    account_id: str
    region: str
    expires_at: datetime | None
    refresh_at: datetime | None
    token_source: str
    renewable: bool
    refreshes: int
    failures: int
    last_error: LastError | None
    refreshed: bool | None

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> Self:
        """Read one entry of `roles`; raise NoDaemonError naming the key that is wrong."""
        fields = _Fields(entry)
        return cls(
            name=fields.text("name"),
            aliases=tuple(str(alias) for alias in fields.items("aliases")),
            default=fields.flag("default"),
            state=fields.text("state"),
            served=fields.flag("served"),
            role_arn=fields.text("role_arn"),
            account_id=fields.text("account_id"),
            region=fields.text("region"),
            expires_at=fields.instant("expires_at"),
            refresh_at=fields.instant("refresh_at"),
            token_source=fields.text("token_source"),
            renewable=fields.flag("renewable"),
            refreshes=fields.number("refreshes"),
            failures=fields.number("failures"),
            last_error=_last_error(fields.optional_object("last_error")),
            refreshed=fields.flag("refreshed") if "refreshed" in entry else None,
        )


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """The daemon and all its roles."""

    version: str
    pid: int
    started_at: datetime | None
    demo: bool
    listeners: tuple[str, ...]
    roles: tuple[RoleStatus, ...]
    warnings: tuple[str, ...]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Read /status; raise NoDaemonError naming the key that is wrong."""
        fields = _Fields(document)
        return cls(
            version=fields.text("version"),
            pid=fields.number("pid"),
            started_at=fields.instant("started_at"),
            demo=fields.flag("demo"),
            listeners=tuple(str(each) for each in fields.items("listeners")),
            roles=parse_roles(document),
            warnings=tuple(str(each) for each in fields.items("warnings")),
        )


def parse_roles(document: Mapping[str, Any]) -> tuple[RoleStatus, ...]:
    """Read the `roles` of /status or /refresh."""
    return tuple(RoleStatus.parse(entry) for entry in _Fields(document).items("roles"))


def _last_error(entry: Mapping[str, Any] | None) -> LastError | None:
    if entry is None:
        return None
    fields = _Fields(entry)
    return LastError(
        stage=fields.text("stage"),
        code=fields.text("code"),
        reason=fields.text("reason"),
        remedy=fields.text("remedy"),
        at=fields.instant("at"),
    )


class _Fields:
    """Typed access to a JSON object; an absent text is empty, an absent list has nothing."""

    def __init__(self, entry: object) -> None:
        if not isinstance(entry, Mapping):
            raise NoDaemonError(f"the daemon's answer holds {entry!r}, expected an object")
        self._entry = entry

    def text(self, key: str) -> str:
        return str(self._typed(key, str) or "")

    def number(self, key: str) -> int:
        return int(self._typed(key, int) or 0)

    def flag(self, key: str) -> bool:
        return bool(self._typed(key, bool))

    def items(self, key: str) -> list[Any]:
        return list(self._typed(key, list) or [])

    def optional_object(self, key: str) -> Mapping[str, Any] | None:
        value: Mapping[str, Any] | None = self._typed(key, Mapping)
        return value

    def instant(self, key: str) -> datetime | None:
        text = self.text(key)
        try:
            return datetime.fromisoformat(text) if text else None
        except ValueError:
            raise NoDaemonError(f"the daemon's {key} is {text!r}, expected an instant") from None

    def _typed(self, key: str, kind: type) -> Any:  # noqa: ANN401  # the kind is checked here
        value = self._entry.get(key)
        if value is not None and not isinstance(value, kind):
            expected = kind.__name__
            raise NoDaemonError(f"the daemon's {key} is {value!r}, expected {expected}")
        return value
