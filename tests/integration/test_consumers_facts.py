"""ec2metadata, facter and ohai, from Debian: what they tell of an instance.

| consumer | asks | answered other than 200 |
|---|---|---|
| ec2metadata | PUT; 27 leaves of 2009-04-04, there or not; `public-keys` without a slash | 404 for each it lacks |
| facter | PUT; every listing and leaf of `latest` but the credentials; `user-data/` | user-data, where there is none |
| ohai | PUT; `/`; all of 2019-10-01 and the credentials; `user-data/`; `document/` | user-data, where there is none |
"""

import json
import re

from tests.integration.daemon import AS_ON_EC2, DESCRIBED
from tests.support import need

FACTS = ("ec2_metadata", "ec2_userdata", "cloud.provider")
UNDESCRIBED = {
    "ancestor-ami-ids", "group-name", "host-id", "kernel-id", "partition-number", "product-codes",
    "ramdisk-id",
}  # fmt: skip
MAC = DESCRIBED["mac"]


def ec2metadata(daemon, home, *words):
    return daemon.visit(need("ec2metadata"), *words, home=home, endpoint="ec2")


def facter(daemon, home):
    return daemon.visit(*AS_ON_EC2, need("facter"), "--json", *FACTS, home=home, endpoint="ec2")


def ohai(daemon, home):
    return daemon.visit(*AS_ON_EC2, need("ohai"), "ec2", home=home, endpoint="ec2")


def unavailable(stdout):
    return set(re.findall(r"(?m)^(\S+): unavailable$", stdout))


def test_ec2metadata_lists_what_was_configured(described, tmp_path):
    visit = ec2metadata(described, tmp_path)
    assert unavailable(visit.stdout) == UNDESCRIBED
    values = {
        "instance-id": DESCRIBED["instance_id"],
        "availability-zone": DESCRIBED["availability_zone"],
        "region": DESCRIBED["region"],
        "local-hostname": DESCRIBED["hostname"],
        "public-ipv4": DESCRIBED["public_ipv4"],
        "security-groups": "web\nssh",
        "block-device-mapping": "ami\nroot",
        "profile": "default-hvm",
        "public-keys": str(list(DESCRIBED["public_keys"].values())),
        "user-data": str(DESCRIBED["user_data"].encode()),
    }
    assert {f"{name}: {value}\n" for name, value in values.items()} <= lines_of(visit, values)
    assert visit.answers["imds 404"] == len(UNDESCRIBED)
    assert set(visit.answers) == {"imds 200", "imds 404"}


def lines_of(visit, values):
    """The entries that it printed for these names, the first line of which begins with them."""
    entries = re.split(r"(?m)^(?=[a-z0-9-]+: )", visit.stdout)
    return {entry for entry in entries if entry.partition(":")[0] in values}


def test_ec2metadata_prints_user_data_as_they_are(described, tmp_path):
    assert ec2metadata(described, tmp_path, "--user-data").stdout == DESCRIBED["user_data"]


def test_ec2metadata_calls_unavailable_what_nobody_knows(instance, tmp_path):
    visit = ec2metadata(instance, tmp_path)
    known = f"instance-id: {instance.leaf('meta-data/instance-id')}\n"
    assert known in visit.stdout
    assert f"region: {instance.variables['AWS_REGION']}\n" in visit.stdout
    assert unavailable(visit.stdout) > UNDESCRIBED


def test_facter_has_the_facts_that_were_configured(described, tmp_path):
    visit = facter(described, tmp_path)
    facts = visit.document
    assert facts["cloud.provider"] == "aws"
    assert facts["ec2_userdata"] == DESCRIBED["user_data"].strip()
    metadata = facts["ec2_metadata"]
    assert metadata["instance-id"] == DESCRIBED["instance_id"]
    assert metadata["placement"]["region"] == DESCRIBED["region"]
    assert metadata["tags"]["instance"] == DESCRIBED["tags"]
    keys = {name: each["openssh-key"] for name, each in metadata["public-keys"].items()}
    assert list(keys) == ["0", "1"]
    assert list(keys.values()) == list(DESCRIBED["public_keys"].values())
    interface = metadata["network"]["interfaces"]["macs"][MAC]
    assert interface["vpc-id"] == DESCRIBED["interface"][0]["vpc_id"]
    assert set(visit.answers) == {"imds 200"}


def test_facter_tells_no_credentials(described, tmp_path):
    visit = facter(described, tmp_path)
    info = json.loads(visit.document["ec2_metadata"]["iam"]["info"])
    assert info["InstanceProfileArn"].endswith(":instance-profile/imdsd-demo")
    served = described.credentials()
    for secret in ("AccessKeyId", "SecretAccessKey", "Token"):
        assert served[secret] not in visit.stdout


def test_facter_needs_nothing_configured(instance, tmp_path):
    visit = facter(instance, tmp_path)
    facts = visit.document
    assert facts["cloud.provider"] == "aws"
    assert "ec2_userdata" not in facts
    metadata = facts["ec2_metadata"]
    assert metadata["instance-id"] == instance.leaf("meta-data/instance-id")
    assert metadata["placement"]["region"] == instance.variables["AWS_REGION"]
    assert visit.answers["imds 404"] == 1


def test_ohai_has_the_attributes_that_were_configured(described, tmp_path):
    visit = ohai(described, tmp_path)
    found = visit.document
    for name in ("instance_id", "instance_type", "ami_id", "security_groups"):
        assert found[name] == DESCRIBED[name]
    assert found["region"] == DESCRIBED["region"]
    assert found["userdata"] == DESCRIBED["user_data"]
    assert found["tags_instance_Name"] == DESCRIBED["tags"]["Name"]
    assert found["public_keys_0_openssh_key"] == DESCRIBED["public_keys"]["first"]
    interface = found["network_interfaces_macs"][MAC]
    assert interface["local_ipv4s"] == "\n".join(DESCRIBED["interface"][0]["local_ipv4s"])
    assert set(visit.answers) == {"imds 200"}


def test_ohai_keeps_the_name_of_the_role_and_forgets_the_credentials(described, tmp_path):
    visit = ohai(described, tmp_path)
    assert visit.document["iam"]["role_name"] == "imdsd_demo"  # it writes no dash
    assert visit.document["account_id"] == "123456789012"
    served = described.credentials()
    for secret in ("AccessKeyId", "SecretAccessKey", "Token"):
        assert served[secret] not in visit.stdout


def test_ohai_needs_nothing_configured(instance, tmp_path):
    visit = ohai(instance, tmp_path)
    found = visit.document
    assert found["instance_id"] == instance.leaf("meta-data/instance-id")
    assert found["placement_region"] == found["region"] == instance.variables["AWS_REGION"]
    assert found["userdata"] is None
    assert visit.answers["imds 404"] == 1
