"""`imdsd uninstall`: everything that `imdsd install` did, taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imdsd.cli._installing import (
    ONA,
    SYSTEM,
    Installer,
    add_common_options,
    fulfil,
    refuse_without_scope,
    reservations,
    say,
    with_reservations,
)
from imdsd.clock import SystemClock
from imdsd.errors import CredentialsFileError, UsageError
from imdsd.host.aws_credentials_file import remove_profile, usual_file, written_profiles
from imdsd.install.plan import Part, Receipt
from imdsd.install.system import plan_removal_of_system, presume_system
from imdsd.install.user import plan_removal_of_user, presume_user

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from imdsd.install.plan import Plan


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `uninstall`."""
    add_common_options(parser)
    parser.add_argument("--shell", action="store_true", help="only what was written for shells")
    parser.add_argument(
        "--profiles", action="store_true", help="only the profiles in ~/.aws/config"
    )
    parser.add_argument(
        "--credentials",
        action="store_true",
        help="only the profiles in ~/.aws/credentials that login or [role.files] wrote",
    )
    parser.add_argument(
        "--purge", action="store_true", help="the configuration too, though it was edited"
    )


def run(arguments: argparse.Namespace) -> int:
    """Take it back, or show what would be done."""
    return perform(arguments, Installer.of_this_process())


def perform(arguments: argparse.Namespace, installer: Installer) -> int:
    """Do it by the hands of an installer."""
    refuse_without_scope(arguments, "uninstall", ("shell", "profiles", "credentials"))
    if arguments.credentials:
        if arguments.scope in (ONA, SYSTEM):
            raise UsageError(f"--credentials is for a user: run it without --{arguments.scope}")
        _take_out_credentials(installer, dry_run=arguments.dry_run)
        if not (arguments.shell or arguments.profiles):
            return 0
    if arguments.scope == ONA:
        from imdsd.cli._ona import plan_removal_from_repository

        if arguments.shell or arguments.profiles or arguments.purge:
            raise UsageError("--shell, --profiles and --purge do not go with --ona")
        repository_plan = plan_removal_from_repository(folder=installer.folder)
        return fulfil(repository_plan, installer.worker_in_repository(), installer, arguments)
    whole_machine = arguments.scope == SYSTEM
    worker = installer.worker(system=whole_machine)
    plan = (_of_system if whole_machine else _of_user)(arguments, installer)
    return fulfil(plan, worker, installer, arguments)


def _parts(arguments: argparse.Namespace) -> frozenset[str]:
    chosen = {Part.SHELLS: arguments.shell, Part.PROFILES: arguments.profiles}
    some = frozenset(part for part, wanted in chosen.items() if wanted)
    return some or frozenset(Part)


def _of_system(arguments: argparse.Namespace, installer: Installer) -> Plan:
    found = (*reservations(lambda: installer.require_root("uninstall"), dry_run=arguments.dry_run),)
    worker, machine = installer.worker(system=True), installer.machine(system=True)
    receipt = worker.read_receipt()
    if receipt == Receipt():
        receipt = presume_system(installer.interpreter, machine=machine, disk=worker.disk)
    plan = plan_removal_of_system(
        receipt=receipt,
        parts=_parts(arguments),
        purge=arguments.purge,
        machine=machine,
        disk=worker.disk,
    )
    return with_reservations(plan, found, worker)


def _of_user(arguments: argparse.Namespace, installer: Installer) -> Plan:
    installer.require_own_home()
    worker = installer.worker(system=False)
    receipt = worker.read_receipt()
    if receipt == Receipt():
        receipt = presume_user(installer.interpreter, installer.home, disk=worker.disk)
    plan = plan_removal_of_user(
        receipt=receipt,
        parts=_parts(arguments),
        purge=arguments.purge,
        machine=installer.machine(system=False),
        disk=worker.disk,
    )
    some = arguments.shell or arguments.profiles
    return plan if some else replace(plan, notes=(*plan.notes, *_of_credentials(installer)))


def _of_credentials(installer: Installer) -> Iterator[str]:
    """Yield what to say of credentials that stay: they may be in use, and end by themselves."""
    path = usual_file(installer.environ, home=installer.home.folder)
    try:
        found = written_profiles(path, uid=installer.uid)
    except CredentialsFileError as error:
        yield f"whether profiles that imdsd wrote are left cannot be told: {error}"
        return
    if found:
        named = ", ".join(f"{name} until {expires}" for name, expires in found.items())
        yield (
            f"{path} keeps credentials that imdsd wrote, which may be in use: {named};"
            " `imdsd uninstall --credentials` takes them out"
        )


def _take_out_credentials(installer: Installer, *, dry_run: bool) -> None:
    """Take out what we wrote into the file, and nothing else; what is written is not shown."""
    installer.require_own_home()
    path = usual_file(installer.environ, home=installer.home.folder)
    found = written_profiles(path, uid=installer.uid)
    for profile, expires in found.items():
        if not dry_run:
            remove_profile(path, profile, uid=installer.uid, pause=SystemClock().pause)
        say(f"change {path}: without the profile {profile}, of use until {expires}")
    if not found:
        say("nothing to do")
