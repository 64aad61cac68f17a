"""Libraries that read metadata as such: ec2-metadata, the JavaScript SDK's client, AWS CLI v2.

| consumer | asks | answered other than 200 |
|---|---|---|
| ec2-metadata | PUT; a leaf of `latest` for each property | 404 for an optional property |
| @aws-sdk/ec2-metadata-service | PUT and GET for each path | what the path has |
| aws of Debian | PUT, the zone; PUT, name, document | nothing |
"""

import json
import sys

import pytest

from tests.integration.daemon import ASSUMED_ROLE, DESCRIBED
from tests.support import need, scrubbed_environ

EC2_METADATA = """
import json
from ec2_metadata import ec2_metadata as found

names = (
    "account_id ami_id ami_launch_index ami_manifest_path availability_zone availability_zone_id"
    " domain instance_action instance_id instance_life_cycle instance_profile_name instance_type"
    " mac partition private_hostname private_ipv4 public_hostname public_ipv4 region"
    " reservation_id security_groups autoscaling_target_lifecycle_state kernel_id"
    " spot_instance_action"
)
print(json.dumps({
    **{name: getattr(found, name) for name in names.split()},
    "user_data": found.user_data.decode(),
    "tags": dict(found.tags),
    "public_keys": {name: key.openssh_key for name, key in found.public_keys.items()},
    "interfaces": {
        mac: {
            "device_number": each.device_number,
            "interface_id": each.interface_id,
            "local_ipv4s": each.private_ipv4s,
            "ipv6s": each.ipv6s,
            "public_ipv4s": each.public_ipv4s,
        }
        for mac, each in found.network_interfaces.items()
    },
    "vpc_ipv4_cidr_blocks": found.network_interfaces[found.mac].vpc_ipv4_cidr_blocks,
    "ipv4_associations": found.network_interfaces[found.mac].ipv4_associations,
    "AccessKeyId": found.iam_security_credentials["AccessKeyId"],
}))
"""
# What this library takes for granted on an instance, without which it raises, is not asked for.
EC2_METADATA_BARE = """
import json
from ec2_metadata import ec2_metadata as found

names = (
    "account_id availability_zone availability_zone_id domain instance_action instance_id"
    " instance_profile_name kernel_id partition public_hostname public_ipv4 public_keys region"
    " spot_instance_action user_data"
)
print(json.dumps({name: getattr(found, name) for name in names.split()}))
"""
EC2_METADATA_ASKING = """
import sys, urllib3
from ec2_metadata import ec2_metadata as found

try:
    getattr(found, sys.argv[1])
except urllib3.exceptions.HTTPError as error:
    print(error)
"""
PATHS = {
    "/latest/meta-data/instance-id": DESCRIBED["instance_id"],
    "/latest/meta-data/placement/availability-zone/": DESCRIBED["availability_zone"],
    "/latest/meta-data/tags/instance/": "Name\nTeam",
    "/latest/meta-data/public-keys": "0=first\n1=second",
    "/latest/user-data": DESCRIBED["user_data"],
    "/latest/meta-data/spot/instance-action": 404,
}
AWS2 = "/usr/bin/aws"
"""By its path: the one that was installed beside this Python is version 1."""
ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"


def python(daemon, home, program, *words):
    return daemon.visit(sys.executable, "-c", program, *words, home=home, endpoint="ec2")


@pytest.fixture
def metadata_service(node_clients, tmp_path):
    words = ("node", node_clients / "ec2-metadata-service.mjs")
    return lambda daemon, endpoint, *paths: daemon.visit(
        *words, *paths, home=tmp_path, endpoint=endpoint
    )


def test_ec2_metadata_has_every_property_that_was_configured(described, tmp_path):
    visit = python(described, tmp_path, EC2_METADATA)
    found = visit.document
    direct = (
        "ami_id", "availability_zone", "availability_zone_id", "instance_id", "instance_type",
        "mac", "public_hostname", "public_ipv4", "public_keys", "region", "security_groups",
        "tags", "user_data",
    )  # fmt: skip
    assert {name: found[name] for name in direct} == {name: DESCRIBED[name] for name in direct}
    assert found["private_hostname"] == DESCRIBED["hostname"]
    assert found["private_ipv4"] == DESCRIBED["local_ipv4"]
    assert (found["ami_launch_index"], found["ami_manifest_path"]) == (0, "(unknown)")
    assert (found["instance_life_cycle"], found["instance_action"]) == ("on-demand", "none")
    assert (found["partition"], found["domain"]) == ("aws", "amazonaws.com")
    assert set(visit.answers) == {"imds 200", "imds 404"}


def test_ec2_metadata_has_the_interfaces_that_were_configured(described, tmp_path):
    found = python(described, tmp_path, EC2_METADATA).document
    first, second = DESCRIBED["interface"]
    assert list(found["interfaces"]) == [first["mac"], second["mac"]]
    for configured in (first, second):
        served = found["interfaces"][configured["mac"]]
        assert served == {name: configured.get(name, []) for name in served}
    assert found["vpc_ipv4_cidr_blocks"] == first["vpc_ipv4_cidr_blocks"]
    assert found["ipv4_associations"] == {first["public_ipv4s"][0]: [first["local_ipv4s"][0]]}


def test_ec2_metadata_has_the_live_credentials(described, tmp_path):
    found = python(described, tmp_path, EC2_METADATA).document
    assert found["AccessKeyId"] == described.credentials()["AccessKeyId"]
    assert (found["account_id"], found["instance_profile_name"]) == ("123456789012", "imdsd-demo")


def test_ec2_metadata_needs_nothing_configured_for_what_is_optional(instance, tmp_path):
    visit = python(instance, tmp_path, EC2_METADATA_BARE)
    found = visit.document
    assert found["instance_id"] == instance.leaf("meta-data/instance-id")
    assert found["region"] == instance.variables["AWS_REGION"]
    assert found["availability_zone"] == found["region"] + "a"
    assert (found["user_data"], found["public_keys"], found["public_ipv4"]) == (None, {}, None)


@pytest.mark.parametrize(
    ("name", "path"),
    [("ami_id", "ami-id"), ("instance_type", "instance-type"), ("tags", "tags/instance/")],
)
def test_ec2_metadata_says_which_leaf_it_takes_for_granted(instance, name, path, tmp_path):
    said = python(instance, tmp_path, EC2_METADATA_ASKING, name).stdout
    assert said == f"HTTP 404: http://169.254.169.254/latest/meta-data/{path}\n"


def test_the_javascript_client_gives_what_was_configured(described, metadata_service):
    visit = metadata_service(described, "ec2", *PATHS)
    assert visit.document == PATHS
    assert visit.answers == {"imds 200": 2 * len(PATHS) - 1, "imds 404": 1}


def test_the_javascript_client_follows_its_variable(demo, metadata_service):
    document = "/latest/dynamic/instance-identity/document"
    visit = metadata_service(demo, "imds", document, "/latest/meta-data/placement/region")
    answers = visit.document
    assert answers["/latest/meta-data/placement/region"] == demo.variables["AWS_REGION"]
    assert json.loads(answers[document])["instanceId"] == demo.leaf("meta-data/instance-id")
    assert visit.answers == {"imds 200": 4}


def aws2(daemon, home, *words, **variables):
    return daemon.visit_with(variables, need(AWS2), *words, home=home)


def settings_of(stdout):
    """What `aws configure list` says each setting is, and how it came to that."""
    _, _, *lines = map(str.split, stdout.splitlines())
    return {line[0]: tuple(line[1:]) for line in lines}


def test_the_cli_of_debian_learns_its_region_from_the_zone(described, tmp_path):
    visit = aws2(described, tmp_path, "configure", "list")
    found = settings_of(visit.stdout)
    assert found["region"] == (DESCRIBED["region"], "imds")
    served = described.credentials()["AccessKeyId"]
    assert found["access_key"] == ("*" * 16 + served[-4:], "iam-role")
    assert visit.answers == {"imds 200": 5}


def test_the_cli_of_debian_signs_for_that_region(described, tmp_path):
    sts = ("--endpoint-url", described.variables["AWS_ENDPOINT_URL_STS"], "--output", "json")
    visit = aws2(described, tmp_path, "sts", "get-caller-identity", *sts)
    assert visit.document["Arn"].startswith(ASSUMED_ROLE)
    assert visit.answers == {"imds 200": 5}


def test_the_cli_of_debian_follows_a_variable_that_ends_in_a_slash(demo, tmp_path):
    endpoint = demo.variables[ENDPOINT] + "/"
    visit = aws2(demo, tmp_path, "configure", "list", **{ENDPOINT: endpoint})
    assert settings_of(visit.stdout)["region"] == (demo.variables["AWS_REGION"], "imds")
    assert visit.answers == {"imds 200": 5}


def test_the_cli_of_debian_asks_for_no_region_that_env_has_told_it(demo, tmp_path):
    variables = {ENDPOINT: demo.variables[ENDPOINT] + "/", "AWS_REGION": "eu-north-1"}
    visit = aws2(demo, tmp_path, "configure", "list", **variables)
    assert settings_of(visit.stdout)["region"][:2] == ("eu-north-1", "env")
    assert visit.answers == {"imds 200": 3}


def test_the_cli_of_debian_refuses_a_variable_that_lacks_the_slash(demo, tmp_path):
    environ = scrubbed_environ(tmp_path, **{ENDPOINT: demo.variables[ENDPOINT]})
    done = demo.room.try_run(need(AWS2), "configure", "list", environ=environ)
    assert f"{demo.variables[ENDPOINT]}latest/api/token" in done.stderr


def test_the_cli_of_debian_needs_nothing_configured(instance, tmp_path):
    found = settings_of(aws2(instance, tmp_path, "configure", "list").stdout)
    assert found["region"] == (instance.variables["AWS_REGION"], "imds")
