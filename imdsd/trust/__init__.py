"""What an IAM trust policy lets in: write one, read one, and hold a request against it."""

from imdsd.trust.as_cloudformation import as_cloudformation
from imdsd.trust.as_json import as_json
from imdsd.trust.as_script import as_script
from imdsd.trust.as_terraform import as_terraform
from imdsd.trust.checking import Answer, HeldPolicy, Outcome, check_trust, parse_held_policy
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
from imdsd.trust.scopes import Scope, SubjectRule, subject_rule
from imdsd.trust.setup import TrustSetup, actions_of, check_issuer

__all__ = [
    "WEB_IDENTITY_ACTION",
    "Answer",
    "Condition",
    "HeldPolicy",
    "Mismatch",
    "Operator",
    "Outcome",
    "Principal",
    "PrincipalKind",
    "Scope",
    "Statement",
    "SubjectRule",
    "TrustPolicy",
    "TrustPolicyError",
    "TrustRequest",
    "TrustSetup",
    "Verdict",
    "actions_of",
    "as_cloudformation",
    "as_json",
    "as_script",
    "as_terraform",
    "check_issuer",
    "check_trust",
    "is_like",
    "judge",
    "parse_held_policy",
    "parse_trust_policy",
    "provider_arn",
    "provider_name",
    "subject_rule",
    "web_identity_request",
    "write_trust_policy",
]
