"""The only module that knows role session names: templates over claims, fit for STS."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imdsd.errors import ClaimsError

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST_FIELD = "host"

# AssumeRoleWithWebIdentity: RoleSessionName is 2 to 64 of [\w+=,.@-].
_SHORTEST, _LONGEST = 2, 64
_UNFIT = re.compile(r"[^\w+=,.@-]+", re.ASCII)
_FIELD = re.compile(r"\{([^{}]*)\}")
_FILLER = "imdsd"


def template_fields(template: str) -> tuple[str, ...]:
    """Return the fields of a template in their order: `host`, or the name of a claim.

    Raises ValueError for a brace without its partner, an empty field, and text between the
    fields that STS would refuse or that leaves no room for them.
    """
    literals, fields = _split(template)
    text = "".join(literals)
    if "{" in text or "}" in text:
        raise ValueError("a brace has no partner; a field is written {NAME}")
    if "" in fields:
        raise ValueError("a field is empty; write {host} or {CLAIM}")
    unfit = _UNFIT.search(text)
    if unfit:
        raise ValueError(f"{unfit[0]!r} may not stand in it; STS takes letters, digits and +=,.@_-")
    if len(text) + len(fields) > _LONGEST or len(text) + 2 * len(fields) < _SHORTEST:
        raise ValueError(f"STS takes {_SHORTEST} to {_LONGEST} characters")
    return fields


def render_session_name(template: str, *, claims: Mapping[str, object], host: str) -> str:
    """Return the session name: characters that STS refuses become dashes, long values are cut.

    Every value keeps its beginning, and the longest give way first. Raises ClaimsError when the
    web identity token lacks a claim that the template names.
    """
    literals, fields = _split(template)
    values = [_clean(host if field == HOST_FIELD else _claim(claims, field)) for field in fields]
    kept = _cut(values, room=_LONGEST - sum(map(len, literals)))
    pieces = [literals[0]]
    for value, literal in zip(kept, literals[1:], strict=True):
        pieces += (value, literal)
    name = _clean("".join(pieces))[:_LONGEST]
    return name if len(name) >= _SHORTEST else f"{_FILLER}-{name}".rstrip("-")


def _split(template: str) -> tuple[list[str], tuple[str, ...]]:
    """Return the texts around the fields, always one more than there are, and the fields."""
    parts = _FIELD.split(template)
    return parts[::2], tuple(parts[1::2])


def _claim(claims: Mapping[str, object], field: str) -> str:
    value = claims.get(field)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int) and value != "":
        return str(value)
    remedy = f"session_name names the claim; the token has {', '.join(sorted(claims)) or 'none'}"
    raise ClaimsError(field, found=_described(value), expected="a text or a number", remedy=remedy)


def _described(value: object) -> str:
    if value is None:
        return "absent"
    return "empty" if value == "" else f"a {type(value).__name__}"


def _clean(text: str) -> str:
    return _UNFIT.sub("-", text)


def _cut(values: list[str], *, room: int) -> list[str]:
    """Return the values cut so that all fit: one common limit, as high as the room allows."""
    limit = max(0, room)
    while limit and sum(min(len(value), limit) for value in values) > room:
        limit -= 1
    return [value if len(value) <= limit else value[:limit].rstrip("-.,:") for value in values]
