"""A trust set-up as a CloudFormation template."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from imdsd.errors import ClaimsError

if TYPE_CHECKING:
    from imdsd.trust.setup import TrustSetup

# CloudFormation fills these in wherever they stand, and knows no way to write one as text.
_DYNAMIC_REFERENCE = "{{resolve:"


def as_cloudformation(setup: TrustSetup) -> str:
    """Return a template in JSON, for any account.

    Raises ClaimsError for a subject that CloudFormation would take for a reference.
    """
    if _DYNAMIC_REFERENCE in setup.subject.text + setup.audience:
        raise ClaimsError(
            "sub or aud",
            found=f"with {_DYNAMIC_REFERENCE} in it, which CloudFormation fills in",
            expected="plain text",
            remedy="choose another format",
        )
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "A role for web identity tokens, and the identity provider it trusts.",
        "Parameters": {"ProviderExists": _PARAMETER},
        "Conditions": {"CreateProvider": {"Fn::Equals": [{"Ref": "ProviderExists"}, "false"]}},
        "Resources": {"Provider": _provider(setup), "Role": _role(setup)},
        "Outputs": {"RoleArn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}}},
    }
    return json.dumps(template, indent=2)


_PARAMETER = {
    "Type": "String",
    "AllowedValues": ["true", "false"],
    "Default": "false",
    "Description": "true where the account has this identity provider: there is one per issuer.",
}


def _provider(setup: TrustSetup) -> dict[str, object]:
    return {
        "Type": "AWS::IAM::OIDCProvider",
        "Condition": "CreateProvider",
        "Properties": {"Url": setup.issuer, "ClientIdList": [setup.audience]},
    }


def _role(setup: TrustSetup) -> dict[str, object]:
    arn = f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:oidc-provider/{setup.name}"
    # A Ref of the provider is its ARN, and has it made before the role.
    provider = {"Fn::If": ["CreateProvider", {"Ref": "Provider"}, {"Fn::Sub": arn}]}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {**setup.role_input, "AssumeRolePolicyDocument": setup.policy(provider)},
    }
