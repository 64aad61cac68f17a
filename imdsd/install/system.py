"""The only module that knows what an installation for the whole machine consists of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imdsd.errors import InstallError
from imdsd.host.listening.ec2 import ec2_evidence
from imdsd.install.comparing import presume, to_install, to_uninstall
from imdsd.install.machine import ACCOUNT
from imdsd.install.plan import NEXT, Part, Plan, Receipt, RemoveFolder, Run, Wanted, Whole
from imdsd.install.texts import snippets
from imdsd.install.texts.blocks import Block
from imdsd.install.units import SYSUSERS, render_unit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from imdsd.install.comparing import Changes
    from imdsd.install.disk.files import Disk
    from imdsd.install.machine import Machine

SERVICE, SOCKET, TEMPLATE = "imdsd.service", "imdsd.socket", "imdsd@.service"
LINK_LOCAL, ADDRESSES = "imdsd-link-local.socket", "imdsd-address.service"

_UNITS = "etc/systemd/system"
_SYSUSERS = "etc/sysusers.d/imdsd.conf"
CONFIGURATION = "etc/imdsd/config.toml"
RECEIPT = "var/lib/imdsd/install.json"

# An empty condition takes back those of the unit (systemd.unit(5)).
_HIDE_EC2 = b"[Unit]\nConditionFirmware=\n"
_HEADER = b"# Written by `imdsd install --system`; `imdsd uninstall --system` takes it away.\n"


@dataclass(frozen=True, slots=True)
class SystemRequest:
    """What was asked for.

    `configuration` is the text of a new configuration file, None to leave what is there;
    `for_user` wants a daemon of that user instead of the machine's; `members` are users to be
    served by it; `hides_ec2` says that the configuration lets an instance's services be hidden.
    """

    interpreter: Path
    configuration: bytes | None = None
    link_local: bool = False
    hides_ec2: bool = False
    for_user: str = ""
    members: tuple[str, ...] = ()
    shells: bool = True

    @property
    def unit_files(self) -> tuple[str, ...]:
        """The units to write."""
        if self.for_user:
            return (TEMPLATE,)
        extra = (LINK_LOCAL, ADDRESSES) if self.link_local else ()
        return (SERVICE, SOCKET, *extra)

    @property
    def units(self) -> tuple[str, ...]:
        """The units to enable; the address comes and goes with its socket."""
        if self.for_user:
            return (f"imdsd@{self.for_user}.service",)
        # A connection to the first socket may start the service, which brings the second one
        # along; the other way round the first would come too late.
        return (*((LINK_LOCAL,) if self.link_local else ()), SOCKET, SERVICE)


def plan_system(request: SystemRequest, *, receipt: Receipt, machine: Machine, disk: Disk) -> Plan:
    """Return what installs the daemon for the machine, or what is left of it to do."""
    if not machine.knows_systemd:
        raise InstallError(
            "there is no systemd here, which would start the daemon; in a container install with"
            " `imdsd install --user` or let its own service manager run `imdsd serve`"
        )
    on_ec2 = request.link_local and ec2_evidence(machine.root)
    if on_ec2 and not request.hides_ec2:
        raise InstallError(
            f"--link-local would hide the metadata service of this EC2 instance ({on_ec2}), and"
            " with it the instance's own role; leave it out, or set hide_ec2_services = true in"
            f" /{CONFIGURATION} where nothing here needs them"
        )
    for name in filter(None, (request.for_user, *request.members)):
        machine.home_of(name)
    changes = to_install(_wanted(request, machine.root), receipt=receipt, disk=disk)
    accounts, receipt = _making_account(request, changes.receipt, machine)
    starts = _starting(request, changes, accounts, machine)
    receipt = replace(receipt, units=_with(receipt.units, *request.units), unfinished=False)
    steps = (*changes.steps, *accounts, *starts)
    notes = tuple(_notes(request, accounts, machine))
    return Plan(steps, receipt, (*notes, NEXT) if steps and machine.has_systemd else notes)


def _wanted(request: SystemRequest, root: Path) -> Iterator[Wanted]:
    interpreter = request.interpreter
    if not request.for_user:
        text = render_unit(SYSUSERS, interpreter=interpreter).encode()
        yield Wanted(root / _SYSUSERS, Whole(text), Part.SERVICE, "the daemon's own user")
    for name in request.unit_files:
        text = render_unit(name, interpreter=interpreter).encode()
        yield Wanted(root / _UNITS / name, Whole(text), Part.SERVICE, "a unit of systemd")
    if request.link_local and request.hides_ec2:
        path = root / _UNITS / f"{ADDRESSES}.d/hide-ec2-services.conf"
        yield Wanted(path, Whole(_HIDE_EC2), Part.SERVICE, "as hide_ec2_services says")
    if request.configuration is not None:
        yield Wanted(
            root / CONFIGURATION,
            Whole(request.configuration),
            Part.CONFIGURATION,
            "the configuration",
        )
    if request.shells:
        yield from _shells(interpreter, root)


def _shells(interpreter: Path, root: Path) -> Iterator[Wanted]:
    part = Part.SHELLS
    lines = snippets.for_sh(interpreter, places=snippets.OF_ANYBODY)
    path = root / "etc/profile.d/imdsd.sh"
    yield Wanted(path, Whole(_HEADER + lines), part, "lines for login shells: bash, dash, ksh")
    if (root / "etc/fish").is_dir():
        path = root / "etc/fish/conf.d/imdsd.fish"
        fish = snippets.for_fish(interpreter, places=snippets.OF_ANYBODY)
        yield Wanted(path, Whole(_HEADER + fish), part, "lines for fish")
    # zsh reads nothing in /etc/profile.d by itself. Where its own file is depends on who built it.
    for place in ("etc/zsh", "etc/zshenv"):
        found = root / place
        if found.exists():
            path = found / "zshenv" if found.is_dir() else found
            yield Wanted(path, Block(lines), part, "lines for zsh")
            return


def _making_account(
    request: SystemRequest, receipt: Receipt, machine: Machine
) -> tuple[list[Run], Receipt]:
    """Return what makes the user, and puts people into its group."""
    steps = []
    if not request.for_user and not machine.has_account():
        path = str(machine.root / _SYSUSERS)
        steps.append(Run(("systemd-sysusers", path), "make the user and the group imdsd"))
        made = receipt.group if machine.has_group() else ACCOUNT
        receipt = replace(receipt, account=ACCOUNT, group=made)
    known = machine.members()
    for name in request.members:
        if name not in known:
            reason = f"{name} is served by the daemon"
            steps.append(Run(("usermod", "--append", "--groups", ACCOUNT, name), reason))
            receipt = replace(receipt, members=_with(receipt.members, name))
    return steps, receipt


def _starting(
    request: SystemRequest, changes: Changes, steps: Sequence[Run], machine: Machine
) -> Iterator[Run]:
    """Yield what enables and starts the units, or has running ones take the changes over."""
    units = request.units
    interrupted = changes.receipt.unfinished
    written = any(path.is_relative_to(machine.root / _UNITS) for path in changes.paths)
    changed = written or interrupted
    if changed and machine.has_systemd:
        yield Run(machine.systemctl("daemon-reload"), "have systemd read the units")
    up = [unit for unit in units if machine.is_up(unit)]
    enabled = all(machine.is_enabled(unit) for unit in units)
    if machine.has_systemd and not up:
        words = machine.systemctl("enable", "--now", *units)
        yield Run(words, "start the daemon, now and at boot")
        return
    if not enabled:
        yield Run(machine.systemctl("enable", *units), "start the daemon at boot")
    if not machine.has_systemd:
        return
    services = [unit for unit in units if unit.endswith(".service")]
    others = {path.name for path in changes.paths} & {SOCKET, LINK_LOCAL, ADDRESSES}
    if others or interrupted or len(up) < len(units):
        # No socket starts beside a service that runs, and a restart of both is two jobs to systemd.
        yield Run(machine.systemctl("stop", *units), "make room for the sockets")
        yield Run(machine.systemctl("start", *units), "take the new units over")
    elif changed or machine.root / CONFIGURATION in changes.paths or steps:
        yield Run(machine.systemctl("restart", *services), "take the changes over")


def _with(names: tuple[str, ...], *more: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*names, *more)))


def _notes(request: SystemRequest, accounts: Sequence[Run], machine: Machine) -> Iterator[str]:
    if not machine.has_systemd:
        yield (
            "systemd does not run here, so nothing was started: the units start when this system"
            " boots with it. To be served at once, run `imdsd serve`"
        )
    if not request.for_user and not request.members:
        yield (
            f"members of the group {ACCOUNT} are served: `imdsd install --system --add-user NAME`"
            " puts a user into it"
        )
    new = [step.argv[-1] for step in accounts if step.argv[-1] in request.members]
    if new:
        yield f"to be in the group {ACCOUNT}, {' and '.join(new)} must log in again"


def presume_system(interpreter: Path, *, machine: Machine, disk: Disk) -> Receipt:
    """Return what is installed, as far as it can be told without a receipt."""
    every = SystemRequest(interpreter, configuration=b"", link_local=True, hides_ec2=True)
    template = SystemRequest(interpreter, for_user="presumed", shells=False)
    wanted = (*_wanted(every, machine.root), *_wanted(template, machine.root))
    receipt = presume(wanted, disk=disk)
    known = [unit for unit in every.units if receipt.entry(machine.root / _UNITS / unit)]
    own = machine.root / CONFIGURATION
    # Where it was edited and kept, it is the last there is.
    folders = (str(own.parent),) if receipt.entry(own) else ()
    return replace(receipt, units=tuple(known), folders=folders)


def plan_removal_of_system(
    *, receipt: Receipt, parts: Collection[str], purge: bool, machine: Machine, disk: Disk
) -> Plan:
    """Return what takes the installation away again."""
    changes = to_uninstall(receipt, parts=parts, purge=purge, disk=disk)
    if Part.SERVICE not in parts:
        return Plan(changes.steps, changes.receipt, changes.notes, removal=True)
    steps = (*_stopping(receipt, machine), *changes.steps, *_cleaning(receipt, machine))
    left = changes.receipt
    kept = replace(left, units=(), account="", group="", members=()) if left.entries else None
    return Plan(steps, kept, changes.notes, removal=True)


def _stopping(receipt: Receipt, machine: Machine) -> Iterator[Run]:
    units = [unit for unit in receipt.units if machine.is_enabled(unit) or machine.is_up(unit)]
    now = ("--now",) if machine.has_systemd else ()
    if units:
        words = machine.systemctl("disable", *now, *units)
        yield Run(words, "stop the daemon, now and at boot")
    if machine.has_systemd:
        for unit in receipt.units:
            if unit.endswith(".service"):
                words = machine.systemctl("clean", "--what=runtime", unit)
                yield Run(words, "remove its bearer", remedy="remove it by hand from /run")


def _cleaning(receipt: Receipt, machine: Machine) -> Iterator[Run | RemoveFolder]:
    if machine.has_systemd and receipt.units:
        yield Run(machine.systemctl("daemon-reload"), "have systemd forget the units")
    if (folder := machine.root / "run/imdsd-user").is_dir():
        yield RemoveFolder(folder, "of daemons of users")
    if receipt.account and machine.has_account():
        yield Run(("userdel", receipt.account), "remove the user that was made for it")
    if receipt.group:
        if machine.has_group():
            # 6: there is no such group; userdel removes it where nobody else is in it.
            yield Run(("groupdel", receipt.group), "remove its group", accepted=(6,))
        return
    members = machine.members()
    for name in receipt.members:
        if name in members:
            yield Run(("gpasswd", "--delete", name, ACCOUNT), f"take {name} out of the group")
