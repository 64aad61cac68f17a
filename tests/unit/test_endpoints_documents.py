"""Every credential body, byte for byte."""

import json
from datetime import UTC, datetime

import pytest

from imdsd.credentials.model import Credentials
from imdsd.endpoints.documents import DocumentRenderer
from imdsd.metadata.values import RoleFacts
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
    return DocumentRenderer().publish(CREDENTIALS)


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


def test_what_the_metadata_tree_is_made_of_comes_along(documents):
    assert documents.facts == RoleFacts(
        "arn:aws:iam::123456789012:role/team/dev",
        "eu-central-1",
        issued_at=CREDENTIALS.issued_at,
        environment="https://issuer.example env",
    )


def test_nothing_of_a_publish_prints_a_secret(documents):
    shown = f"{documents!r} {documents} {documents.container!r} {CREDENTIALS!r}"
    assert "s3cr3t" not in shown
    assert "IQoJ" not in shown
