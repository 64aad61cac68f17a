"""[[metadata.interface]] and [[metadata.event]]: what they give, and what is refused."""

import pytest

from imdsd.metadata.events import AutoscalingEvent, RebalanceEvent, SpotEvent
from tests.unit.test_config_metadata import MAC, MACS, leaves, read, refused

__all__ = ["leaves", "read", "refused"]

OTHER = "0a:1b:2c:3d:4e:60"
WHOLE = f"""
[[metadata.interface]]
mac = "{MAC.upper()}"
interface_id = "eni-01234567"
local_ipv4s = ["10.0.0.5", "10.0.0.6"]
ipv6s = ["2001:db8::5", "2001:db8::6"]
public_ipv4s = ["203.0.113.5", "203.0.113.6"]
local_hostname = "local"
public_hostname = "public"
owner_id = "123456789012"
security_groups = ["default", "web"]
security_group_ids = ["sg-01234567", "sg-89abcdef"]
subnet_id = "subnet-01234567"
subnet_ipv4_cidr_block = "10.0.0.0/24"
vpc_id = "vpc-01234567"
vpc_ipv4_cidr_block = "10.0.0.0/16"
vpc_ipv4_cidr_blocks = ["10.0.0.0/16", "10.1.0.0/16"]
"""


def test_an_interface_gives_its_leaves_and_those_of_the_instance(leaves):
    found = leaves(WHOLE)
    of_it = {path.removeprefix(f"{MACS}/{MAC}/"): found[path] for path in found if MACS in path}
    assert of_it == {
        "mac": MAC.encode(),
        "device-number": b"0",
        "interface-id": b"eni-01234567",
        "local-ipv4s": b"10.0.0.5\n10.0.0.6",
        "ipv6s": b"2001:db8::5\n2001:db8::6",
        "public-ipv4s": b"203.0.113.5\n203.0.113.6",
        "ipv4-associations/203.0.113.5": b"10.0.0.5",
        "ipv4-associations/203.0.113.6": b"10.0.0.6",
        "local-hostname": b"local",
        "public-hostname": b"public",
        "owner-id": b"123456789012",
        "security-groups": b"default\nweb",
        "security-group-ids": b"sg-01234567\nsg-89abcdef",
        "subnet-id": b"subnet-01234567",
        "subnet-ipv4-cidr-block": b"10.0.0.0/24",
        "vpc-id": b"vpc-01234567",
        "vpc-ipv4-cidr-block": b"10.0.0.0/16",
        "vpc-ipv4-cidr-blocks": b"10.0.0.0/16\n10.1.0.0/16",
    }
    assert {path: found[path] for path in found if MACS not in path} == {
        "meta-data/mac": MAC.encode(),
        "meta-data/local-hostname": b"local",
        "meta-data/public-hostname": b"public",
        "meta-data/local-ipv4": b"10.0.0.5",
        "meta-data/ipv6": b"2001:db8::5",
        "meta-data/public-ipv4": b"203.0.113.5",
        "meta-data/security-groups": b"default\nweb",
    }


def test_the_instances_own_keys_stand_above_its_interface(leaves):
    text = f'[metadata]\nlocal_ipv4 = "10.9.9.9"\nmac = "{MAC}"\nsecurity_groups = ["own"]\n'
    text += '[metadata.leaves]\n"meta-data/public-ipv4" = "203.0.113.99"\n'
    found = leaves(text + WHOLE)
    assert found["meta-data/local-ipv4"] == b"10.9.9.9"
    assert found["meta-data/public-ipv4"] == b"203.0.113.99"
    assert found["meta-data/security-groups"] == b"own"
    assert found[f"{MACS}/{MAC}/local-ipv4s"] == b"10.0.0.5\n10.0.0.6"


def test_interfaces_are_counted_and_the_one_with_the_number_0_is_the_instances(leaves):
    text = f'[[metadata.interface]]\nmac = "{MAC}"\n[[metadata.interface]]\nmac = "{OTHER}"\n'
    found = leaves(text)
    assert found["meta-data/mac"] == MAC.encode()
    assert found[f"{MACS}/{OTHER}/device-number"] == b"1"
    turned = text.replace(f'"{MAC}"', f'"{MAC}"\ndevice_number = 3') + "device_number = 0"
    found = leaves(turned)
    assert found["meta-data/mac"] == OTHER.encode()
    assert found[f"{MACS}/{MAC}/device-number"] == b"3"


def test_without_a_pair_for_each_address_nothing_is_associated(leaves):
    text = f'[[metadata.interface]]\nmac = "{MAC}"\npublic_ipv4s = ["203.0.113.5"]\n'
    assert not any("associations" in path for path in leaves(text))


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("owner_id = '123456789012'", "interface[0].mac", "the MAC that names the interface"),
        ("mac = 'x'", "interface[0].mac", "with colons"),
        (f"mac = '{MAC}'\nowner_id = 5", "interface[0].owner_id", "in quotes"),
        (f"mac = '{MAC}'\ndevice_number = -1", "interface[0].device_number", "0 to 255"),
        (f"mac = '{MAC}'\nlocal_ipv4s = '10.0.0.5'", "interface[0].local_ipv4s", "a list"),
        (f"mac = '{MAC}'\nlocal_ipv4s = ['x']", "interface[0].local_ipv4s[0]", "an IPv4 address"),
        (f"mac = '{MAC}'\nipv6s = ['10.0.0.5']", "interface[0].ipv6s[0]", "an IPv6 address"),
        (f"mac = '{MAC}'\nvpc_ipv4_cidr_block = '10.0.0.1/8'", "interface[0].vpc_ipv4_cidr_block", "did you mean 10.0.0.0/8?"),
        (f"mac = '{MAC}'\ndevice_number = 1", "interface", "0 interfaces with device_number 0"),
        (f"mac = '{MAC}'\n[[metadata.interface]]\nmac = '{OTHER}'\ndevice_number = 0", "interface", "2 interfaces"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_interface_is_told(refused, text, key, said):
    (problem,) = refused(f"[[metadata.interface]]\n{text}").values()
    assert problem.key == f"metadata.{key}"
    assert said in str(problem)


def test_a_mac_names_one_interface(refused):
    text = f'[[metadata.interface]]\nmac = "{MAC}"\n[[metadata.interface]]\nmac = "{MAC.upper()}"'
    assert refused(text)["metadata.interface[1]"].expected == "each leaf once"


def test_the_instances_mac_is_that_of_an_interface(refused):
    text = f'[metadata]\nmac = "{OTHER}"\n[[metadata.interface]]\nmac = "{MAC}"'
    (problem,) = refused(text).values()
    assert (problem.key, problem.expected) == ("metadata.mac", f"an interface's: {MAC}")


def test_one_bracket_is_refused_with_two(refused):
    for name in ("interface", "event"):
        (problem,) = refused(f"[metadata.{name}]\nx = 1").values()
        assert problem.hint == f"write [[metadata.{name}]] with two brackets"
        for wrong in ("5", "[5]", "['x']"):
            (problem,) = refused(f"[metadata]\n{name} = {wrong}").values()
            assert problem.expected.startswith("an array of")


# Events


def test_events_of_every_kind_are_read_in_order(read):
    found = read("""
[[metadata.event]]
kind = "spot"
action = "stop"
in_seconds = 60
after_seconds = 10
[[metadata.event]]
kind = "rebalance"
[[metadata.event]]
kind = "maintenance"
code = "system-reboot"
description = "text"
in_seconds = 5
until_seconds = 6
event_id = "instance-event-0123456789abcdef0"
state = "completed"
[[metadata.event]]
kind = "autoscaling"
state = "Warmed:Running"
""").metadata.events
    spot, rebalance, maintenance, autoscaling = found
    assert spot == SpotEvent(action="stop", in_seconds=60, after_seconds=10)
    assert rebalance == RebalanceEvent()
    assert autoscaling == AutoscalingEvent(state="Warmed:Running")
    assert (maintenance.code, maintenance.state, maintenance.until_seconds) == (
        "system-reboot", "completed", 6,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("", "kind", "nothing"),
        ("kind = 'sport'", "kind", "spot"),
        ("kind = 'spot'\naction = 'halt'", "action", "hibernate, stop, terminate"),
        ("kind = 'spot'\ncode = 'system-reboot'", "code", "maintenance"),
        ("kind = 'rebalance'\nin_seconds = 5", "in_seconds", "spot and maintenance"),
        ("kind = 'spot'\nafter = 5", "after", "after_seconds"),
        ("kind = 'maintenance'", "code", "instance-reboot"),
        ("kind = 'autoscaling'\nstate = 'terminated'", "state", "Terminated"),
        ("kind = 'spot'\nin_seconds = '5'", "in_seconds", "whole number of seconds"),
    ],
)
def test_what_is_wrong_with_an_event_is_told(refused, text, key, said):
    (problem,) = refused(f"[[metadata.event]]\nkind = 'spot'\n[[metadata.event]]\n{text}").values()
    assert problem.key == f"metadata.event[1].{key}"
    assert said in str(problem)


def test_there_are_at_most_100_events(read, refused):
    text = '[[metadata.event]]\nkind = "rebalance"\n'
    assert len(read(text * 100).metadata.events) == 100
    assert "at most 100" in refused(text * 101)["metadata.event"].expected
