"""Web identity tokens with a signature that nobody can check: for whatever only reads them."""

import base64
import json

SIGNATURE = "c2lnbmF0dXJlLXRoYXQtbm9ib2R5LWNoZWNrcw"
CLAIMS = {
    "iss": "https://issuer.example",
    "sub": "organization_id:o1:project_id:p1",
    "aud": "sts.amazonaws.com",
    "iat": 1_767_225_600,
    "exp": 1_767_229_200,
}


def part(document: object) -> str:
    """One part of a token: base64url JSON without padding."""
    encoded = base64.urlsafe_b64encode(json.dumps(document).encode())
    return encoded.rstrip(b"=").decode()


def make_token(**claims: object) -> str:
    """A token with the usual claims, some of them replaced; None leaves one out."""
    merged = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return f"{part({'alg': 'RS256', 'kid': 'k1'})}.{part(merged)}.{SIGNATURE}"
