"""A trust set-up as a POSIX shell script for the AWS CLI, which may be run again."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imdsd.trust.setup import TrustSetup

_BODY = """\
say() { printf '%s\\n' "$1" >&2; }
AWS_PAGER=''
export AWS_PAGER

caller=$(aws sts get-caller-identity --query Account --output text)
if [ "$caller" != "$account" ]; then
    say "These are credentials of account $caller, expected $account."
    exit 1
fi

known=$(aws iam list-open-id-connect-providers \\
    --query 'OpenIDConnectProviderList[].Arn' --output text | tr '\\t\\n' '  ')
case " $known " in
*" $provider_arn "*)
    knows="contains(ClientIDList, \\`$audience\\`)"
    case $(aws iam get-open-id-connect-provider \\
        --open-id-connect-provider-arn "$provider_arn" --query "$knows" --output text) in
    [Tt]rue)
        say "The identity provider $provider_arn is there, with this audience." ;;
    [Ff]alse)
        aws iam add-client-id-to-open-id-connect-provider --cli-input-json "$client"
        say "Added the audience to the identity provider $provider_arn." ;;
    *)
        say "The identity provider $provider_arn cannot be read."
        exit 1 ;;
    esac ;;
*)
    if ! failed=$(aws iam create-open-id-connect-provider \\
        --cli-input-json "$provider" 2>&1 > /dev/null); then
        say "$failed"
        case "$failed" in *ThumbprintList*)
            say "IAM has asked for no ThumbprintList since 2024: use a newer AWS CLI." ;;
        esac
        exit 1
    fi
    say "Created the identity provider $provider_arn." ;;
esac

# True, False, or an error: AWS CLI compares the documents, not their texts.
same="Role.AssumeRolePolicyDocument == \\`$policy\\`"
if found=$(aws iam get-role --role-name "$role_name" --query "$same" --output text 2>&1); then
    case "$found" in
    *[Tt]rue)
        say "The role $role_name is there, with this trust policy." ;;
    *)
        if [ "${REPLACE_TRUST_POLICY:-no}" != yes ]; then
            say "The role $role_name is there with another trust policy, and was left as it is."
            say "To replace that policy, run this again with REPLACE_TRUST_POLICY=yes."
            exit 1
        fi
        aws iam update-assume-role-policy --cli-input-json "$trust"
        say "Replaced the trust policy of the role $role_name." ;;
    esac
    # Only ever raised: others may count on a longer one.
    longest=$(aws iam get-role --role-name "$role_name" \\
        --query Role.MaxSessionDuration --output text)
    if [ "$longest" -lt "$seconds" ]; then
        aws iam update-role --cli-input-json "$session" > /dev/null
        say "Raised the role's longest session from $longest to $seconds seconds."
    fi
else
    case "$found" in
    *NoSuchEntity*) ;;
    *) say "$found"; exit 1 ;;
    esac
    aws iam create-role --cli-input-json "$role" > /dev/null
    say "Created the role $role_name. It may do nothing yet: attach policies to it."
fi
printf '%s\\n' "$role_arn"
"""


def as_script(setup: TrustSetup) -> str:
    """Return the script; it needs an administrator's credentials, and prints the role's ARN.

    Every value is handed to the AWS CLI inside JSON: version 1 would fetch an audience that is a
    URL, and both versions read lists and files out of bare words.
    """
    policy = _compact(setup.policy(setup.provider_arn))
    trust = {"RoleName": setup.role_name, "PolicyDocument": policy}
    session = {"RoleName": setup.role_name, "MaxSessionDuration": setup.max_session_seconds}
    client = {"OpenIDConnectProviderArn": setup.provider_arn, "ClientID": setup.audience}
    values = {
        "account": setup.account or "",
        "provider_arn": setup.provider_arn,
        "provider": _compact(setup.provider_input),
        "audience": _compact(setup.audience),
        "client": _compact(client),
        "role_name": setup.role_name,
        "role_arn": setup.role_arn,
        "role": _compact({**setup.role_input, "AssumeRolePolicyDocument": policy}),
        "trust": _compact(trust),
        "seconds": str(setup.max_session_seconds),
        "session": _compact(session),
        "policy": policy,
    }
    lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join(["#!/bin/sh", "set -eu", "", *lines, "", _BODY])


def _compact(document: object) -> str:
    """Write JSON in ASCII on one line, no backquote in it: those end a JMESPath literal."""
    return json.dumps(document).replace("`", "\\u0060")
