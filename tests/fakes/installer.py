"""A machine to install on: folders below a temporary root, and commands that are answered."""

from __future__ import annotations

import os
from pathlib import Path

from imdsd.cli._installing import Installer
from imdsd.install.carrying import Outcome
from imdsd.install.user import Home
from tests.fakes.verb import parse

ARN = "arn:aws:iam::123456789012:role/dev"


class FakeCommands:
    """Keeps what the commands of an installation change: units, accounts, lingering.

    Refuses a command that nobody has taught it, and `fails` for those that a test names.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.enabled: set[str] = set()
        self.up: set[str] = set()
        self.groups: dict[str, list[str]] = {}
        self.users = {"alice", "bob"}
        self.manager = True
        self.variables = "HOME=/home/alice\n"
        self.installed = True
        self.fails: dict[str, str] = {}
        self.done: list[str] = []

    def __call__(self, argv) -> Outcome:
        line = " ".join(argv)
        asks = {"getent", "is-enabled", "is-active", "show-environment", "--version"}
        if not asks & set(argv):
            self.done.append(line)
        for start, text in self.fails.items():
            if line.startswith(start):
                return Outcome(1, text)
        program, *words = argv
        return getattr(self, "_" + program.replace("-", "_"))(*words)

    def _systemctl(self, *words) -> Outcome:
        words = [word for word in words if word != "--user"]
        verb, *names = words
        units = {name for name in names if not name.startswith("-")}
        if verb == "--version":
            return Outcome(0 if self.installed else 127)
        if verb == "show-environment":
            return Outcome(0, self.variables) if self.manager else Outcome(1)
        if verb == "is-enabled":
            return Outcome(0, "enabled\n" if units <= self.enabled else "disabled\n")
        if verb == "is-active":
            return Outcome(0, "active\n" if units <= self.up else "inactive\n")
        if verb == "enable":
            self.enabled |= units
            self.up |= units if "--now" in names else set()
        elif verb == "disable":
            assert units <= self.enabled, units
            self.enabled -= units
            self.up -= units if "--now" in names else set()
        elif verb in ("start", "stop", "restart"):
            self._run(verb, units)
        elif verb == "clean":
            assert not units & self.up, "it cleans no unit that runs"
        else:
            assert verb == "daemon-reload", verb
        return Outcome(0)

    def _run(self, verb, units) -> None:
        self.up -= units if verb == "stop" else set()
        if verb == "start":
            assert not units & self.up, "no socket starts beside a service that runs"
        if verb == "restart":
            assert not any(name.endswith(".socket") for name in units), "these are two jobs to it"
        self.up |= units if verb != "stop" else set()

    def _getent(self, base, *words) -> Outcome:
        name = words[-1]
        if base == "group":
            members = self.groups.get(name)
            return Outcome(2) if members is None else Outcome(0, f"{name}:x:990:{','.join(members)}\n")  # fmt: skip
        if name not in self.users:
            return Outcome(2)
        return Outcome(0, f"{name}:x:1000:1000::/home/{name}:/bin/sh\n")

    def _systemd_sysusers(self, path) -> Outcome:
        assert Path(path).read_text().splitlines()[-1].startswith("u imdsd ")
        self.users.add("imdsd")
        self.groups.setdefault("imdsd", [])
        return Outcome(0)

    def _usermod(self, *words) -> Outcome:
        assert words[:3] == ("--append", "--groups", "imdsd")
        self.groups["imdsd"].append(words[3])
        return Outcome(0)

    def _userdel(self, name) -> Outcome:
        self.users.remove(name)
        return Outcome(0)

    def _groupdel(self, name) -> Outcome:
        return Outcome(0 if self.groups.pop(name, None) is not None else 6)

    def _gpasswd(self, _, name, group) -> Outcome:
        self.groups[group].remove(name)
        return Outcome(0)

    def _loginctl(self, verb, name) -> Outcome:
        place = self.root / "var/lib/systemd/linger" / name
        if verb == "enable-linger":
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        else:
            place.unlink()
        return Outcome(0)


class Site:
    """A root with a home in it, and an installer that works there."""

    def __init__(self, root: Path, *, systemd: bool = True, uid: int | None = None) -> None:
        self.root = root
        self.home = root / "home/alice"
        for each in ("etc/systemd/system", "home/alice", "run", "var/lib"):
            (root / each).mkdir(parents=True)
        if systemd:
            (root / "run/systemd/system").mkdir(parents=True)
        self.commands = FakeCommands(root)
        self.environ: dict[str, str] = {"HOME": str(self.home), "SHELL": "/bin/bash"}
        self.answers: list[bool] | None = None
        self.answer = self._ask
        self.uid = os.geteuid() if uid is None else uid
        self.interpreter = Path("/usr/bin/python3")
        self.private: tuple[Path, ...] = ()
        self.folder = self.home

    def installer(self) -> Installer:
        return Installer(
            environ=self.environ,
            uid=self.uid,
            home=Home(self.home, os.geteuid(), "alice", self.environ),
            run=self.commands,
            interpreter=self.interpreter,
            search_path=(),
            ask=None if self.answers is None else self.answer,
            root=self.root,
            private=self.private,
            folder=self.folder,
        )

    def _ask(self, question: str) -> bool:
        return self.answers.pop(0)

    def run(self, verb: str, *words: str) -> int:
        """Do what a verb does; an ImdsdError comes through."""
        module, arguments = parse(verb, *words)
        return module.perform(arguments, self.installer())

    def install(self, *words: str) -> int:
        return self.run("install", *words)

    def uninstall(self, *words: str) -> int:
        return self.run("uninstall", *words)

    def everything(self) -> dict[str, object]:
        """Every file, folder and link with its content and mode, to compare one state with another."""
        found: dict[str, object] = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            stat = path.lstat()
            if path.is_symlink():
                found[name] = path.readlink()
            else:
                content = path.read_bytes() if path.is_file() else None
                found[name] = (content, stat.st_mode, stat.st_uid, stat.st_gid)
        return found
