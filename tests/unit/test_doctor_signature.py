from __future__ import annotations

import asyncio

import jwt
import pytest

from imdsd.clock import SystemClock
from imdsd.doctor.chain.signature import verify
from imdsd.sandbox.app import Sandbox
from imdsd.secret import Secret
from imdsd.tokens.claims import read_claims
from tests.fakes.examined import only
from tests.fakes.stranger import stranger

DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
async def issuer():
    async with Sandbox(clock=SystemClock()) as sandbox:
        yield sandbox.issuer


async def verified(token, *, installed=True, **environ):
    def work():
        told = {"ca_bundle": None, "installed": installed, "seconds": 5.0}
        return list(verify(token, read_claims(token), environ, **told))

    return await asyncio.to_thread(work)


def signed_by_another(issuer, **headers):
    """A token with the issuer's words and somebody else's signature."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = read_claims(issuer.issue("sts.amazonaws.com")).values
    return Secret(jwt.encode(dict(claims), key, "RS256", headers=headers))


async def test_the_issuer_s_own_token_is_verified(issuer):
    found = only(await verified(issuer.issue("sts.amazonaws.com")), "signature.verified")
    assert issuer.key_id in found.found


async def test_without_the_extra_it_says_how_to_install_it(issuer):
    token = issuer.issue("sts.amazonaws.com")
    (found,) = await verified(token, installed=False)
    assert found.code == "signature.no-extra"
    assert "'imdsd[verify] @ git+URL'" in found.remedy


async def test_the_keys_are_asked_for_with_the_query_of_their_address():
    routes = {"/keys?tenant=a": b"[]"}
    with stranger(routes) as url:
        routes[DISCOVERY] = {"issuer": url, "jwks_uri": f"{url}/keys?tenant=a"}
        assert "tenant=a" in only(await verified(make(iss=url)), "signature.discovery").found


async def test_a_forged_token_is_found(issuer):
    token = signed_by_another(issuer, kid=issuer.key_id)
    assert "do not trust" in only(await verified(token), "signature.wrong").remedy


async def test_a_key_that_is_not_published_is_named(issuer):
    token = signed_by_another(issuer, kid="another-key")
    found = only(await verified(token), "signature.unknown-key")
    assert "another-key" in found.found
    assert issuer.key_id in found.found
    assert "mint a new token" in found.remedy


async def test_an_issuer_that_cannot_be_reached_is_told_with_the_proxy():
    token = make(iss="http://127.0.0.1:1")
    assert "HTTPS_PROXY" in only(await verified(token), "signature.unreachable").remedy


async def test_an_issuer_over_plain_http_is_not_asked():
    found = only(await verified(make(iss="http://issuer.example")), "signature.insecure")
    assert "expected https" in found.found
    assert "serves https" in found.remedy


async def test_keys_over_plain_http_are_not_asked_for():
    routes = {}
    with stranger(routes) as url:
        routes[DISCOVERY] = {"issuer": url, "jwks_uri": "http://keys.example/keys"}
        assert "keys.example" in only(await verified(make(iss=url)), "signature.insecure").found


@pytest.mark.parametrize(
    "document",
    [
        b"<html>",
        b"[]",
        b"[" * 100_000,
        {"issuer": "https://other.example", "jwks_uri": "https://other.example/keys"},
        {"issuer": None},
    ],
)
async def test_what_is_no_discovery_document_is_told(document):
    with stranger({DISCOVERY: document}) as url:
        found = only(await verified(make(iss=url)), "signature.discovery")
        assert url in found.remedy


@pytest.mark.parametrize("keys", [{"keys": []}, {"keys": "none"}, {"some": "thing"}])
async def test_what_is_no_key_set_is_told(keys):
    routes = {"/keys": keys}
    with stranger(routes) as url:
        routes[DISCOVERY] = {"issuer": url, "jwks_uri": f"{url}/keys"}
        (found,) = await verified(make(iss=url))
        assert found.code in {"signature.discovery", "signature.unknown-key"}


async def test_more_than_a_key_set_needs_is_not_read():
    with stranger({DISCOVERY: b" " * 1_000_000}) as url:
        found = only(await verified(make(iss=url)), "signature.unreachable")
        assert "more than" in found.found


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_a_token_that_nobody_or_a_shared_secret_signed_is_refused(algorithm):
    claims = read_claims(make()).values
    token = Secret(jwt.encode(dict(claims), "s" * 32 if algorithm != "none" else None, algorithm))
    assert token.reveal().count(".") == 2
    assert "RS256" in only(await verified(token), "signature.algorithm").remedy


def make(**claims):
    from tests.fakes.web_identity import make_token

    return Secret(make_token(**claims))
