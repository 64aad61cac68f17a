"""Configurations of daemons under test, as text: TOML is what a daemon reads."""

import json

from imdsd.sandbox.app import Sandbox

ARN = "arn:aws:iam::123456789012:role/team/dev"
OTHER_ARN = "arn:aws:iam::123456789012:role/other"
AUDIENCE = "sts.amazonaws.com"


def settings(sandbox: Sandbox, *roles: str, listen=("127.0.0.1:0",), **top: object) -> str:
    """One role, the sandbox as STS and, unless a role says otherwise, as token source."""
    common = {"listen": list(listen), "region": "eu-central-1", **top}
    return "\n".join([*table(common), *(roles or [role(sandbox)])])


def role(sandbox: Sandbox, *, name="dev", arn=ARN, sts=None, token=None, **more: object) -> str:
    head = {"name": name, "arn": arn, "sts_endpoint_url": sts or sandbox.sts_url, **more}
    source = token or {"url": f"{sandbox.token_url}?audience={{audience}}"}
    return "\n".join(["[[role]]", *table(head), "[role.token]", *table(source)])


def table(values) -> list[str]:
    """Write keys and values; for what stands here, JSON's values are TOML's."""
    return [f"{key} = {in_toml(value)}" for key, value in values.items()]


def in_toml(value) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(in_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {in_toml(value[key])}" for key in value) + "}"
    return json.dumps(value)
