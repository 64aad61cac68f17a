"""Role session names: any template over any claims gives what STS takes, or is refused."""

from __future__ import annotations

import json
import re

from hypothesis import strategies as st

from imdsd.credentials.session_name import render_session_name, template_fields
from imdsd.errors import ClaimsError
from tests.fakes.web_identity import CLAIMS
from tests.fuzz.shapes import json_documents, odd_texts, spoiled
from tests.fuzz.target import Target, assert_fit_for_a_person

_HOST = "\u00fcber box.example"


def check(data: bytes) -> None:
    """Take a template, a NUL and a JSON object of claims."""
    before, _, after = data.partition(b"\0")
    template = before.decode("utf-8", "surrogateescape")
    try:
        template_fields(template)
    except ValueError:
        return  # the configuration refuses it
    try:
        name = render_session_name(template, claims=_claims(after), host=_HOST)
    except ClaimsError as error:
        assert_fit_for_a_person(error)
        return
    # https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
    assert re.fullmatch(r"[\w+=,.@-]{2,64}", name, re.ASCII), name


def _claims(text: bytes) -> dict[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _joined(pieces: list[str], claims: bytes) -> bytes:
    return "".join(pieces).encode("utf-8", "surrogatepass") + b"\0" + claims


_PIECES = st.one_of(
    st.sampled_from(
        ("{host}", "{sub}", "{iss}", "{aud}", "{more}", "{}", "{", "}", "-", "a", "imdsd-")
    ),
    odd_texts(),
)
_SEEDS = tuple(
    template + b"\0" + json.dumps({**CLAIMS, "more": "m" * 90}).encode()
    for template in (
        b"imdsd-{host}",
        b"{sub}-{more}",
        b"{more}{more}{more}",
        b"x{iat}",
        b"{absent}",
        b"{",
    )
)

TARGET = Target(
    check,
    cases=st.one_of(
        st.builds(_joined, st.lists(_PIECES, max_size=5), json_documents({**CLAIMS, "more": "m"})),
        spoiled(st.sampled_from(_SEEDS)),
    ),
    seeds=_SEEDS,
    longest=1024,
)
