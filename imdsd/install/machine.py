"""The only module that asks the machine: whether systemd runs, which units and users there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsd.errors import InstallError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from imdsd.install.carrying import Runner

ACCOUNT = "imdsd"
"""The user of the system's daemon, and the group whose members are served."""

# systemctl is-active of a unit that is up, or on its way.
_UP = frozenset({"active", "activating", "reloading", "deactivating"})


@dataclass(frozen=True, slots=True)
class Machine:
    """What a plan may depend on; `scope` is how systemctl is asked: of the system or of a user."""

    run: Runner
    root: Path
    scope: tuple[str, ...] = ()

    @property
    def has_systemd(self) -> bool:
        """Whether systemd is the service manager that runs here (sd_booted(3))."""
        return (self.root / "run/systemd/system").is_dir()

    @property
    def knows_systemd(self) -> bool:
        """Whether systemd is here at all, running or not: an image being built, for instance."""
        return self.run(("systemctl", "--version")).code == 0

    def systemctl(self, *words: str) -> tuple[str, ...]:
        """Return the words of a command to systemd."""
        return ("systemctl", *self.scope, *words)

    def is_enabled(self, unit: str) -> bool:
        """Whether a unit starts at boot."""
        return self.run(self.systemctl("is-enabled", unit)).text.strip() == "enabled"

    def is_up(self, unit: str) -> bool:
        """Whether a unit runs, or is about to."""
        return self.has_systemd and (
            self.run(self.systemctl("is-active", unit)).text.strip() in _UP
        )

    def managers_variables(self) -> Mapping[str, str] | None:
        """Return the variables of the service manager; None where it does not answer."""
        shown = self.run(self.systemctl("show-environment"))
        pairs = (line.partition("=") for line in shown.text.splitlines())
        return {name: value for name, _, value in pairs} if shown.code == 0 else None

    def has_account(self) -> bool:
        """Whether the daemon's user is there."""
        return self.run(("getent", "passwd", ACCOUNT)).code == 0

    def has_group(self) -> bool:
        """Whether the group is there."""
        return self.run(("getent", "group", ACCOUNT)).code == 0

    def members(self) -> Sequence[str]:
        """Return who was put into the group."""
        fields = self.run(("getent", "group", ACCOUNT)).text.strip().split(":")
        return [name for name in fields[-1].split(",") if name] if len(fields) == 4 else []  # noqa: PLR2004  # group(5)

    def lingers(self, user: str) -> bool:
        """Whether the services of a user run without a session."""
        return (self.root / "var/lib/systemd/linger" / user).exists()

    def home_of(self, name: str) -> Path:
        """Return the home of a user; raises InstallError for one that there is not."""
        found = self.run(("getent", "passwd", "--", name))
        fields = found.text.strip().split(":")
        if found.code != 0 or len(fields) != 7:  # noqa: PLR2004  # passwd(5)
            raise InstallError(f"there is no user {name!r} on this machine")
        return self.root / fields[5].lstrip("/")
