"""The only module that knows what an installation for one user consists of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imdsd.errors import InstallError
from imdsd.install.comparing import presume, to_install, to_uninstall
from imdsd.install.plan import NEXT, Part, Plan, Run, Wanted, Whole
from imdsd.install.texts import snippets
from imdsd.install.texts.blocks import Block
from imdsd.install.texts.profiles import Profile, ProfilesBlock
from imdsd.install.units import render_unit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from imdsd.install.comparing import Changes
    from imdsd.install.disk.files import Disk
    from imdsd.install.machine import Machine
    from imdsd.install.plan import Receipt

SERVICE = "imdsd.service"
_UNIT_TEXT = "user/imdsd.service"

_HEADER = b"# Written by `imdsd install`; `imdsd uninstall` takes it away.\n"
# What a login shell reads, the first that there is (bash(1), INVOCATION).
_BASH_LOGIN = (".bash_profile", ".bash_login", ".profile")
SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, slots=True)
class Home:
    """Where a user keeps things, by the variables that say so."""

    folder: Path
    uid: int
    name: str
    environ: Mapping[str, str]

    @property
    def receipt(self) -> Path:
        """Where the receipt of an installation is."""
        return self._base("XDG_STATE_HOME", ".local/state") / "imdsd/install.json"

    @property
    def configuration_folder(self) -> Path:
        """Where programs keep their configuration."""
        return self._base("XDG_CONFIG_HOME", ".config")

    @property
    def aws_config(self) -> Path:
        """Where SDKs look for profiles."""
        named = self.environ.get("AWS_CONFIG_FILE")
        if not named:
            return self.folder / ".aws/config"
        return self.folder / named[2:] if named.startswith("~/") else Path(named).absolute()

    def _base(self, variable: str, usual: str) -> Path:
        # A relative path is not to be heeded (XDG Base Directory Specification).
        named = self.environ.get(variable, "")
        return Path(named) if named.startswith("/") else self.folder / usual

    def shells(self, installed: Collection[str]) -> tuple[str, ...]:
        """Return the shells of this user: those with files of their own, and the login shell.

        Where there is none of these, every shell that is installed.
        """
        login = Path(self.environ.get("SHELL", "")).name
        used = [each for each in SHELLS if each == login or self._has_files_of(each)]
        return tuple(used or [each for each in SHELLS if each in installed])

    def _has_files_of(self, shell: str) -> bool:
        return any(path.exists() for path in self._traces()[shell])

    def _traces(self) -> dict[str, Sequence[Path]]:
        zsh = Path(self.environ.get("ZDOTDIR") or self.folder)
        return {
            "bash": [self.folder / name for name in (".bashrc", *_BASH_LOGIN)],
            "zsh": [*(zsh / name for name in (".zshenv", ".zshrc")), self.folder / ".zshenv"],
            "fish": [self.configuration_folder / "fish"],
        }

    @property
    def bash_login(self) -> Path:
        """The file that login shells read; ~/.profile where there is none, as it hides no other."""
        found = (self.folder / name for name in _BASH_LOGIN)
        return next((path for path in found if path.exists()), self.folder / ".profile")

    @property
    def zsh_environment(self) -> Path:
        """The file that every zsh reads.

        Where ~/.zshenv sets ZDOTDIR, the first zsh does not know that yet.
        """
        own = self.folder / ".zshenv"
        elsewhere = self.environ.get("ZDOTDIR")
        return own if own.exists() or not elsewhere else Path(elsewhere) / ".zshenv"


@dataclass(frozen=True, slots=True)
class UserRequest:
    """What was asked for; `configuration` is the text of a new file, None to leave what is."""

    interpreter: Path
    home: Home
    service: bool = True
    configuration: bytes | None = None
    shells: tuple[str, ...] = ()
    profiles: tuple[Profile, ...] = ()


def plan_user(request: UserRequest, *, receipt: Receipt, machine: Machine, disk: Disk) -> Plan:
    """Return what installs the daemon for a user, or what is left of it to do."""
    home = request.home
    managed = request.service and machine.has_systemd
    if managed:
        _refuse_unmanageable(home, machine)
    wanted = tuple(_wanted(request, managed=managed))
    if request.service and receipt.entry(home.aws_config) and not request.profiles:
        wanted = (*wanted, _profiles(request))  # the roles that had profiles are gone
    changes = to_install(wanted, receipt=receipt, disk=disk)
    receipt = changes.receipt
    if not managed:
        return Plan(changes.steps, receipt, tuple(_without_systemd(request)))
    starts = tuple(_starting(request, changes, machine))
    receipt = replace(receipt, units=(SERVICE,), unfinished=False)
    notes = (NEXT,) if starts else ()
    if not machine.lingers(home.name):
        receipt = replace(receipt, lingering=home.name)
        starts = (*starts, _linger(home.name))
    return Plan((*changes.steps, *starts), receipt, notes)


def _refuse_unmanageable(home: Home, machine: Machine) -> None:
    variables = machine.managers_variables()
    if variables is None:
        raise InstallError(
            f"the service manager of {home.name} does not answer, as there is no session of"
            f" {home.name}: log in as {home.name} (su and sudo do not), or have it run without:"
            f" sudo loginctl enable-linger {home.name}"
        )
    name = "XDG_CONFIG_HOME"
    if replace(home, environ=variables).configuration_folder != home.configuration_folder:
        raise InstallError(
            f"{name} is {home.environ.get(name, 'not set')} here, and"
            f" {variables.get(name, 'not set')} for your service manager, which would not find the"
            f" unit: run this as the other is, with env -u {name} or {name}=…"
        )


def _wanted(request: UserRequest, *, managed: bool) -> Iterator[Wanted]:
    home, interpreter = request.home, request.interpreter
    if managed:
        text = render_unit(_UNIT_TEXT, interpreter=interpreter).encode()
        path = _unit(home)
        yield Wanted(path, Whole(text), Part.SERVICE, "a unit of the user's service manager")
    if request.configuration is not None:
        path = home.configuration_folder / "imdsd/config.toml"
        whole = Whole(request.configuration)
        yield Wanted(path, whole, Part.CONFIGURATION, "the configuration")
    yield from _shells(request)
    if request.profiles:
        yield _profiles(request)


def _profiles(request: UserRequest) -> Wanted:
    path = request.home.aws_config
    edit = ProfilesBlock(request.profiles, request.interpreter)
    return Wanted(path, edit, Part.PROFILES, "a profile for each further role", 0o600)


def _unit(home: Home) -> Path:
    return home.configuration_folder / "systemd/user" / SERVICE


def _shells(request: UserRequest) -> Iterator[Wanted]:
    home, part = request.home, Part.SHELLS
    places = snippets.of_user(home.uid, home.name)
    block = Block(snippets.for_sh(request.interpreter, places=places))
    if "bash" in request.shells:
        yield Wanted(home.folder / ".bashrc", block, part, "lines that point bash here")
        yield Wanted(home.bash_login, block, part, "the same for login shells")
    if "zsh" in request.shells:
        yield Wanted(home.zsh_environment, block, part, "lines that point zsh here")
    if "fish" in request.shells:
        path = home.configuration_folder / "fish/conf.d/imdsd.fish"
        text = _HEADER + snippets.for_fish(request.interpreter, places=places)
        yield Wanted(path, Whole(text), part, "lines that point fish here")


def _starting(request: UserRequest, changes: Changes, machine: Machine) -> Iterator[Run]:
    changed = _unit(request.home) in changes.paths or changes.receipt.unfinished
    if changed:
        yield Run(machine.systemctl("daemon-reload"), "have the service manager read the unit")
    up, enabled = machine.is_up(SERVICE), machine.is_enabled(SERVICE)
    if not (up and enabled):
        words = machine.systemctl("enable", "--now", SERVICE)
        yield Run(words, "start the daemon, now and with the service manager")
    configuration = request.home.configuration_folder / "imdsd/config.toml"
    if up and (changed or configuration in changes.paths):
        yield Run(machine.systemctl("restart", SERVICE), "take the changes over")


def _linger(name: str) -> Run:
    return Run(
        ("loginctl", "enable-linger", name),
        "have the daemon start at boot and stay without a session",
        remedy="until then the daemon ends with the last session; have an administrator run:"
        f" loginctl enable-linger {name}",
    )


def _without_systemd(request: UserRequest) -> Iterator[str]:
    if request.service:
        yield (
            "systemd does not run here, so nothing starts the daemon: let the service manager that"
            " there is run `imdsd serve`; for Ona and dev containers see `imdsd install --ona`"
        )


def presume_user(interpreter: Path, home: Home, *, disk: Disk) -> Receipt:
    """Return what is installed, as far as it can be told without a receipt."""
    every = UserRequest(interpreter, home, configuration=b"", shells=SHELLS)
    profiles = Wanted(home.aws_config, Block(b""), Part.PROFILES, "")
    receipt = presume((*_wanted(every, managed=True), profiles), disk=disk)
    own = home.configuration_folder / "imdsd/config.toml"
    return replace(
        receipt,
        units=(SERVICE,) if receipt.entry(_unit(home)) else (),
        # Where the configuration was edited and kept, it is the last there is.
        folders=(str(own.parent),) if receipt.entry(own) else (),
    )


def plan_removal_of_user(
    *, receipt: Receipt, parts: Collection[str], purge: bool, machine: Machine, disk: Disk
) -> Plan:
    """Return what takes the installation away again."""
    changes = to_uninstall(receipt, parts=parts, purge=purge, disk=disk)
    if Part.SERVICE not in parts:
        left = changes.receipt if changes.receipt.entries else None
        return Plan(changes.steps, left, changes.notes, removal=True)
    before, after = _stopping(receipt, machine), _forgetting(receipt, machine)
    kept = replace(changes.receipt, units=(), lingering="") if changes.receipt.entries else None
    return Plan((*before, *changes.steps, *after), kept, changes.notes, removal=True)


def _stopping(receipt: Receipt, machine: Machine) -> Iterator[Run]:
    if not receipt.units or not machine.has_systemd:
        return
    if machine.is_up(SERVICE) or machine.is_enabled(SERVICE):
        words = machine.systemctl("disable", "--now", SERVICE)
        yield Run(words, "stop the daemon, now and for the next time")
    words = machine.systemctl("clean", "--what=runtime", SERVICE)
    yield Run(words, "remove its bearer", remedy="remove $XDG_RUNTIME_DIR/imdsd by hand")


def _forgetting(receipt: Receipt, machine: Machine) -> Iterator[Run]:
    if receipt.units and machine.has_systemd:
        yield Run(machine.systemctl("daemon-reload"), "have the service manager forget the unit")
    if receipt.lingering and machine.lingers(receipt.lingering):
        words = ("loginctl", "disable-linger", receipt.lingering)
        yield Run(words, "services without a session, as before", remedy="run it as root")
