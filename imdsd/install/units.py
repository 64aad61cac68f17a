"""The only module that knows where the systemd units are kept and how they are made to run here."""

from __future__ import annotations

import re
from pathlib import Path

from imdsd.errors import ImdsdError

SYSTEM_UNITS = (
    "imdsd.service",
    "imdsd.socket",
    "imdsd-link-local.socket",
    "imdsd-address.service",
    "imdsd@.service",
)
"""What belongs into /etc/systemd/system."""

USER_UNITS = ("user/imdsd.service",)
"""What belongs into ~/.config/systemd/user, without its folder."""

SYSUSERS = "sysusers.d/imdsd.conf"
"""The user and the group of imdsd.service, for /etc/sysusers.d."""

PLACEHOLDER = "/usr/bin/python3"
"""The interpreter as the units name it before they are rendered."""

_PACKAGE = Path(__file__).parent.parent
# What needs no quoting in ExecStart=, where systemd has its own rules for % $ " ' \\ and spaces.
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9@+=:,._/-]+", re.ASCII)


class UnitError(ImdsdError):
    """A unit that cannot be had or rendered."""


def read_unit(name: str, *, package: Path = _PACKAGE) -> str:
    """Return the text of a unit as it is kept: in the wheel, or in the checkout that is installed.

    Raises `UnitError` when this installation has none.
    """
    places = [package / "systemd", package.parent / "systemd"]
    for place in places:
        try:
            return (place / name).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
    tried = " and ".join(map(str, places))
    raise UnitError(f"this installation has no {name} (looked in {tried}); install imdsd again")


def render_unit(name: str, *, interpreter: Path, package: Path = _PACKAGE) -> str:
    """Return the text of a unit that starts the daemon by this interpreter.

    Raises `UnitError` when the path is not absolute or would have to be quoted.
    """
    if not _PLAIN_PATH.fullmatch(str(interpreter)):
        raise UnitError(
            f"the interpreter is {str(interpreter)!r}, expected an absolute path of letters, digits"
            " and @+=:,._- only; install imdsd into another directory"
        )
    # Whole words only: what stands in front of a longer name is another program.
    word = re.compile(rf"(?<![^\s=]){re.escape(PLACEHOLDER)}(?!\S)")
    return word.sub(lambda _: str(interpreter), read_unit(name, package=package))
