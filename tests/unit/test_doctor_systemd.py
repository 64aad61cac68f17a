"""A systemctl that says what a test wrote, in a root where systemd runs the machine."""

from __future__ import annotations

import sys

import pytest

from imdsd.doctor.finding import Surroundings
from imdsd.doctor.machine.systemd import judge_units
from tests.fakes.examined import codes, only
from tests.fakes.waiting_clock import FakeWaitingClock

SYSTEM = (
    "imdsd.service", "imdsd.socket", "imdsd-link-local.socket", "imdsd-address.service",
    "imdsd@dev.service",
)  # fmt: skip
RUNNING = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "UnitFileState": "enabled",
    "StatusText": "dev: ok until 12:00",
}
DEAD = {**RUNNING, "ActiveState": "inactive", "SubState": "dead", "StatusText": ""}
NOT_THERE = {"LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead"}


class Machine:
    """Where systemd runs; `says` sets what a unit is, of the system's manager or the user's."""

    def __init__(self, root):
        self.root = root
        (root / "run/systemd/system").mkdir(parents=True)
        (root / "bin").mkdir()
        self.units = {"system": {}, "user": {}}

    def says(self, manager="system", **units):
        for name, properties in units.items():
            self.units[manager][name.replace("_", ".")] = properties
        return self

    def judge(self, uid=1000, **environ):
        script = (
            f"#!{sys.executable}\n"
            "import sys\n"
            f"units = {self.units!r}\n"
            "words = sys.argv[1:]\n"
            "manager = 'user' if '--user' in words else 'system'\n"
            "assert '--property=' in ' '.join(words)\n"
            f"none = {NOT_THERE!r}\n"
            "blocks = []\n"
            "for name in (w for w in words if w.startswith('imdsd')):\n"
            "    found = {'Id': name, **units[manager].get(name, none)}\n"
            "    blocks.append(''.join(f'{k}={v}\\n' for k, v in found.items()))\n"
            "print('\\n'.join(blocks), end='')\n"
        )
        program = self.root / "bin/systemctl"
        program.write_text(script)
        program.chmod(0o755)
        told = {"PATH": str(self.root / "bin"), **environ}
        around = Surroundings(told, uid, self.root, FakeWaitingClock(), root=self.root)
        return list(judge_units(around, user="dev"))


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_a_machine_without_systemd_is_passed_over(tmp_path):
    around = Surroundings({}, 0, tmp_path, FakeWaitingClock(), root=tmp_path)
    (found,) = judge_units(around, user="root")
    assert (found.code, found.level) == ("systemd.skipped", "skipped")


def test_no_unit_of_ours_is_no_trouble(machine):
    assert codes(machine.judge()) == ["systemd.not-installed"]


def test_a_running_unit_is_told_with_its_status(machine):
    (found,) = machine.says(imdsd_service=RUNNING).judge()
    assert found.code == "systemd.active"
    assert found.found == "imdsd.service is active (running): dev: ok until 12:00"


def test_a_unit_that_failed_is_told_with_the_log_to_read(machine):
    failed = {**RUNNING, "ActiveState": "failed", "Result": "exit-code"}
    found = only(machine.says(imdsd_service=failed).judge(), "systemd.failed")
    assert "(exit-code)" in found.found
    assert "sudo journalctl --unit=imdsd.service" in found.remedy
    assert "sudo systemctl restart imdsd.service" in found.remedy


def test_a_unit_that_does_not_run_is_to_be_enabled(machine):
    found = only(machine.says(imdsd_service=DEAD).judge(), "systemd.inactive")
    assert "sudo systemctl enable --now imdsd.service" in found.remedy


def test_a_socket_stands_in_for_a_service_that_does_not_run(machine):
    socket = {**RUNNING, "SubState": "listening", "StatusText": ""}
    found = machine.says(imdsd_service=DEAD, imdsd_socket=socket).judge()
    assert codes(found) == ["systemd.active", "systemd.active"]


def test_a_socket_that_is_enabled_starts_the_service_after_a_boot(machine):
    disabled = {**RUNNING, "UnitFileState": "disabled"}
    found = machine.says(imdsd_service=disabled, imdsd_socket=RUNNING).judge()
    assert codes(found) == ["systemd.active"] * 2


def test_systemctl_is_given_no_more_of_the_environment_than_it_needs(machine):
    program = machine.root / "bin/systemctl"
    program.write_text(f"#!/bin/sh\nexport -p > {machine.root}/seen\n")
    program.chmod(0o755)
    told = {"PATH": str(machine.root / "bin"), "HOME": "/h", "AWS_SESSION_TOKEN": "hunter2"}
    list(
        judge_units(Surroundings(told, 0, machine.root, FakeWaitingClock(), machine.root), user="r")
    )
    seen = (machine.root / "seen").read_text()
    assert "/h" in seen
    assert "hunter2" not in seen


def test_a_unit_that_starts_is_a_warning(machine):
    starting = {**RUNNING, "ActiveState": "activating", "SubState": "start"}
    assert (
        "a minute" in only(machine.says(imdsd_service=starting).judge(), "systemd.starting").remedy
    )


def test_a_unit_that_is_not_enabled_will_be_gone_after_a_boot(machine):
    disabled = {**RUNNING, "UnitFileState": "disabled"}
    found = only(machine.says(imdsd_service=disabled).judge(), "systemd.disabled")
    assert found.remedy == "`sudo systemctl enable imdsd.service`"


def test_a_masked_unit_is_told(machine):
    masked = {**DEAD, "LoadState": "masked"}
    found = only(machine.says(imdsd_service=masked).judge(), "systemd.masked")
    assert "unmask imdsd.service" in found.remedy


def test_units_that_nobody_has_to_enable_are_told_only_when_they_fail(machine):
    failed = {**RUNNING, "ActiveState": "failed"}
    machine.units["system"] = {"imdsd-address.service": DEAD, "imdsd-link-local.socket": failed}
    assert codes(machine.judge()) == ["systemd.failed"]


def test_the_user_s_own_unit_needs_a_user_who_lingers(machine):
    machine.says("user", imdsd_service=RUNNING)
    found = machine.judge(XDG_RUNTIME_DIR="/run/user/1000")
    assert codes(found) == ["systemd.active", "systemd.linger"]
    assert "loginctl enable-linger" in found[1].remedy
    linger = machine.root / "var/lib/systemd/linger"
    linger.mkdir(parents=True)
    (linger / "dev").touch()
    assert codes(machine.judge(XDG_RUNTIME_DIR="/run/user/1000")) == ["systemd.active"]


def test_the_user_s_manager_is_asked_by_its_own_words(machine):
    machine.says("user", imdsd_service={**RUNNING, "ActiveState": "failed"})
    found = only(machine.judge(XDG_RUNTIME_DIR="/run/user/1000"), "systemd.failed")
    assert "`journalctl --user --unit=imdsd.service" in found.remedy
    assert codes(machine.judge(uid=0, XDG_RUNTIME_DIR="/x")) == ["systemd.not-installed"]


@pytest.mark.parametrize("there", [True, False])
def test_a_systemctl_that_cannot_be_asked_is_told(machine, there):
    if there:
        program = machine.root / "bin/systemctl"
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
    told = {"PATH": str(machine.root / "bin")}
    around = Surroundings(told, 0, machine.root, FakeWaitingClock(), root=machine.root)
    found = only(list(judge_units(around, user="root")), "systemd.silent")
    assert "systemctl status" in found.remedy
