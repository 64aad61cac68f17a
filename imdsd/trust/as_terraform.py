"""A trust set-up as Terraform's HCL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsd.trust.setup import TrustSetup

_TEMPLATE = """\
# thumbprint_list is left out: IAM asks for none. Version 6 of the provider hashicorp/aws and
# later versions of 5 agree.

variable "provider_exists" {{
  description = "Whether the account has this identity provider: there is one per issuer."
  type        = bool
  default     = false
}}

resource "aws_iam_openid_connect_provider" "issuer" {{
  count = var.provider_exists ? 0 : 1

  url            = {issuer}
  client_id_list = [{audience}]
}}

data "aws_iam_openid_connect_provider" "issuer" {{
  count = var.provider_exists ? 1 : 0

  url = {issuer}
}}

locals {{
  provider_arn = one(concat(
    aws_iam_openid_connect_provider.issuer[*].arn,
    data.aws_iam_openid_connect_provider.issuer[*].arn,
  ))
}}

resource "aws_iam_role" "imdsd" {{
  name                 = {role_name}
  path                 = {role_path}
  max_session_duration = {max_session_seconds}

  assume_role_policy = jsonencode({policy})
}}

output "role_arn" {{
  value = aws_iam_role.imdsd.arn
}}
"""


class _Expression(str):
    """A text that is HCL already."""

    __slots__ = ()


def as_terraform(setup: TrustSetup) -> str:
    """Return the configuration of a module, for any account."""
    return _TEMPLATE.format(
        issuer=_quoted(setup.issuer),
        audience=_quoted(setup.audience),
        role_name=_quoted(setup.role_name),
        role_path=_quoted(setup.role_path),
        max_session_seconds=setup.max_session_seconds,
        policy=_hcl(setup.policy(_Expression("local.provider_arn")), indent="  "),
    )


def _hcl(value: object, *, indent: str) -> str:
    if isinstance(value, dict):
        return _object(value, indent=indent)
    if isinstance(value, list):
        return f"[{', '.join(_hcl(item, indent=indent) for item in value)}]"
    return str(value) if isinstance(value, _Expression) else _quoted(str(value))


def _object(fields: Mapping[str, object], *, indent: str) -> str:
    inner = f"{indent}  "
    rendered = {_key(name): _hcl(value, indent=inner) for name, value in fields.items()}
    # As `terraform fmt` has it: neighbours of one line each have their signs in one column.
    width = max((len(name) for name, text in rendered.items() if "\n" not in text), default=0)
    lines = [
        f"{inner}{name if chr(10) in text else name.ljust(width)} = {text}\n"
        for name, text in rendered.items()
    ]
    return f"{{\n{''.join(lines)}{indent}}}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    """Write a text as HCL: what would begin a template, or does not print, is escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    escaped = re.sub(r"[$%](?=\{)", lambda found: found[0] * 2, escaped)
    return f'"{"".join(map(_printable, escaped))}"'


def _printable(character: str) -> str:
    code = ord(character)
    if character.isprintable():
        return character
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004
