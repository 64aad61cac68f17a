"""Every credential body, byte for byte."""

import json
from datetime import UTC, datetime

import pytest

from imdsd.credentials.model import Credentials
from imdsd.endpoints.documents import DocumentRenderer, instance_id
from imdsd.secret import Secret

CREDENTIALS = Credentials(
    access_key_id="ASIAEXAMPLE",
    secret_access_key=Secret("s3cr3t/+"),
    session_token=Secret("IQoJ=="),
    issued_at=datetime(2026, 1, 1, 12, 0, 0, 654321, UTC),
    expires_at=datetime(2026, 1, 1, 13, 0, 0, 999999, UTC),
    role_arn="arn:aws:iam::123456789012:role/team/dev",
    assumed_role_arn="arn:aws:sts::123456789012:assumed-role/dev/box",
    environment="https://issuer.example env",
    region="eu-central-1",
)


@pytest.fixture
def documents():
    return DocumentRenderer("aarch64").publish(CREDENTIALS)


def test_the_container_document_has_the_six_keys_in_their_order(documents):
    assert documents.container.content_type == "application/json"
    assert json.loads(documents.container.body) == {
        "AccessKeyId": "ASIAEXAMPLE",
        "SecretAccessKey": "s3cr3t/+",
        "Token": "IQoJ==",
        "Expiration": "2026-01-01T13:00:00Z",
        "AccountId": "123456789012",
        "RoleArn": "arn:aws:iam::123456789012:role/team/dev",
    }


def test_the_role_document_is_spaced_as_a_perl_client_reads_it(documents):
    assert (
        documents.imds_role
        == b"""{
  "Code" : "Success",
  "LastUpdated" : "2026-01-01T12:00:00Z",
  "Type" : "AWS-HMAC",
  "AccessKeyId" : "ASIAEXAMPLE",
  "SecretAccessKey" : "s3cr3t/+",
  "Token" : "IQoJ==",
  "Expiration" : "2026-01-01T13:00:00Z",
  "AccountId" : "123456789012"
}"""
    )


def test_the_identity_document_has_its_keys_in_order_and_null_for_the_unknown(documents):
    leaf = documents.tree.find(("dynamic", "instance-identity", "document"))
    identity = json.loads(leaf.value)
    assert list(identity) == sorted(identity, key=list(identity).index)
    assert list(identity)[:3] == ["accountId", "architecture", "availabilityZone"]
    assert list(identity)[-3:] == ["ramdiskId", "region", "version"]
    assert identity["accountId"] == "123456789012"
    assert identity["architecture"] == "arm64"
    assert identity["imageId"] is None
    assert identity["instanceId"] == instance_id(CREDENTIALS.environment)


def test_the_instance_profile_follows_from_the_role(documents):
    info = json.loads(documents.tree.find(("meta-data", "iam", "info")).value)
    assert info["InstanceProfileArn"] == "arn:aws:iam::123456789012:instance-profile/dev"
    assert info["InstanceProfileId"].startswith("AIPA")
    assert len(info["InstanceProfileId"]) == 21


def test_no_value_of_the_tree_ends_in_a_newline(documents):
    for path in ("meta-data", "meta-data/iam/security-credentials", "meta-data/placement/region"):
        assert not documents.tree.find(tuple(path.split("/"))).value.endswith(b"\n")


def test_an_environment_keeps_its_instance_id_and_shares_it_with_none():
    assert instance_id("a") == instance_id("a") != instance_id("b")
    assert len(instance_id("a")) == 19
    assert instance_id("a").startswith("i-")


def test_nothing_of_a_publish_prints_a_secret(documents):
    shown = f"{documents!r} {documents} {documents.container!r} {CREDENTIALS!r}"
    assert "s3cr3t" not in shown
    assert "IQoJ" not in shown
