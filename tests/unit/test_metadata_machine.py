"""What the machine is: its names, and the interface that leads to the rest of the world."""

import json
import os
import sys

import pytest

from imdsd.metadata.interfaces import Interface
from imdsd.metadata.machine import MachineInterface, read_machine
from tests.support import measured_environ, room

HEADING = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
NOWHERE = "0" * 32
INTERFACES = (
    Interface("lo", None, ("127.0.0.1",)),
    Interface("docker0", "02:42:00:00:00:01", ("172.17.0.1",)),
    Interface("eth0", "02:00:00:00:00:0a", ("10.0.0.7", "10.0.0.8"), ("2001:db8::7",)),
    Interface("eth1", "02:00:00:00:00:0b", ("10.1.0.7",)),
    Interface("tun0", None, ("10.8.0.2",)),
)
ETH0 = MachineInterface("02:00:00:00:00:0a", ("10.0.0.7", "10.0.0.8"), ("2001:db8::7",))
ETH1 = MachineInterface("02:00:00:00:00:0b", ("10.1.0.7",), ())


def uname(*, nodename="box", machine="x86_64"):
    return lambda: os.uname_result(("Linux", nodename, "6.1", "#1", machine))


def ipv4(name, *, destination="00000000", mask="00000000", metric="0", flags="0003"):
    return f"{name}\t{destination}\t0100000A\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n"


def ipv6(name, *, length="00", metric="00000400", flags="00000003"):
    return f"{NOWHERE} {length} {NOWHERE} 00 {NOWHERE} {metric} 00000001 00000000 {flags} {name}\n"


@pytest.fixture
def interface(tmp_path):
    """Return the machine's interface by what stands in the kernel's two files."""

    def read(*, route=None, ipv6_route=None):
        directory = tmp_path / "proc/self/net"
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in (("route", route), ("ipv6_route", ipv6_route)):
            if text is not None:
                (directory / name).write_bytes(text.encode("latin-1"))
        return read_machine(tmp_path, uname=uname(), interfaces=lambda: INTERFACES).interface

    return read


def test_the_interface_is_that_of_the_default_route(interface):
    routes = ipv4("docker0", destination="000011AC", mask="0000FFFF") + ipv4("eth0")
    assert interface(route=HEADING + routes) == ETH0


def test_of_two_default_routes_the_one_with_the_lower_metric_counts(interface):
    routes = ipv4("eth0", metric="600") + ipv4("eth1", metric="100")
    assert interface(route=HEADING + routes) == ETH1


def test_of_equal_metrics_the_first_one_counts(interface):
    assert interface(route=HEADING + ipv4("eth1") + ipv4("eth0")) == ETH1


def test_a_half_of_all_addresses_is_no_default_route(interface):
    # As OpenVPN's redirect-gateway def1 sets them.
    half = ipv4("eth1", mask="00000080") + ipv4("eth1", destination="00000080", mask="00000080")
    assert interface(route=HEADING + half + ipv4("eth0", metric="600")) == ETH0


def test_a_route_that_is_down_or_refuses_leads_nowhere(interface):
    routes = ipv4("eth1", flags="0002") + ipv4("*", flags="0201") + ipv4("eth1", flags="0203")
    assert interface(route=HEADING + routes) is None


def test_a_tunnel_gives_way_to_the_next_default_route(interface):
    routes = ipv4("tun0", metric="50") + ipv4("eth0", metric="600")
    assert interface(route=HEADING + routes) == ETH0


def test_ipv4_is_asked_before_ipv6(interface):
    assert interface(route=HEADING + ipv4("eth1", metric="900"), ipv6_route=ipv6("eth0")) == ETH1


def test_without_ipv4_the_default_route_of_ipv6_counts(interface):
    routes = (
        ipv6("lo", metric="00000001", flags="00200200")
        + ipv6("docker0", length="40", metric="00000001")
        + ipv6("eth1", metric="0000a000")
        + ipv6("eth0", metric="00000400")
    )
    assert interface(route=HEADING, ipv6_route=routes) == ETH0


def test_without_a_default_route_there_is_no_interface(interface):
    assert interface(route=HEADING) is None
    assert interface() is None


@pytest.mark.parametrize("line", ["eth0", "eth0\t" * 7, ipv4("eth0", metric="x"), "\xff\xfe \n"])
def test_a_line_that_is_none_is_passed_over(interface, line):
    assert interface(route=HEADING + line + "\n" + ipv4("eth1")) == ETH1


def test_an_interface_that_is_gone_by_now_is_absent(interface):
    assert interface(route=HEADING + ipv4("wlan0")) is None


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [
        ("x86_64", "x86_64"),
        ("amd64", "x86_64"),
        ("AMD64", "x86_64"),
        ("aarch64", "arm64"),
        ("arm64", "arm64"),
        ("i686", "i386"),
        ("riscv64", "riscv64"),
    ],
)
def test_the_architecture_is_spelled_as_on_ec2(tmp_path, machine, architecture):
    assert read_machine(tmp_path, uname=uname(machine=machine)).architecture == architecture


@pytest.mark.parametrize(
    ("nodename", "hostname"),
    [("box.example.test", "box.example.test"), ("b\udcffx", ""), ("b\nx", ""), ("", "")],
)
def test_a_host_name_that_cannot_be_served_is_empty(tmp_path, nodename, hostname):
    assert read_machine(tmp_path, uname=uname(nodename=nodename)).hostname == hostname


READ = """
import json
from imdsd.metadata.machine import read_machine
found = read_machine().interface
print(json.dumps(found and [found.mac, found.local_ipv4s, found.ipv6s]))
"""


def seen_in(house, environ):
    return json.loads(house.run(sys.executable, "-c", READ, environ=environ).stdout)


def test_the_kernel_tells_the_addresses_of_a_real_interface(tmp_path):
    environ = measured_environ(tmp_path)
    with room() as house:

        def ip(*words):
            house.run("ip", *words, environ={})

        ip("link", "add", "wire", "address", "02:00:00:00:00:99", "type", "veth", "peer", "eriw")
        for address in ("10.7.0.2/24", "10.7.0.3/24", "192.168.7.2/32"):
            ip("address", "add", address, "dev", "wire")
        ip("address", "add", "2001:db8:7::2/64", "dev", "wire", "nodad")
        ip("address", "add", "10.8.0.2/24", "dev", "eriw")
        for name in ("wire", "eriw"):
            ip("link", "set", name, "up")
        assert seen_in(house, environ) is None
        ip("route", "add", "default", "via", "10.7.0.1")
        assert seen_in(house, environ) == [
            "02:00:00:00:00:99",
            ["10.7.0.2", "192.168.7.2", "10.7.0.3"],
            ["2001:db8:7::2"],
        ]
