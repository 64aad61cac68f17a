"""Which source of a value wins, and what is served where no source knows."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from imdsd.metadata.documents import instance_id
from imdsd.metadata.machine import Machine, MachineInterface
from imdsd.metadata.settings import MetadataSettings
from imdsd.metadata.values import IDENTITY_DOCUMENT, RoleFacts, leaves_of

ARN = "arn:aws:iam::123456789012:role/team/dev"
BEFORE = RoleFacts(ARN, "eu-central-1")
FACTS = replace(
    BEFORE, issued_at=datetime(2026, 1, 1, tzinfo=UTC), environment="https://issuer.example env"
)
INTERFACE = MachineInterface("02:00:00:00:00:01", ("10.0.0.5", "10.0.0.6"), ("2001:db8::5",))
MACHINE = Machine("box", "arm64", INTERFACE)
BARE = Machine("", "x86_64", None)
PLACE = "meta-data/network/interfaces/macs/02:00:00:00:00:01"


def leaves(facts=FACTS, machine=MACHINE, labels=None, **configured):
    paths = {f"meta-data/{name.replace('__', '/').replace('_', '-')}": value.encode()
             for name, value in configured.items()}  # fmt: skip
    return leaves_of(facts, machine, MetadataSettings(paths))


def document(found, path=IDENTITY_DOCUMENT):
    return json.loads(found[path])


def test_a_machine_that_nobody_described_serves_what_is_known_and_nothing_else():
    assert sorted(leaves(machine=BARE)) == [
        "dynamic/instance-identity/document",
        "meta-data/iam/info",
        "meta-data/iam/security-credentials/dev",
        "meta-data/identity-credentials/ec2/info",
        "meta-data/instance-action",
        "meta-data/instance-id",
        "meta-data/placement/availability-zone",
        "meta-data/placement/region",
        "meta-data/services/domain",
        "meta-data/services/partition",
    ]


def test_the_machine_gives_its_name_its_addresses_and_its_interface():
    found = leaves()
    assert found["meta-data/hostname"] == found["meta-data/local-hostname"] == b"box"
    assert found["meta-data/local-ipv4"] == b"10.0.0.5"
    assert found["meta-data/ipv6"] == b"2001:db8::5"
    assert {path: value for path, value in found.items() if path.startswith(PLACE)} == {
        f"{PLACE}/device-number": b"0",
        f"{PLACE}/ipv6s": b"2001:db8::5",
        f"{PLACE}/local-hostname": b"box",
        f"{PLACE}/local-ipv4s": b"10.0.0.5\n10.0.0.6",
        f"{PLACE}/mac": b"02:00:00:00:00:01",
        f"{PLACE}/owner-id": b"123456789012",
    }


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("hostname", "hostname"),
        ("mac", "mac"),
        ("local-ipv4", "local_ipv4"),
        ("placement/region", "placement__region"),
        ("placement/availability-zone", "placement__availability_zone"),
        ("instance-id", "instance_id"),
        ("services/domain", "services__domain"),
        ("instance-action", "instance_action"),
    ],
)
def test_the_configuration_wins_over_machine_role_and_derivation(path, name):
    assert leaves(**{name: "configured"})[f"meta-data/{path}"] == b"configured"


def test_a_configured_address_is_also_the_interfaces():
    found = leaves(mac="02:00:00:00:00:09", local_ipv4="192.0.2.1", public_ipv4="198.51.100.1")
    place = "meta-data/network/interfaces/macs/02:00:00:00:00:09"
    assert found[f"{place}/local-ipv4s"] == b"192.0.2.1"
    assert found[f"{place}/public-ipv4s"] == b"198.51.100.1"
    assert not any(path.startswith(PLACE) for path in found)


def test_a_configuration_that_describes_an_interface_describes_them_all():
    other = "meta-data/network/interfaces/macs/02:00:00:00:00:07/device-number"
    found = leaves_of(FACTS, MACHINE, MetadataSettings({other: b"0"}))
    assert [path for path in found if path.startswith("meta-data/network/")] == [other]


def test_the_zone_follows_the_region_that_is_configured():
    found = leaves(placement__region="eu-west-3")
    assert found["meta-data/placement/availability-zone"] == b"eu-west-3a"


def test_what_only_credentials_tell_is_not_yet_there():
    found = leaves(BEFORE)
    unknown = {path for path, value in found.items() if value is None}
    assert unknown == {
        "dynamic/instance-identity/document",
        "meta-data/iam/info",
        "meta-data/iam/security-credentials/dev",
        "meta-data/identity-credentials/ec2/info",
        "meta-data/instance-id",
    }


def test_a_configured_instance_id_needs_no_credentials():
    found = leaves(BEFORE, instance_id="i-0123456789abcdef0")
    assert document(found)["instanceId"] == "i-0123456789abcdef0"


def test_the_identity_document_repeats_the_leaves_in_ec2s_order_and_null_for_the_unknown():
    found = leaves(ami_id="ami-1", instance_type="t3.small")
    assert found[IDENTITY_DOCUMENT].startswith(b'{\n  "accountId" : "123456789012",\n')
    assert document(found) == {
        "accountId": "123456789012",
        "architecture": "arm64",
        "availabilityZone": "eu-central-1a",
        "billingProducts": None,
        "devpayProductCodes": None,
        "marketplaceProductCodes": None,
        "imageId": "ami-1",
        "instanceId": instance_id("https://issuer.example env"),
        "instanceType": "t3.small",
        "kernelId": None,
        "pendingTime": None,
        "privateIp": "10.0.0.5",
        "ramdiskId": None,
        "region": "eu-central-1",
        "version": "2017-09-30",
    }
    assert list(document(found)) == sorted(document(found), key=_ORDER.index)


_ORDER = [
    "accountId", "architecture", "availabilityZone", "billingProducts", "devpayProductCodes",
    "marketplaceProductCodes", "imageId", "instanceId", "instanceType", "kernelId", "pendingTime",
    "privateIp", "ramdiskId", "region", "version",
]  # fmt: skip


def test_a_configured_identity_document_is_served_as_it_is():
    settings = MetadataSettings({IDENTITY_DOCUMENT: b"{}"})
    assert leaves_of(FACTS, MACHINE, settings)[IDENTITY_DOCUMENT] == b"{}"


def test_the_instance_profile_follows_from_the_role():
    info = document(leaves(), "meta-data/iam/info")
    assert info["Code"] == "Success"
    assert info["LastUpdated"] == "2026-01-01T00:00:00Z"
    assert info["InstanceProfileArn"] == "arn:aws:iam::123456789012:instance-profile/dev"
    assert info["InstanceProfileId"].startswith("AIPA")
    assert len(info["InstanceProfileId"]) == 21


def test_the_account_stands_where_ec2_has_it():
    info = document(leaves(), "meta-data/identity-credentials/ec2/info")
    assert info == {
        "Code": "Success",
        "LastUpdated": "2026-01-01T00:00:00Z",
        "AccountId": "123456789012",
    }


@pytest.mark.parametrize(
    ("partition", "domain"), [("aws-cn", b"amazonaws.com.cn"), ("aws-us-gov", b"amazonaws.com")]
)
def test_the_services_of_another_partition_have_its_domain(partition, domain):
    found = leaves(replace(FACTS, role_arn=f"arn:{partition}:iam::123456789012:role/dev"))
    assert found["meta-data/services/partition"] == partition.encode()
    assert found["meta-data/services/domain"] == domain


def test_a_partition_that_nobody_knows_has_no_domain():
    found = leaves(replace(FACTS, role_arn="arn:aws-new:iam::123456789012:role/dev"))
    assert "meta-data/services/domain" not in found


def test_an_environment_keeps_its_instance_id_and_shares_it_with_none():
    assert instance_id("a") == instance_id("a") != instance_id("b")
    assert len(instance_id("a")) == 19
    assert instance_id("a").startswith("i-")


def test_no_value_ends_in_a_newline():
    assert not any(value.endswith(b"\n") for value in leaves().values() if value)
