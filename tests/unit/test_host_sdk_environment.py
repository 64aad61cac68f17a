from __future__ import annotations

from pathlib import Path

import pytest

from imdsd.host.sdk_environment import SdkTarget, scrubbed, sdk_variables
from imdsd.secret import Secret

URL = "http://127.0.0.1:9254"


def target(**changes):
    fields = {
        "base_url": URL,
        "bearer": Secret("the-bearer"),
        "bearer_file": Path("/run/imdsd/bearer"),
        "role": None,
        "on_imds": True,
        "region": "eu-west-1",
    }
    return SdkTarget(**{**fields, **changes})


def variables(environ=None, **changes):
    return sdk_variables(target(**changes), environ=environ or {})


def test_the_default_role_has_every_variable_that_sdks_read():
    assert variables() == {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{URL}/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/run/imdsd/bearer",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "the-bearer",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": URL,
        "AWS_METADATA_ENDPOINT": URL,
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


def test_a_role_by_name_is_in_the_path():
    asked = variables(role="dev")
    assert asked["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == f"{URL}/v1/credentials/dev"


def test_a_role_that_imds_does_not_serve_keeps_sdks_away_from_imds():
    asked = variables(role="ops", on_imds=False)
    assert asked["AWS_EC2_METADATA_DISABLED"] == "true"
    assert "AWS_EC2_METADATA_SERVICE_ENDPOINT" not in asked
    assert "AWS_METADATA_ENDPOINT" not in asked


def test_a_demo_sends_sts_calls_to_its_own_sts():
    asked = variables(sts_endpoint_url="http://127.0.0.1:1")
    assert asked["AWS_ENDPOINT_URL_STS"] == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("environ", "first", "second"),
    [
        ({"AWS_REGION": "us-west-2"}, "us-west-2", "us-west-2"),
        ({"AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2", "us-west-2"),
        ({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}, "a", "b"),
        ({"AWS_REGION": ""}, "eu-west-1", "eu-west-1"),
    ],
)
def test_the_callers_own_region_stays(environ, first, second):
    asked = variables(environ)
    assert (asked["AWS_REGION"], asked["AWS_DEFAULT_REGION"]) == (first, second)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_where_a_proxy_is_set_it_is_kept_from_us(name):
    asked = variables({name: "http://proxy:3128"})
    assert asked["NO_PROXY"] == asked["no_proxy"] == "127.0.0.1,localhost,169.254.169.254"


def test_what_was_excepted_from_the_proxy_stays():
    environ = {"HTTP_PROXY": "x", "NO_PROXY": ".corp, localhost", "no_proxy": "10.0.0.1,.corp"}
    expected = ".corp,localhost,10.0.0.1,127.0.0.1,169.254.169.254"
    assert variables(environ)["no_proxy"] == expected


def test_without_a_proxy_nothing_is_said_about_one():
    assert "NO_PROXY" not in variables({"NO_PROXY": "x", "HTTP_PROXY": ""})


def test_a_scrubbed_environment_leads_nowhere_else():
    environ = {
        "PATH": "/bin",
        "AWS_REGION": "eu-west-1",
        "AWS_CA_BUNDLE": "/ca.pem",
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t",
        "AWS_PROFILE": "p",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/t",
        "AWS_ROLE_ARN": "arn",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    assert set(scrubbed(environ)) == {"PATH", "AWS_REGION", "AWS_CA_BUNDLE"}
