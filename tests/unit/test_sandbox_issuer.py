"""The issuer: tokens of both versions, and an HTTP face from which anybody can verify them."""

from __future__ import annotations

import aiohttp
import jwt
import pytest

from imdsd.clock import SystemClock
from imdsd.errors import UsageError
from imdsd.sandbox.app import Sandbox
from imdsd.sandbox.issuer import ENVIRONMENT_ID, ORGANIZATION_ID, PROJECT_ID, Issuer, signing_key

AUDIENCE = "sts.amazonaws.com"


@pytest.fixture
def issuer():
    return Issuer("http://127.0.0.1:1", SystemClock(), AUDIENCE, signing_key())


@pytest.fixture
async def sandbox():
    async with Sandbox(clock=SystemClock()) as running:
        yield running


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


async def get(http, url, **query):
    async with http.get(url, params=query) as response:
        return response.status, await response.json()


def claims_of(token):
    return jwt.decode(token.reveal(), options={"verify_signature": False})


def test_version_3_claims_have_the_shape_of_ona(issuer):
    claims = claims_of(issuer.issue("a"))
    assert claims["sub"] == f"organization_id:{ORGANIZATION_ID}:project_id:{PROJECT_ID}"
    assert claims["aud"] == ["a"]
    assert claims["exp"] - claims["iat"] == 3600
    assert set(claims) == {
        *("iss", "sub", "aud", "iat", "exp", "organization_id", "project_id", "runner_id"),
        *("environment_id", "creator_principal", "creator_id", "creator_email", "creator_name"),
    }


def test_version_2_claims_have_the_shape_of_gitpod(issuer):
    claims = claims_of(issuer.issue("a", version=2))
    assert claims["sub"] == f"org:{ORGANIZATION_ID}/prj:{PROJECT_ID}/env:{ENVIRONMENT_ID}"
    assert claims["aud"] == "a"
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "org"}


def test_another_version_is_a_mistake_of_the_caller(issuer):
    with pytest.raises(UsageError, match="expected 2 or 3"):
        issuer.issue("a", version=4)


def test_overrides_replace_add_and_remove_claims(issuer):
    claims = claims_of(issuer.issue("a", overrides={"sub": "me", "extra": 1, "runner_id": None}))
    assert (claims["sub"], claims["extra"]) == ("me", 1)
    assert "runner_id" not in claims


def test_the_lifetime_is_a_number_of_seconds(issuer):
    claims = claims_of(issuer.issue("a", lifetime_seconds=-5))
    assert claims["exp"] == claims["iat"] - 5


def test_a_token_does_not_print(issuer):
    assert repr(issuer.issue("a")) == "Secret(…)"


def test_one_process_has_one_key():
    assert signing_key() is signing_key()


async def test_a_stranger_can_verify_a_token_from_the_discovery_document(sandbox, http):
    _, discovery = await get(http, f"{sandbox.issuer_url}/.well-known/openid-configuration")
    assert discovery["issuer"] == sandbox.issuer_url
    _, key_set = await get(http, discovery["jwks_uri"])
    _, answer = await get(http, sandbox.token_url, audience="mine")
    header = jwt.get_unverified_header(answer["value"])
    key = jwt.PyJWKSet.from_dict(key_set)[header["kid"]]
    claims = jwt.decode(
        answer["value"], key, algorithms=["RS256"], audience="mine", issuer=sandbox.issuer_url
    )
    assert claims["organization_id"] == ORGANIZATION_ID


async def test_the_key_set_holds_nothing_private(sandbox, http):
    _, key_set = await get(http, f"{sandbox.issuer_url}/.well-known/jwks.json")
    assert set(key_set["keys"][0]) == {"kty", "key_ops", "n", "e", "kid", "alg", "use"}


async def test_the_token_service_knows_both_versions_and_a_default_audience(sandbox, http):
    _, answer = await get(http, sandbox.token_url, version="2")
    claims = jwt.decode(answer["value"], options={"verify_signature": False})
    assert (claims["aud"], claims["org"]) == (AUDIENCE, ORGANIZATION_ID)


async def test_the_token_service_refuses_another_version(sandbox, http):
    status, answer = await get(http, sandbox.token_url, version="four")
    assert status == 400
    assert "expected 2 or 3" in answer["error"]
