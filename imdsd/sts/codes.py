"""Which error codes of STS are told apart, so that whoever answers cannot make up more."""

from __future__ import annotations

import re

UNKNOWN = "Unknown"

# What botocore takes for throttling (its retry mode "standard").
THROTTLINGS = frozenset(
    (
        "BandwidthLimitExceeded", "EC2ThrottledException", "LimitExceededException",
        "PriorRequestNotComplete", "ProvisionedThroughputExceededException",
        "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "SlowDown",
        "Throttling", "ThrottledException", "ThrottlingException", "TooManyRequestsException",
        "TransactionInProgressException",
    )
)  # fmt: skip

_KNOWN = THROTTLINGS.union(
    (
        # AssumeRoleWithWebIdentity and AssumeRole in the STS API reference.
        "ExpiredTokenException", "IDPCommunicationError", "IDPRejectedClaim",
        "InvalidIdentityToken", "MalformedPolicyDocument", "PackedPolicyTooLarge",
        "RegionDisabledException",
        # "Common Errors" in the same reference, and their older names.
        "AccessDenied", "AccessDeniedException", "ExpiredToken", "IncompleteSignature",
        "InternalError", "InternalFailure", "InvalidAction", "InvalidClientTokenId",
        "InvalidParameterCombination", "InvalidParameterValue", "InvalidQueryParameter",
        "MalformedHttpRequestException", "MalformedQueryString", "MissingAction",
        "MissingAuthenticationToken", "MissingAuthenticationTokenException", "MissingParameter",
        "NotAuthorized", "OptInRequired", "RequestAbortedException",
        "RequestEntityTooLargeException", "RequestExpired", "RequestTimeoutException",
        "ServiceUnavailable", "ServiceUnavailableException", "SignatureDoesNotMatch",
        "UnknownOperationException", "UnrecognizedClientException",
        "ValidationError", "ValidationException",
    )
)  # fmt: skip
# An answer without a code goes by its HTTP status, as botocore has it.
_STATUS = re.compile(r"[1-5]\d\d", re.ASCII)


def known_code(code: str) -> str:
    """Return a code that STS has, any other as `Unknown`.

    A code becomes a series of the metrics, and tells one state of a role from the next: an
    impostor with a new one each time would make as many series and log lines as it liked.
    """
    return code if code in _KNOWN or _STATUS.fullmatch(code) else UNKNOWN
