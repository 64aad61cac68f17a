"""What `install` and `uninstall` have in common: for whom, by which hands, shown or done."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from imdsd.cli._asking import home_of_this_process
from imdsd.errors import InstallError, UsageError
from imdsd.install.carrying import Outcome, Worker
from imdsd.install.disk.files import Disk
from imdsd.install.disk.glimpse import Glimpse
from imdsd.install.machine import Machine
from imdsd.install.showing import shown
from imdsd.install.system import RECEIPT
from imdsd.install.user import Home

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from imdsd.install.carrying import Runner
    from imdsd.install.plan import Plan

# A unit is started when its first credentials are there: the daemon's own patience is shorter.
_COMMAND_SECONDS = 300
_ROOTS_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

SYSTEM, USER, ONA = "system", "user", "ona"
SCOPES = {
    SYSTEM: "for the whole machine, under a user of its own",
    USER: "for this user",
    ONA: "for the Ona environments made of the repository that you are in",
}


def environ_of_commands(environ: Mapping[str, str], *, uid: int) -> dict[str, str]:
    """Return the variables of commands; root's are those of the system, whatever a PATH says.

    That of `su` is the one of the user before, and may lack /usr/sbin.
    """
    return {**environ, "PATH": _ROOTS_PATH} if uid == 0 else dict(environ)


def run_command(argv: Sequence[str], *, environ: Mapping[str, str]) -> Outcome:
    """Run a command to its end, without input."""
    try:
        done = subprocess.run(
            argv,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return Outcome(127, f"there is no program {argv[0]}")
    except subprocess.TimeoutExpired:
        return Outcome(124, f"it did not end within {_COMMAND_SECONDS} s")
    except OSError as error:
        return Outcome(126, str(error.strerror))
    return Outcome(done.returncode, done.stdout.decode(errors="replace"))


def ask(question: str) -> bool:
    """Ask a person at the terminal; anything but yes is no."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


@dataclass(frozen=True, slots=True)
class Installer:
    """Who installs: this process, or one that a test describes. `ask` is None off a terminal."""

    environ: Mapping[str, str]
    uid: int
    home: Home
    run: Runner
    interpreter: Path
    search_path: tuple[Path, ...]
    ask: Callable[[str], bool] | None = None
    root: Path = Path("/")
    private: tuple[Path, ...] = field(default=())
    folder: Path = Path()

    @classmethod
    def of_this_process(cls) -> Self:
        """Return the real one."""
        from imdsd.install.disk.interpreter import private_places

        environ, uid = dict(os.environ), os.geteuid()
        session = f"/run/user/{uid}"
        if "XDG_RUNTIME_DIR" not in environ and Path(session).is_dir():
            # Where su and sudo take it away, systemctl --user would not find its manager.
            environ["XDG_RUNTIME_DIR"] = session
        return cls(
            environ=environ,
            uid=uid,
            home=Home(home_of_this_process(), uid, _name_of(uid), environ),
            run=lambda argv: run_command(argv, environ=environ_of_commands(environ, uid=uid)),
            interpreter=Path(sys.executable),
            search_path=tuple(map(Path, _search_path())),
            ask=ask if sys.stdin.isatty() and sys.stderr.isatty() else None,
            private=private_places(environ),
        )

    def machine(self, *, system: bool) -> Machine:
        """Return the machine, asked as the system or as this user."""
        return Machine(self.run, self.root, () if system else ("--user",))

    def worker(self, *, system: bool) -> Worker:
        """Return who carries out a plan for the system or for this user."""
        if system:
            # Who is not root gets as far as a plan, of what root would find.
            disk = Disk(0, guarded=True) if self.uid == 0 else Glimpse(0, guarded=True)
            return Worker(disk, self.run, self.root / RECEIPT, say)
        return Worker(Disk(self.uid), self.run, self.home.receipt, say, folder_mode=0o700)

    def worker_in_repository(self) -> Worker:
        """Return who carries out a plan for a repository, whose folders are everybody's."""
        return replace(self.worker(system=False), folder_mode=0o755)

    def require_root(self, verb: str) -> None:
        """Raise InstallError for anybody else."""
        if self.uid != 0:
            raise InstallError(
                f"`imdsd {verb} --system` changes the system, which takes root:"
                f" sudo {self.interpreter} -P -m imdsd {verb} --system …"
            )

    def require_own_home(self) -> None:
        """Raise InstallError for root in the home of somebody else, as sudo may leave it."""
        try:
            owner = self.home.folder.stat().st_uid
        except OSError as error:
            raise InstallError(f"{self.home.folder}, the home: {error.strerror}") from error
        if owner != self.uid:
            raise InstallError(
                f"{self.home.folder} belongs to uid {owner}, but this runs as uid {self.uid}:"
                " run it as that user, without sudo; for the whole machine there is --system"
            )


def reservations(*checks: Callable[[], None], dry_run: bool) -> Iterator[str]:
    """Raise what a check raises; where a plan is only shown, yield the first beside it instead."""
    try:
        for check in checks:
            check()
    except InstallError as error:
        if not dry_run:
            raise
        yield f"without --dry-run this is refused: {error}"


def with_reservations(plan: Plan, found: Sequence[str], worker: Worker) -> Plan:
    """Have them told beside the plan, and what it could not take into account."""
    unseen = sorted(map(str, worker.disk.unseen)) if isinstance(worker.disk, Glimpse) else ()
    if unseen:
        note = (
            f"only root may read {', '.join(unseen)}: the plan cannot take into account what stands"
            " there, and may be another one with sudo"
        )
        found = (*found, note)
    return replace(plan, notes=(*plan.notes, *found))


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add what both verbs have."""
    scope = parser.add_mutually_exclusive_group()
    for name, meaning in SCOPES.items():
        scope.add_argument(
            f"--{name}", action="store_const", const=name, dest="scope", help=meaning
        )
    parser.add_argument(
        "--dry-run", action="store_true", help="show every file and command, and touch nothing"
    )
    parser.add_argument(
        "--yes", action="store_true", help="replace or remove changed files without asking"
    )


def fulfil(plan: Plan, worker: Worker, installer: Installer, arguments: argparse.Namespace) -> int:
    """Show a plan, or ask what there is to ask and carry it out."""
    if not plan.steps:
        say("nothing to do")
    if arguments.dry_run:
        for line in shown(plan):
            say(line)
    else:
        _settle(plan.questions, installer, yes=arguments.yes)
        worker.carry_out(plan)
    for note in plan.notes:
        sys.stderr.write(f"imdsd: {note}\n")
    return 0


def _settle(questions: Sequence[str], installer: Installer, *, yes: bool) -> None:
    """Return when a person agrees to everything; raise before anything is done otherwise."""
    if yes or not questions:
        return
    if installer.ask is None:
        listed = "\n".join(questions)
        raise InstallError(
            f"{listed}\nSee --dry-run; --yes goes on all the same. Nothing was done."
        )
    for question in questions:
        if not installer.ask(f"{question}. Go on all the same?"):
            raise InstallError("Nothing was done.")


def refuse_without_scope(arguments: argparse.Namespace, verb: str, parts: Sequence[str]) -> None:
    """Raise UsageError where nothing says what is to be done."""
    if not (arguments.scope or any(getattr(arguments, each) for each in parts)):
        raise UsageError(f"say for whom: --user or --system, or --ona\nTry: imdsd {verb} --help")


def _search_path() -> list[str]:
    # With -P, as the service starts it, the first is not there: the folder of whoever installs.
    return [each for each in sys.path[0 if sys.flags.safe_path else 1 :] if each]


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def say(line: str) -> None:
    """Tell a step that is done, or would be."""
    # A path may be no text; stderr writes such bytes so by itself.
    sys.stdout.write(line.encode(errors="backslashreplace").decode() + "\n")
    sys.stdout.flush()
