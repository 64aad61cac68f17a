"""The units, on a machine that systemd has booted: what an administrator and users see of them."""

import json
import re

import pytest

from tests.support import need
from tests.system.installed import CONFIG, PYTHON, URL, installed
from tests.system.machine import eventually
from tests.system.stream import STREAM

SERVICE = "imdsd.service"
LINK_LOCAL = "imdsd-link-local.socket"
DROP_IN = "/run/systemd/system/{unit}.d/of-the-test.conf"
ADDRESSES = {"169.254.169.254", "169.254.170.2"}
SECONDS_TO_MINT = 1
SLOWLY = f"sleep {SECONDS_TO_MINT}; cat /run/of-the-test/token"

EC2 = {
    "sys_vendor": "Amazon EC2",
    "board_asset_tag": "i-0123456789abcdef0",
    "bios_version": "4.11.amazon",
}

LIST_EVERYTHING = """
find /etc /home/alice /home/bob -type f -exec sha256sum {} +
{
  find /etc /home/alice /home/bob
  find /opt /root /srv /usr/local /var/lib /var/log -maxdepth 2
  find /run -maxdepth 1 -name 'imdsd*'
} | xargs -d '\\n' stat -c '%n %A %U:%G'
"""
# What systemd and the tools for accounts write down for themselves.
KEPT_BY_OTHERS = re.compile(
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-|/etc/\.(pwd|updated)|/var/l(ib|og)/(systemd|journal|private|wtmp|dbus)"
)

LISTEN_ELSEWHERE = """
import socket, sys
with socket.create_server(("169.254.169.254", 81)):
    print("listening", flush=True)
    sys.stdin.read()
"""

MINT_BY_NODE = """
// Busy first, so that its compiler makes code at run time.
let sum = 0;
for (let i = 0; i < 3e6; i++) sum += Math.sqrt(i);
require("http").get(process.argv[2], (answer) =>
  answer.on("data", (text) => console.log(JSON.parse(text).value)));
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A machine on which `imdsd install` has made the daemon a service."""
    with installed(tmp_path_factory.mktemp("wheels")) as server:
        server.machine.write("/run/of-the-test/token", server.web_identity_token())
        server.configure(server.settings())
        server.before = everything(server.machine)
        slow = {"command": ["sh", "-c", SLOWLY]}
        server.configure(server.settings(server.role(token=slow)))
        install(server, "--add-user", "alice")
        yield server


@pytest.fixture
def machine(server):
    """The machine, its service running with the usual configuration; a test leaves it so."""
    return server.machine


@pytest.fixture
def changed(server):
    """The same for a test that changes its files or its units: they are put back."""
    machine = server.machine
    yield machine
    machine.run("sh", "-c", "rm -rf /run/systemd/system/imdsd*.d; systemctl daemon-reload")
    server.configure(server.settings())
    machine.systemctl("stop", "imdsd.socket", SERVICE)
    machine.systemctl("reset-failed")
    machine.systemctl("start", SERVICE)


def everything(machine):
    """Every path where an installation may leave something, with its mode, owner and content."""
    lines = machine.run("sh", "-c", LIST_EVERYTHING).splitlines()
    return {line for line in lines if not KEPT_BY_OTHERS.search(line)}


def install(server, *words):
    done = server.imdsd("install", "--system", *words)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{server.machine.told('imdsd*')}"


def drop_in(machine, unit, text):
    machine.write(DROP_IN.format(unit=unit), text)
    machine.systemctl("daemon-reload")


def addresses(machine):
    shown = json.loads(machine.run("ip", "-json", "address", "show", "dev", "lo"))
    return {each["local"] for each in shown[0]["addr_info"]} & ADDRESSES


async def served(server, name="dev"):
    """Wait until a role can be served."""

    def is_served():
        try:
            return server.role_state(name) == "ok"
        except (AssertionError, StopIteration):
            return False

    await eventually(is_served, what=lambda: server.machine.told(SERVICE))


async def test_the_machine_is_up_only_when_there_are_credentials(server):
    machine = server.machine
    assert machine.is_active(SERVICE) == "active"
    assert server.role_state() == "ok"
    took = machine.instant(SERVICE, "ActiveEnter") - machine.instant(SERVICE, "InactiveExit")
    assert took > SECONDS_TO_MINT
    server.configure(server.settings())
    machine.systemctl("reload", SERVICE)
    await served(server)
    assert machine.is_active("multi-user.target") == "active"
    assert machine.show(SERVICE, "UnitFileState") == "enabled"
    assert machine.show("imdsd.socket", "UnitFileState") == "enabled"


async def test_the_status_line_says_the_role_and_until_when(server, machine):
    role = server.status()["roles"][0]
    shown = machine.systemctl("status", SERVICE)
    line = re.search(r"Status: (.*)", shown).group(1)
    assert "dev" in line
    assert role["expires_at"][11:16] in line


async def test_the_machine_can_be_described(server, machine):
    machine.run("ip", "link", "add", "ethernet", "type", "veth", "peer", "name", "elsewhere")
    machine.run("ip", "address", "add", "10.8.0.5/24", "dev", "ethernet")
    for name in ("ethernet", "elsewhere"):
        machine.run("ip", "link", "set", name, "up")
    machine.run("ip", "route", "add", "default", "via", "10.8.0.1")
    got = server.imdsd("metadata", "get", "meta-data/local-ipv4", user="alice")
    machine.run("ip", "link", "delete", "ethernet")
    assert got.stdout.strip() == "10.8.0.5", got.stderr


async def test_the_daemon_has_no_privilege(machine):
    text = machine.run("cat", f"/proc/{machine.main_pid(SERVICE)}/status")
    told = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert {told[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")
    process = f"/proc/{machine.main_pid(SERVICE)}"
    limits = machine.run("cat", f"{process}/limits")
    assert re.search(r"Max core file size +0 +0 ", limits)
    assert re.search(r"Max open files +1024 ", limits)
    assert machine.run("stat", "-c", "%U", f"{process}/mem").strip() == "root"
    uid = machine.run("id", "-u", "imdsd").strip()
    assert set(told["Uid"].split()) == {uid}
    assert machine.run("stat", "-c", "%U:%G %a", "/run/imdsd").strip() == "imdsd:imdsd 750"
    assert machine.run("stat", "-c", "%U:%G %a", "/run/imdsd/bearer").strip() == "imdsd:imdsd 640"


async def test_a_request_after_a_kill_is_answered(server, machine):
    bearer = machine.run("cat", "/run/imdsd/bearer")
    machine.systemctl("kill", "--signal=KILL", "--kill-who=main", SERVICE)
    words = ("-sS", "--max-time", "30", "-o", "/dev/null", "-w", "%{http_code}")
    answer = machine.run("curl", *words, f"{URL}/healthz")
    assert answer == "200"
    # The first mint after a kill may have to wait; the shells' bearer is the same all the time.
    await served(server)
    assert machine.run("cat", "/run/imdsd/bearer") == bearer
    assert int(machine.show(SERVICE, "NRestarts")) == 1


async def test_a_frozen_daemon_is_started_anew(server, changed):
    drop_in(changed, SERVICE, "[Service]\nWatchdogSec=3\n")
    changed.systemctl("restart", SERVICE)
    frozen, fed = changed.main_pid(SERVICE), changed.instant(SERVICE, "Watchdog")
    await eventually(lambda: changed.instant(SERVICE, "Watchdog") > fed, what="it is fed")
    changed.run("kill", "-STOP", str(frozen))
    await eventually(
        lambda: changed.main_pid(SERVICE) not in (0, frozen), what="another main process"
    )
    assert "Watchdog timeout" in changed.told(SERVICE)
    await served(server)


async def test_a_reload_with_a_broken_file_fails_and_changes_nothing(server, changed):
    pid = changed.main_pid(SERVICE)
    before = server.status()
    changed.write(CONFIG, 'region = "nowhere"\nrole = 3\n')
    done = changed.try_run("systemctl", "reload", SERVICE)
    assert done.returncode != 0
    assert "nowhere" in changed.told(SERVICE)
    assert changed.is_active(SERVICE) == "active"
    assert changed.main_pid(SERVICE) == pid
    assert server.status()["roles"][0]["expires_at"] == before["roles"][0]["expires_at"]


async def test_a_reload_takes_a_good_file_over(server, changed):
    pid = changed.main_pid(SERVICE)
    server.configure(server.settings(server.role("dev", default=True), server.role("prod")))
    changed.systemctl("reload", SERVICE)
    await served(server, "prod")
    assert changed.main_pid(SERVICE) == pid


async def test_a_stop_takes_less_than_five_seconds_whatever_is_under_way(server, changed):
    hanging = server.role("hanging", token={"command": ["sleep", "1000"]})
    server.configure(server.settings(server.role("dev", default=True), hanging))
    changed.systemctl("restart", SERVICE)
    await eventually(lambda: "sleep 1000" in changed.run("ps", "-eo", "args"), what="a command")
    changed.systemctl("stop", SERVICE)
    took = changed.instant(SERVICE, "InactiveEnter") - changed.instant(SERVICE, "ActiveExit")
    assert 0 < took < 5
    assert changed.show(SERVICE, "Result") == "success"
    assert "sleep 1000" not in changed.run("ps", "-eo", "args")


async def test_restarts_refuse_no_connection(server, machine):
    with machine.running(PYTHON, "-c", STREAM, "9254") as stream:
        assert stream.stdout.readline() == "asking\n"
        for _ in range(2):
            machine.systemctl("restart", SERVICE)
        counts = json.loads(stream.communicate(timeout=60)[0])
    assert set(counts) == {"200"}
    assert counts["200"] > 20


async def test_the_first_connection_starts_a_stopped_service(server, machine):
    machine.try_run("systemctl", "stop", SERVICE)
    assert machine.is_active("imdsd.socket") == "active"
    assert machine.run("curl", "-sS", "--max-time", "30", f"{URL}/healthz")
    assert machine.is_active(SERVICE) in ("active", "activating")


async def test_a_wrong_configuration_is_not_tried_for_ever(server, changed):
    # As many tries as a minute allows take too long for a test.
    assert changed.show("imdsd.socket", "TriggerLimitIntervalUSec") == "1min"
    drop_in(changed, "imdsd.socket", "[Socket]\nTriggerLimitBurst=3\n")
    changed.systemctl("stop", "imdsd.socket", SERVICE)
    changed.write(CONFIG, "role = 3\n")
    assert changed.try_run("systemctl", "start", SERVICE).returncode != 0
    assert changed.show(SERVICE, "ExecMainStatus") == "78"
    asked = ("curl", "-sS", "--max-time", "20", f"{URL}/healthz")
    assert changed.try_run(*asked).returncode != 0
    await eventually(
        lambda: changed.show("imdsd.socket", "Result") == "trigger-limit-hit", what="a limit"
    )
    server.configure(server.settings())
    changed.systemctl("start", SERVICE)
    assert changed.is_active("imdsd.socket") == "active"
    await served(server)


async def test_the_group_is_served_and_nobody_else(server, machine):
    variables = server.env("alice")
    assert "assumed-role/dev/" in server.identity("alice", **variables)
    imds = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": URL}
    assert "assumed-role/dev/" in server.identity("alice", **imds)
    assert server.identity("bob", **imds) == "no credentials"
    assert server.imdsd("env", "--timeout=0", user="bob").returncode == 3
    assert machine.try_run("cat", "/run/imdsd/bearer", user="bob").returncode != 0
    status = server.imdsd("status", user="alice")
    assert status.returncode == 0, status.stderr


async def test_the_doctor_finds_nothing_amiss_in_the_shell_of_a_member(server, machine):
    done = server.imdsd("doctor", "--json", user="alice", **server.env("alice"))
    findings = json.loads(done.stdout)["findings"]
    assert (done.returncode, [each for each in findings if each["remedy"]]) == (0, [])
    (unit,) = [each["found"] for each in findings if each["facts"].get("unit") == SERVICE]
    assert re.match(r"imdsd.service is active \(running\): dev ok until \S+Z, next refresh", unit)
    assert {each["facts"].get("user") for each in findings} >= {"imdsd"}


async def test_the_doctor_names_the_group_to_who_is_not_in_it(server, machine):
    done = server.imdsd("doctor", "--json", user="bob")
    remedies = {each["code"]: each["remedy"] for each in json.loads(done.stdout)["findings"]}
    assert done.returncode == 1
    assert "usermod -aG imdsd bob" in remedies["daemon.forbidden"]


async def test_every_feature_works_within_the_sandbox(server, changed):
    # A token that a service leaves in a file, one by HTTP, and one by a program that compiles.
    changed.write("/run/of-the-test/mint.js", MINT_BY_NODE)
    token = server.web_identity_token()
    changed.write("/run/of-the-test/token", token, mode="640", owner="root:imdsd")
    command = [need("node"), "/run/of-the-test/mint.js", server.token_url]
    roles = {
        "by-http": server.role("by-http", default=True),
        "by-file": server.role("by-file", token={"file": "/run/of-the-test/token"}),
        "by-node": server.role("by-node", token={"command": command}),
    }
    server.configure(server.settings(*roles.values()))
    changed.systemctl("restart", SERVICE)
    for name in roles:
        await served(server, name)
    for name in roles:
        done = server.imdsd("refresh", name, user="alice")
        assert done.returncode == 0, done.stderr
    done = server.imdsd("event", "rebalance", user="alice")
    assert done.returncode == 0, done.stderr
    assert "imdsd_requests_total" in changed.run("curl", "-fsS", f"{URL}/metrics")


@pytest.fixture(scope="module")
def link_local(server):
    """The machine with its link-local addresses taken into service, beside what ran before."""
    install(server, "--link-local")
    return server.machine


async def test_an_sdk_that_is_told_nothing_is_served_at_the_link_local_address(server, link_local):
    assert addresses(link_local) == ADDRESSES
    assert "assumed-role/dev/" in server.identity("alice")
    assert server.identity("bob") == "no credentials"
    relative = {
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": link_local.run("cat", "/run/imdsd/bearer"),
    }
    assert "assumed-role/dev/" in server.identity("bob", **relative)


async def test_a_neighbour_with_a_route_is_refused(link_local):
    with (
        link_local.running("unshare", "--net", "sh", "-c", "echo $$; exec cat") as neighbour,
        link_local.running(PYTHON, "-c", LISTEN_ELSEWHERE) as other,
    ):
        assert other.stdout.readline() == "listening\n"
        pid = neighbour.stdout.readline().strip()
        inside = ("nsenter", f"--target={pid}", "--net")
        link_local.run(
            *("ip", "link", "add", "wire", "type", "veth"), "peer", "name", "eriw", "netns", pid
        )
        link_local.run("ip", "address", "add", "10.9.0.1/24", "dev", "wire")
        link_local.run("ip", "link", "set", "wire", "up")
        link_local.run(*inside, "ip", "address", "add", "10.9.0.2/24", "dev", "eriw")
        link_local.run(*inside, "ip", "link", "set", "eriw", "up")
        link_local.run(*inside, "ip", "route", "add", "169.254.169.254", "via", "10.9.0.1")
        connect = "import socket; socket.create_connection(('169.254.169.254', {}), 20)"
        # The way is open: another listener on this address is reached.
        link_local.run(*inside, PYTHON, "-c", connect.format(81))
        done = link_local.try_run(*inside, PYTHON, "-c", connect.format(80))
    assert "ConnectionRefusedError" in done.stderr


async def test_a_boot_with_every_unit_has_no_circle_in_its_order(link_local):
    # Sockets come early, and a service that one of them needs usually comes late.
    done = link_local.try_run("systemd-analyze", "verify", "--man=no", "multi-user.target")
    assert "cycle" not in done.stderr
    assert "imdsd" not in done.stderr


async def test_the_link_local_addresses_end_with_their_socket(server, link_local):
    link_local.systemctl("restart", SERVICE)
    assert addresses(link_local) == ADDRESSES
    link_local.systemctl("disable", "--now", LINK_LOCAL)
    await eventually(lambda: not addresses(link_local), what="the addresses are gone")


async def test_addresses_that_are_there_already_do_no_harm(link_local, changed):
    changed.systemctl("stop", LINK_LOCAL, "imdsd.socket", SERVICE)
    await eventually(lambda: not addresses(changed), what="the addresses are gone")
    changed.run("ip", "address", "add", "169.254.169.254/32", "dev", "lo")
    changed.systemctl("start", LINK_LOCAL, "imdsd.socket", SERVICE)
    assert addresses(changed) == ADDRESSES
    changed.systemctl("stop", LINK_LOCAL)
    await eventually(lambda: not addresses(changed), what="the addresses are gone")


async def test_on_ec2_nothing_is_hidden(link_local, changed):
    changed.systemctl("stop", LINK_LOCAL, "imdsd.socket", SERVICE)
    await eventually(lambda: not addresses(changed), what="the addresses are gone")
    changed.run("mount", "-t", "tmpfs", "tmpfs", "/sys/class")
    try:
        for field, value in EC2.items():
            changed.write(f"/sys/class/dmi/id/{field}", f"{value}\n")
            assert changed.try_run("systemctl", "start", LINK_LOCAL).returncode != 0
            assert changed.show("imdsd-address.service", "ConditionResult") == "no"
            assert addresses(changed) == set()
            changed.run("rm", f"/sys/class/dmi/id/{field}")
        # Loopback is no business of EC2's.
        changed.systemctl("start", SERVICE)
    finally:
        changed.run("umount", "/sys/class")


@pytest.fixture
def bob(server):
    """A user whom the machine's daemon is not for, with a login in his home."""
    machine, home = server.machine, "/home/bob"
    before = {line for line in everything(machine) if home in line}
    machine.run("mkdir", "-p", f"{home}/.config/imdsd", user="bob")
    machine.write(f"{home}/login", server.web_identity_token(), mode="600", owner="bob:bob")
    role = server.role("own", token={"command": ["cat", f"{home}/login"]})
    text = f'listen = ["127.0.0.1:9255"]\nregion = "eu-central-1"\n{role}\n'
    machine.write(f"{home}/.config/imdsd/config.toml", text, mode="600", owner="bob:bob")
    yield machine
    machine.run("rm", "-r", f"{home}/login", f"{home}/.config/imdsd")
    machine.run("rmdir", "--ignore-fail-on-non-empty", f"{home}/.config")
    assert {line for line in everything(machine) if home in line} == before


def has_own_daemon(server, user):
    variables = server.env(user)
    assert variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"].startswith("http://127.0.0.1:9255/")
    assert "assumed-role/dev/" in server.identity(user, **variables)
    assert server.imdsd("status", user=user).returncode == 0


async def test_a_user_has_a_daemon_of_the_machine_that_sees_the_home(server, bob):
    install(server, "--for-user", "bob")
    has_own_daemon(server, "bob")
    bob.systemctl("reload", "imdsd@bob.service")
    bob.systemctl("disable", "--now", "imdsd@bob.service")


async def test_a_user_has_a_daemon_under_a_service_manager_of_his_own(server, bob):
    uid = bob.run("id", "-u", "bob").strip()
    bob.run("loginctl", "enable-linger", "bob")
    manager = f"user@{uid}.service"
    await eventually(lambda: bob.is_active(manager) == "active", what="bob's manager")
    as_bob = {"user": "bob", "XDG_RUNTIME_DIR": f"/run/user/{uid}"}
    done = server.imdsd("install", "--user", **as_bob)
    assert done.returncode == 0, done.stderr
    has_own_daemon(server, "bob")
    bob.run("systemctl", "--user", "reload", SERVICE, **as_bob)
    done = server.imdsd("uninstall", "--user", **as_bob)
    assert done.returncode == 0, done.stderr
    assert server.imdsd("env", "--timeout=0", user="bob").returncode == 3
    bob.run("loginctl", "disable-linger", "bob")


async def test_nothing_is_left_after_the_last_test(server, machine):
    done = server.imdsd("uninstall", "--system")
    assert done.returncode == 0, done.stderr
    left = everything(machine)
    assert left - server.before == set()
    assert server.before - left == set()
    assert addresses(machine) == set()
    assert "imdsd serve" not in machine.run("ps", "-eo", "args")
    assert machine.systemctl("list-units", "--all", "--plain", "--no-legend", "imdsd*") == ""
