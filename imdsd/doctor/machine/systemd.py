"""How the installed units fare, where systemd runs the machine."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imdsd.doctor.finding import Diagnosis, Level, Step, skip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imdsd.doctor.finding import Finding, Surroundings

ASK_SECONDS = 5.0
_STEP = Step.SYSTEMD
_SERVICE = "imdsd.service"
# The one that stands in for the service: it starts on the first request.
_SOCKET = "imdsd.socket"
_OPTIONAL = ("imdsd-link-local.socket", "imdsd-address.service")
_PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "StatusText",
    "Result",
)

_PASSED_ON = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")

_warning = partial(Diagnosis, _STEP, Level.WARNING)

NOT_INSTALLED = Diagnosis(_STEP, Level.OK, "not-installed", "systemd runs, and has no unit of ours")
ACTIVE = Diagnosis(_STEP, Level.OK, "active", "the unit runs; what it says of itself is told")
FAILED = Diagnosis(
    _STEP,
    Level.FAILURE,
    "failed",
    "a unit has failed",
    "see why with `{journal} --unit={unit} --lines=50`, correct it, then "
    "`{systemctl} restart {unit}`",
)
INACTIVE = _warning(
    "inactive", "a unit is installed and does not run", "`{systemctl} enable --now {unit}`"
)
STARTING = _warning(
    "starting",
    "a unit is on its way up or down",
    "ask again in a minute; if it stays, see `{journal} --unit={unit} --lines=50`",
)
DISABLED = _warning(
    "disabled",
    "a unit runs and will not after the next boot",
    "`{systemctl} enable {unit}`",
)
MASKED = _warning("masked", "a unit is masked: nothing starts it", "`{systemctl} unmask {unit}`")
LINGER = _warning(
    "linger",
    "the user's unit ends with the user's last session",
    "`loginctl enable-linger`, so that it runs from boot on",
)
SILENT = _warning(
    "silent",
    "systemctl cannot be asked",
    "see whether `{systemctl} status` answers; in a container it may not be there on purpose",
)


@dataclass(frozen=True, slots=True)
class Manager:
    """A service manager: how it is asked, and which units are looked for."""

    systemctl: str
    journal: str
    words: tuple[str, ...]
    units: tuple[str, ...]


def judge_units(around: Surroundings, *, user: str) -> Iterator[Finding]:
    """Ask the machine's service manager, and the user's where there is one."""
    if not (around.root / "run/systemd/system").is_dir():  # sd_booted(3)
        yield skip(_STEP, "this machine is not run by systemd")
        return
    found = list(_judge(_system(user), around))
    if around.uid and around.environ.get("XDG_RUNTIME_DIR"):
        own = Manager("systemctl --user", "journalctl --user", ("--user",), (_SERVICE,))
        theirs = list(_judge(own, around))
        found += theirs
        if any(each.code in (ACTIVE.code, DISABLED.code) for each in theirs):
            found += _lingers(around, user)
    yield from found
    if not found:
        yield NOT_INSTALLED("no unit of imdsd is installed")


def _system(user: str) -> Manager:
    instance = f"imdsd@{user}.service"
    units = (_SERVICE, _SOCKET, *_OPTIONAL, instance)
    return Manager("sudo systemctl", "sudo journalctl", (), units)


def _lingers(around: Surroundings, user: str) -> Iterator[Finding]:
    if not (around.root / "var/lib/systemd/linger" / user).exists():
        yield LINGER(f"{user} does not linger")


def _judge(manager: Manager, around: Surroundings) -> Iterator[Finding]:
    told = {"systemctl": manager.systemctl, "journal": manager.journal}
    try:
        units = _ask(manager, around.environ)
    except (OSError, subprocess.SubprocessError) as error:
        why = "is not found" if isinstance(error, OSError) else "gives no answer"
        yield SILENT(f"{manager.systemctl.removeprefix('sudo ')} {why}", **told)
        return
    stood_in_for = units.get(_SOCKET, {})
    for name, unit in units.items():
        yield from _unit(name, unit, stood_in_for if name == _SERVICE else {}, told)


def _unit(
    name: str, unit: Mapping[str, str], socket: Mapping[str, str], told: Mapping[str, str]
) -> Iterator[Finding]:
    state, status = unit.get("ActiveState", ""), unit.get("StatusText", "")
    enabled = (
        unit.get("UnitFileState", "") != "disabled" or socket.get("UnitFileState") == "enabled"
    )
    facts = {"unit": name, "state": state, "status": status, **told}
    said = f"{name} is {state} ({unit.get('SubState', '')})" + (f": {status}" if status else "")
    if unit.get("LoadState") == "masked":
        yield MASKED(f"{name} is masked", **facts)
    elif unit.get("LoadState") != "loaded":
        return
    elif state == "failed":
        yield FAILED(f"{name} has failed ({unit.get('Result', '')})", **facts)
    elif state == "active":
        yield (ACTIVE if enabled or name in _OPTIONAL else DISABLED)(said, **facts)
    elif state in ("activating", "deactivating", "reloading"):
        yield STARTING(said, **facts)
    elif socket.get("ActiveState") == "active":
        yield ACTIVE(f"{name} starts with the first request to {_SOCKET}", **facts)
    elif name not in (*_OPTIONAL, _SOCKET) and "@" not in name:
        yield INACTIVE(said, **facts)


def _ask(manager: Manager, environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    program = shutil.which("systemctl", path=environ.get("PATH"))
    if program is None:
        raise FileNotFoundError("systemctl")
    asked = (*manager.words, "show", f"--property={','.join(_PROPERTIES)}", *manager.units)
    done = subprocess.run(
        (program, *asked),
        env={name: environ[name] for name in _PASSED_ON if name in environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=ASK_SECONDS,
    )
    return dict(_blocks(done.stdout.decode("utf-8", "replace"), manager.units))


def _blocks(text: str, units: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each unit's properties: a block a unit, an empty line between two."""
    blocks = text.strip().split("\n\n")
    for asked, block in zip(units, blocks, strict=False):
        pairs = (line.partition("=") for line in block.splitlines())
        properties = {name: value for name, _, value in pairs}
        yield properties.get("Id") or asked, properties
