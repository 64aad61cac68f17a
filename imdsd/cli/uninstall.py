"""`imdsd uninstall`: everything that `imdsd install` did, taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsd.cli._installing import (
    ONA,
    SYSTEM,
    Installer,
    add_common_options,
    fulfil,
    refuse_without_scope,
    reservations,
    with_reservations,
)
from imdsd.errors import UsageError
from imdsd.install.plan import Part, Receipt
from imdsd.install.system import plan_removal_of_system, presume_system
from imdsd.install.user import plan_removal_of_user, presume_user

if TYPE_CHECKING:
    import argparse

    from imdsd.install.plan import Plan


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `uninstall`."""
    add_common_options(parser)
    parser.add_argument("--shell", action="store_true", help="only what was written for shells")
    parser.add_argument(
        "--profiles", action="store_true", help="only the profiles in ~/.aws/config"
    )
    parser.add_argument(
        "--purge", action="store_true", help="the configuration too, though it was edited"
    )


def run(arguments: argparse.Namespace) -> int:
    """Take it back, or show what would be done."""
    return perform(arguments, Installer.of_this_process())


def perform(arguments: argparse.Namespace, installer: Installer) -> int:
    """Do it by the hands of an installer."""
    refuse_without_scope(arguments, "uninstall", ("shell", "profiles"))
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
    return plan_removal_of_user(
        receipt=receipt,
        parts=_parts(arguments),
        purge=arguments.purge,
        machine=installer.machine(system=False),
        disk=worker.disk,
    )
