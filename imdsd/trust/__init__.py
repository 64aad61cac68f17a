"""What an IAM trust policy lets in: write one, read one, and hold a request against it."""

from imdsd.trust.document import TrustPolicyError, parse_trust_policy, write_trust_policy
from imdsd.trust.policy import (
    WEB_IDENTITY_ACTION,
    Condition,
    Mismatch,
    Operator,
    Principal,
    PrincipalKind,
    Statement,
    TrustPolicy,
    TrustRequest,
    Verdict,
    is_like,
    judge,
    provider_arn,
    provider_name,
    web_identity_request,
)

__all__ = [
    "WEB_IDENTITY_ACTION",
    "Condition",
    "Mismatch",
    "Operator",
    "Principal",
    "PrincipalKind",
    "Statement",
    "TrustPolicy",
    "TrustPolicyError",
    "TrustRequest",
    "Verdict",
    "is_like",
    "judge",
    "parse_trust_policy",
    "provider_arn",
    "provider_name",
    "web_identity_request",
    "write_trust_policy",
]
