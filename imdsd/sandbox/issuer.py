"""The sandbox's OIDC issuer: its key, its discovery documents, and tokens shaped like Ona's."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from imdsd.errors import UsageError
from imdsd.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsd.clock import Clock

ALGORITHM = "RS256"
ORGANIZATION_ID = "0191b6c5-7f3e-7c1a-9d55-5b0f3a6e0001"
PROJECT_ID = "0191b6c5-7f3e-7c1a-9d55-5b0f3a6e0002"
RUNNER_ID = "0191b6c5-7f3e-7c1a-9d55-5b0f3a6e0003"
ENVIRONMENT_ID = "0191b6c5-7f3e-7c1a-9d55-5b0f3a6e0004"
CREATOR_ID = "0191b6c5-7f3e-7c1a-9d55-5b0f3a6e0005"
# The part of `sub` that stands for the organisation, in either version of the claims.
SUBJECTS_OF_THE_ORGANIZATION = (
    f"organization_id:{ORGANIZATION_ID}:*",
    f"org:{ORGANIZATION_ID}/*",
)
LATEST_VERSION = 3


@functools.cache
def signing_key() -> rsa.RSAPrivateKey:
    """Return this process's key; made once, because making one takes up to a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Mint web identity tokens and publish what verifies them."""

    url: str
    clock: Clock
    audience: str
    key: rsa.RSAPrivateKey

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        """What a verifier needs."""
        return self.key.public_key()

    @property
    def key_id(self) -> str:
        """The `kid` of the tokens' headers: a digest of the public key."""
        encoded = self.public_key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(encoded).hexdigest()[:32]

    def issue(
        self,
        audience: str,
        *,
        version: int = LATEST_VERSION,
        lifetime_seconds: int = 3600,
        overrides: Mapping[str, object] | None = None,
    ) -> Secret:
        """Mint a web identity token; an override of None leaves that claim out."""
        now = int(self.clock.now().timestamp())
        claims = {
            "iss": self.url,
            "iat": now,
            "exp": now + lifetime_seconds,
            **_identity(version, audience),
            **(overrides or {}),
        }
        payload = {name: value for name, value in claims.items() if value is not None}
        return Secret(jwt.encode(payload, self.key, ALGORITHM, headers={"kid": self.key_id}))

    def discovery(self) -> dict[str, object]:
        """Return the discovery document (OpenID Connect Discovery 1.0, section 3)."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/.well-known/jwks.json",
            "authorization_endpoint": f"{self.url}/authorize",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "claims_supported": ["aud", "exp", "iat", "iss", "sub"],
        }

    def key_set(self) -> dict[str, object]:
        """Return the public key as a JSON Web Key Set (RFC 7517)."""
        key: dict[str, object] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.public_key))
        return {"keys": [{**key, "kid": self.key_id, "alg": ALGORITHM, "use": "sig"}]}

    def application(self) -> web.Application:
        """Build the HTTP face: discovery, key set and token."""
        application = web.Application()
        application.router.add_get("/.well-known/openid-configuration", self._serve_discovery)
        application.router.add_get("/.well-known/jwks.json", self._serve_key_set)
        application.router.add_get("/token", self._serve_token)
        return application

    async def _serve_discovery(self, _request: web.Request) -> web.Response:
        return web.json_response(self.discovery())

    async def _serve_key_set(self, _request: web.Request) -> web.Response:
        return web.json_response(self.key_set())

    async def _serve_token(self, request: web.Request) -> web.Response:
        version = request.query.get("version", str(LATEST_VERSION))
        if version not in ("2", "3"):
            error = {"error": f"version is {version!r}, expected 2 or 3"}
            return web.json_response(error, status=400)
        audience = request.query.get("audience") or self.audience
        token = self.issue(audience, version=int(version))
        # The shape of GitHub Actions' own token service.
        return web.json_response({"value": token.reveal()})


def _identity(version: int, audience: str) -> dict[str, object]:
    match version:
        case 2:
            parts = f"org:{ORGANIZATION_ID}/prj:{PROJECT_ID}/env:{ENVIRONMENT_ID}"
            return {"sub": parts, "aud": audience, "org": ORGANIZATION_ID}
        case 3:
            return {
                "sub": f"organization_id:{ORGANIZATION_ID}:project_id:{PROJECT_ID}",
                "aud": [audience],
                "organization_id": ORGANIZATION_ID,
                "project_id": PROJECT_ID,
                "runner_id": RUNNER_ID,
                "environment_id": ENVIRONMENT_ID,
                "creator_principal": "user",
                "creator_id": CREATOR_ID,
                "creator_email": "dev@example.com",
                "creator_name": "Dev Eloper",
            }
    raise UsageError(f"the version of the claims is {version}, expected 2 or 3")
