"""cloud-init's EC2 datasource, from Debian: its crawl of the whole tree, as a boot does it.

| asks | answered other than 200 |
|---|---|
| PUT; instance-id of 2021-03-23; user-data; every listing and leaf but the credentials; `document` | user-data, where there is none |
"""

import json

import pytest

from tests.integration.daemon import AS_ON_EC2, CONSUMERS, DESCRIBED
from tests.support import need

ON_OTHER_HARDWARE = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /sys; exec "$@"', "sh")
MACS = [interface["mac"] for interface in DESCRIBED["interface"]]


@pytest.fixture
def crawl(tmp_path):
    """Have cloud-init crawl what a daemon serves."""
    need("cloud-init")
    # Debian's own Python, which has cloud-init; whatever is beside ours has not.
    words = (need("/usr/bin/python3"), "-B", CONSUMERS / "crawl.py", tmp_path, *MACS)
    return lambda daemon, hardware=AS_ON_EC2: daemon.visit(
        *hardware, *words, home=tmp_path, endpoint="ec2"
    )


@pytest.fixture
def instance_data(tmp_path):
    """What cloud-init wrote down for other programs, sensitive or not."""
    return lambda: json.loads((tmp_path / "instance-data-sensitive.json").read_text())


def test_a_described_instance_is_taken_for_one_of_ec2(described, crawl):
    visit = crawl(described)
    found = visit.document
    assert found["complaints"] == []
    assert (found["found"], found["cloud"]) == (True, "aws")
    assert set(visit.answers) == {"imds 200"}
    names = ("instance_id", "region", "availability_zone", "user_data")
    assert {name: found[name] for name in names} == {name: DESCRIBED[name] for name in names}
    assert found["public_keys"] == list(DESCRIBED["public_keys"].values())
    assert found["hostname"] == DESCRIBED["hostname"].partition(".")[0]


def test_the_crawl_holds_what_was_configured_and_nothing_torn(described, crawl):
    crawled = crawl(described).document["crawled"]
    assert crawled["ami-id"] == DESCRIBED["ami_id"]
    assert crawled["instance-type"] == DESCRIBED["instance_type"]
    assert crawled["security-groups"] == DESCRIBED["security_groups"]
    assert crawled["tags"] == {"instance": DESCRIBED["tags"]}
    assert crawled["block-device-mapping"] == {"ami": "/dev/xvda", "root": "/dev/xvda"}
    assert crawled["placement"]["availability-zone-id"] == DESCRIBED["availability_zone_id"]
    assert crawled["profile"] == "default-hvm"
    macs = crawled["network"]["interfaces"]["macs"]
    assert list(macs) == MACS
    first, configured = macs[MACS[0]], DESCRIBED["interface"][0]
    assert first["local-ipv4s"] == configured["local_ipv4s"]
    assert first["vpc-ipv4-cidr-blocks"] == configured["vpc_ipv4_cidr_blocks"]
    assert first["ipv4-associations"] == {"203.0.113.25": "10.0.3.25"}


def test_the_network_is_configured_as_the_metadata_has_it(described, crawl):
    first, second = crawl(described).document["network"]["ethernets"].values()
    assert first["match"] == {"macaddress": MACS[0]}
    assert first["addresses"] == ["10.0.3.26/24"]  # the second address; DHCP brings the first
    assert (first["dhcp6"], second["dhcp6"]) == (True, False)
    assert second["match"] == {"macaddress": MACS[1]}


def test_the_identity_document_is_read(described, crawl):
    identity = crawl(described).document["identity"]
    assert identity["instanceId"] == DESCRIBED["instance_id"]
    assert identity["imageId"] == DESCRIBED["ami_id"]
    assert identity["privateIp"] == DESCRIBED["local_ipv4"]
    assert identity["accountId"] == "123456789012"


def test_no_credentials_are_in_what_cloud_init_writes_down(described, crawl, instance_data):
    crawled = crawl(described).document["crawled"]
    assert crawled["iam"]["info"]["InstanceProfileArn"].endswith(":instance-profile/imdsd-demo")
    assert "security-credentials" not in crawled["iam"]
    written = instance_data()
    assert written["v1"]["instance_id"] == DESCRIBED["instance_id"]
    served = described.credentials()
    for secret in ("AccessKeyId", "SecretAccessKey", "Token"):
        assert served[secret] not in json.dumps(written)


def test_on_hardware_that_is_not_ec2s_it_knows_imdsv1_alone(described_v1, crawl):
    visit = crawl(described_v1, ON_OTHER_HARDWARE)
    found = visit.document
    assert (found["found"], found["cloud"]) == (True, "unknown")
    assert found["complaints"] == []
    assert found["instance_id"] == DESCRIBED["instance_id"]
    assert set(visit.answers) == {"imds 200"}


def test_it_needs_nothing_configured(instance, crawl):
    visit = crawl(instance)
    found = visit.document
    assert (found["found"], found["cloud"]) == (True, "aws")
    assert found["complaints"] == []
    assert found["instance_id"] == instance.leaf("meta-data/instance-id")
    assert found["region"] == instance.variables["AWS_REGION"]
    assert (found["public_keys"], found["user_data"]) == ([], "")
    assert visit.answers["imds 404"] == 1  # user data, which there is none of
    assert set(visit.answers) == {"imds 200", "imds 404"}
