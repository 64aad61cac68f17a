"""A trust set-up as JSON: what IAM's own operations take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imdsd.trust.setup import TrustSetup


def as_json(setup: TrustSetup) -> str:
    """Return one document with `provider`, `role` and `trust_policy`."""
    document = {
        "provider": setup.provider_input,
        "role": setup.role_input,
        "trust_policy": setup.policy(setup.provider_arn),
    }
    return json.dumps(document, indent=2)
