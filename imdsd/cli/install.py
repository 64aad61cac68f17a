"""`imdsd install`: the daemon as a service, and shells that know of it."""

from __future__ import annotations

import argparse
import shutil
import sys
from typing import TYPE_CHECKING

from imdsd.cli._config_file import file_text, given_flags
from imdsd.cli._installing import (
    ONA,
    SYSTEM,
    USER,
    Installer,
    add_common_options,
    fulfil,
    refuse_without_scope,
    reservations,
    with_reservations,
)
from imdsd.config import add_flags, load
from imdsd.errors import InstallError, UsageError
from imdsd.install.disk.interpreter import Interpreter, check_interpreter
from imdsd.install.machine import ACCOUNT
from imdsd.install.system import CONFIGURATION, SERVICE, SystemRequest, plan_system
from imdsd.install.texts.profiles import Profile
from imdsd.install.user import SHELLS, UserRequest, plan_user

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imdsd.config import Config
    from imdsd.install.carrying import Worker
    from imdsd.install.disk.files import Disk
    from imdsd.install.machine import Machine
    from imdsd.install.plan import Plan

_NO_SHELLS = "none"
# The group's members are served by both endpoints.
_SHARED: Mapping[str, object] = {"bearer_group": ACCOUNT, "allow_groups": [ACCOUNT]}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `install`, and those of the configuration that it may write."""
    add_common_options(parser)
    parser.add_argument(
        "--add-user",
        action="append",
        default=[],
        metavar="NAME",
        help="with --system: serve this user; may be given again",
    )
    parser.add_argument(
        "--link-local",
        action="store_true",
        help="with --system: serve on 169.254.169.254 and 169.254.170.2 too",
    )
    parser.add_argument(
        "--for-user",
        metavar="NAME",
        default="",
        help="with --system: a daemon of this user, for token commands that need a home",
    )
    parser.add_argument(
        "--shell",
        type=_shells,
        metavar="NAMES",
        help="the shells that shall know of the daemon: some of bash,zsh,fish, or none"
        " (default: those you use)",
    )
    parser.add_argument(
        "--profiles",
        action=argparse.BooleanOptionalAction,
        help="a profile in ~/.aws/config for each role but the default one (default: with --user)",
    )
    parser.add_argument(
        "--package",
        metavar="REQUIREMENT",
        help="with --ona: what pipx or uv installs in an environment (default: where this imdsd"
        " came from), or none",
    )
    parser.add_argument(
        "--devcontainer",
        metavar="FILE",
        help="with --ona: the devcontainer.json, where the repository has several",
    )
    add_flags(parser, exclude=("config",))


def _shells(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))
    if names == (_NO_SHELLS,):
        return ()
    if unknown := [each for each in names if each not in SHELLS]:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r}, expected some of {', '.join(SHELLS)}, or {_NO_SHELLS}"
        )
    return names


def run(arguments: argparse.Namespace) -> int:
    """Install, or show what would be done."""
    return perform(arguments, Installer.of_this_process())


def perform(arguments: argparse.Namespace, installer: Installer) -> int:
    """Do it by the hands of an installer."""
    refuse_without_scope(arguments, "install", ("shell", "profiles"))
    _refuse_misplaced(arguments)
    if arguments.scope == ONA:
        from imdsd.cli._ona import plan_repository

        repository_plan = plan_repository(arguments, installer.environ, folder=installer.folder)
        return fulfil(repository_plan, installer.worker_in_repository(), installer, arguments)
    whole_machine = arguments.scope == SYSTEM
    worker = installer.worker(system=whole_machine)
    plan = (_for_system if whole_machine else _for_user)(arguments, installer)
    return fulfil(plan, worker, installer, arguments)


def _refuse_misplaced(arguments: argparse.Namespace) -> None:
    whole_machine = arguments.scope == SYSTEM
    only_with_system = {
        "--add-user": arguments.add_user,
        "--link-local": arguments.link_local,
        "--for-user": arguments.for_user,
    }
    for flag, given in only_with_system.items():
        if given and not whole_machine:
            raise UsageError(f"{flag} goes with --system")
    for flag, given in {
        "--package": arguments.package,
        "--devcontainer": arguments.devcontainer,
    }.items():
        if given and arguments.scope != ONA:
            raise UsageError(f"{flag} goes with --ona")
    if arguments.scope == ONA and (arguments.shell is not None or arguments.profiles is not None):
        raise UsageError("--shell and --profiles are for a user: run it without --ona for them")
    if arguments.for_user and (arguments.add_user or arguments.link_local):
        raise UsageError("--for-user goes with neither --add-user nor --link-local")
    if whole_machine and (arguments.shell or arguments.profiles):
        raise UsageError("--shell and --profiles are for a user: run it without --system for them")
    if whole_machine and arguments.listen and not arguments.for_user:
        raise UsageError("--listen does not go with --system: imdsd.socket has the address")
    if arguments.scope is None and (given := given_flags(vars(arguments))):
        raise UsageError(f"{given[0]} goes with --user or --system, or --ona")


def _for_system(arguments: argparse.Namespace, installer: Installer) -> Plan:
    interpreter = Interpreter(installer.interpreter, installer.search_path)
    found = tuple(
        reservations(
            # First: `sudo` with an interpreter that is refused would be no remedy.
            lambda: check_interpreter(interpreter, private=installer.private),
            lambda: installer.require_root("install"),
            dry_run=arguments.dry_run,
        )
    )
    machine, worker = installer.machine(system=True), installer.worker(system=True)
    request = SystemRequest(
        interpreter=installer.interpreter,
        configuration=_configuration_of_system(arguments, installer, machine, worker),
        link_local=arguments.link_local,
        hides_ec2=arguments.link_local and _hides_ec2(installer, worker.disk),
        for_user=arguments.for_user,
        members=tuple(arguments.add_user),
        shells=arguments.shell != (),
    )
    plan = plan_system(
        request,
        receipt=worker.read_receipt(),
        machine=machine,
        disk=worker.disk,
    )
    return with_reservations(plan, found, worker)


def _configuration_of_system(
    arguments: argparse.Namespace, installer: Installer, machine: Machine, worker: Worker
) -> bytes | None:
    place, disk = installer.root / CONFIGURATION, worker.disk
    if not arguments.for_user:
        return _configuration(arguments, installer, place, more=_SHARED, disk=disk)
    own = machine.home_of(arguments.for_user) / ".config/imdsd/config.toml"
    if not given_flags(vars(arguments)) and (disk.hides(own) or own.exists()):
        return None
    if SERVICE in worker.read_receipt().units:
        raise InstallError(
            f"{place} is of the machine's daemon, with its port and its bearer_group; for"
            f" {arguments.for_user} write {own}, with a [[role]] and a port of its own, as"
            ' listen = ["127.0.0.1:9255"], and run this without what that says'
        )
    return _configuration(arguments, installer, place, more={}, disk=disk)


def _hides_ec2(installer: Installer, disk: Disk) -> bool:
    place = installer.root / CONFIGURATION
    # One that cannot be read may allow it; whoever carries the plan out will know.
    return disk.hides(place) or (place.exists() and _read(place, installer).hide_ec2_services)


def _for_user(arguments: argparse.Namespace, installer: Installer) -> Plan:
    installer.require_own_home()
    home, whole = installer.home, arguments.scope == USER
    place = home.configuration_folder / "imdsd/config.toml"
    shells = arguments.shell
    if shells is None:
        shells = home.shells(_installed(installer)) if whole else ()
    worker = installer.worker(system=False)
    configuration = (
        _configuration(arguments, installer, place, more={}, disk=worker.disk) if whole else None
    )
    request = UserRequest(
        interpreter=installer.interpreter,
        home=home,
        service=whole,
        configuration=configuration,
        shells=shells,
        profiles=_profiles(arguments, installer, place, configuration),
    )
    return plan_user(
        request,
        receipt=worker.read_receipt(),
        machine=installer.machine(system=False),
        disk=worker.disk,
    )


def _installed(installer: Installer) -> list[str]:
    return [each for each in SHELLS if shutil.which(each, path=installer.environ.get("PATH"))]


def _configuration(
    arguments: argparse.Namespace,
    installer: Installer,
    place: Path,
    *,
    more: Mapping[str, object],
    disk: Disk,
) -> bytes | None:
    """Return the text of a file that is to be written; None where one is there and no flag says so.

    What is written, and what is left as it is, is checked first; raises ConfigurationError.
    """
    flags = vars(arguments)
    hidden = disk.hides(place)
    if not given_flags(flags) and (hidden or place.exists()):
        if not hidden:
            _warn_of(_read(place, installer))
        return None
    checked = {**flags, "config": "/dev/null"}
    _warn_of(load(flags=checked, environ=installer.environ))
    text = file_text(flags, installer.environ, more=more)
    if not hidden and place.exists() and place.read_bytes() != text:
        sys.stderr.write(
            f"imdsd: warning: {place} is written anew of these flags: what else stands there goes;"
            " --dry-run shows it\n"
        )
    return text


def _read(place: Path, installer: Installer) -> Config:
    # A service has none of this shell's variables, but for those that a file of it may name.
    prefixes = ("AWS_", "IDP_", "IMDSD_")
    environ = {
        name: value for name, value in installer.environ.items() if not name.startswith(prefixes)
    }
    return load(flags={"config": str(place)}, environ=environ)


def _warn_of(config: Config) -> None:
    for warning in config.warnings:
        sys.stderr.write(f"imdsd: warning: {warning}\n")


def _profiles(
    arguments: argparse.Namespace, installer: Installer, place: Path, new: bytes | None
) -> tuple[Profile, ...]:
    """Return the roles that get a profile: those of the file, but for the default one."""
    wanted = arguments.scope == USER if arguments.profiles is None else arguments.profiles
    if not wanted or new is not None:  # a new file has the one role that flags speak of
        return ()
    config = (
        _read(place, installer) if place.exists() else load(flags={}, environ=installer.environ)
    )
    others = [role for role in config.roles if role.name != config.default_role]
    # [profile default] would be what SDKs take without being asked to.
    return tuple(Profile(role.name, role.region) for role in others if role.name != "default")
