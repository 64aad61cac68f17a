"""boto2, which knows IMDSv1 alone: served where that is allowed, refused and counted where not.

| asks | answered other than 200 |
|---|---|
| listings and leaves of `latest`, as they are used; `dynamic/instance-identity//document/` | 401, unless IMDSv1 is allowed |
"""

import sys

import pytest

from tests.integration.daemon import DESCRIBED
from tests.support import lack

IMPORTS = """
import json
from boto import provider, utils
"""
METADATA = f"""{IMPORTS}
found = utils.get_instance_metadata(num_retries=1)
found._materialize()
identity = utils.get_instance_identity(num_retries=1)
print(json.dumps({{"metadata": found, "identity": identity["document"]}}))
"""
USER_DATA = f"{IMPORTS}\nprint(json.dumps(utils.get_instance_userdata(num_retries=1)))"
CREDENTIALS = f"""{IMPORTS}
found = provider.Provider("aws")
print(json.dumps([found.access_key, found.secret_key, found.security_token]))
"""
KEYS = ("AccessKeyId", "SecretAccessKey", "Token")


@pytest.fixture
def boto(tmp_path):
    """Run a program that uses boto2."""
    if sys.version_info >= (3, 12):
        lack("a Python under 3.12, which boto can be imported by")
    return lambda daemon, program: daemon.visit(
        sys.executable, "-W", "ignore", "-c", program, home=tmp_path, endpoint="ec2"
    )


def without_token(daemon):
    """How many requests were answered that had no IMDS token."""
    lines = daemon.curl("/metrics").splitlines()
    # One series for each user, none before the first request.
    values = (line for line in lines if line.startswith("imdsd_imdsv1_requests_total{"))
    return sum(int(float(value.split()[1])) for value in values)


def test_boto2_reads_the_whole_tree(described_v1, boto):
    visit = boto(described_v1, METADATA)
    found = visit.document["metadata"]
    assert found["instance-id"] == DESCRIBED["instance_id"]
    assert found["placement"]["region"] == DESCRIBED["region"]
    assert found["public-keys"] == DESCRIBED["public_keys"]
    assert found["security-groups"] == DESCRIBED["security_groups"]
    assert found["tags"] == {"instance": DESCRIBED["tags"]}
    interface = found["network"]["interfaces"]["macs"][DESCRIBED["mac"]]
    assert interface["local-ipv4s"] == DESCRIBED["interface"][0]["local_ipv4s"]
    assert visit.document["identity"]["instanceId"] == DESCRIBED["instance_id"]
    assert set(visit.answers) == {"imds 200"}


def test_boto2_reads_user_data(described_v1, boto):
    assert boto(described_v1, USER_DATA).document == DESCRIBED["user_data"]


def test_boto2_has_the_live_credentials(described_v1, boto):
    before = without_token(described_v1)
    visit = boto(described_v1, CREDENTIALS)
    served = described_v1.credentials()
    assert visit.document == [served[key] for key in KEYS]
    assert without_token(described_v1) - before == visit.answers.total() == 2


def test_boto2_is_refused_where_imdsv1_is_not_allowed(described, boto):
    visit = boto(described, CREDENTIALS)
    assert visit.document == [None, None, None]
    assert set(visit.answers) == {"imds 401"}
    assert without_token(described) == 0


def test_a_client_that_knows_imdsv2_uses_no_request_of_imdsv1(described_v1, tmp_path):
    before = without_token(described_v1)
    program = "from ec2_metadata import ec2_metadata\nprint(ec2_metadata.instance_id)"
    visit = described_v1.visit(sys.executable, "-c", program, home=tmp_path, endpoint="ec2")
    assert visit.stdout.strip() == DESCRIBED["instance_id"]
    assert without_token(described_v1) == before
