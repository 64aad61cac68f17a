"""What a token command, file or service gives: a token, or a refusal that shows no secret."""

from __future__ import annotations

import base64
import json
import re

from hypothesis import strategies as st

from imdsd.errors import MintError
from imdsd.tokens.shape import TOKEN_CAP_BYTES, one_line, show_arguments, token_from
from tests.fakes.web_identity import CLAIMS, SIGNATURE, make_token, part
from tests.fuzz.shapes import json_documents, odd_texts, spoiled
from tests.fuzz.target import Target, assert_fit_for_a_person, assert_hides

_SECRETS = (
    SIGNATURE,
    "deadbeefdeadbeef0123456789abcdef",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
)
_ONE_LINE_CHARACTERS = 200


def check(data: bytes) -> None:
    """Take the bytes for what a source gave, for a message of its, and for its arguments."""
    try:
        token = token_from(data, source="command x", remedy="log in").reveal()
    except MintError as error:
        assert_fit_for_a_person(error)
        _assert_hides_all(str(error))
        assert not _surely_a_token(data), "a good token was refused"
    else:
        assert _surely_a_token(data), "what is no token was taken"
        assert token == data.decode("ascii").strip()
    text = data.decode("utf-8", "replace")
    line = one_line(text)
    assert len(line) <= _ONE_LINE_CHARACTERS
    assert line.isprintable()
    _assert_hides_all(line)
    _assert_hides_all(show_arguments(text.split("\0")))


def _assert_hides_all(text: str) -> None:
    for secret in _SECRETS:
        assert_hides(secret, text)


def _surely_a_token(data: bytes) -> bool:
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        return False
    if len(data) > TOKEN_CAP_BYTES or not re.fullmatch(r"[\w-]+(\.[\w-]+){2}", text, re.ASCII):
        return False
    return all(_is_json_object(each) for each in text.split(".")[:2])


def _is_json_object(text: str) -> bool:
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return isinstance(json.loads(decoded), dict)
    except (ValueError, RecursionError):
        return False


def _in_a_sentence(before: str, secret: str, after: str) -> bytes:
    return f"{before}{secret}{after}".encode("utf-8", "surrogatepass")


def _as_token(header: bytes, body: bytes) -> bytes:
    encoded = (base64.urlsafe_b64encode(each).rstrip(b"=") for each in (header, body))
    return b".".join((*encoded, SIGNATURE.encode()))


_AROUND = st.one_of(
    odd_texts(),
    st.sampled_from(
        (
            "token=",
            '"',
            "{",
            "Bearer ",
            "/",
            "a.b.",
            "error: ",
            "\x1b[1m",
            "\n",
            "--",
            "https://u:",
            "@h/",
        )
    ),
)
_SEEDS = (
    make_token().encode(),
    make_token().encode() + b"\n",
    make_token().encode() * 2,
    b"please log in\nthen retry",
    b'{"token": "x", "a": 1}',
    b"\x1b[32mgreen\x1b[0m",
    f"Authorization: Bearer {_SECRETS[1]}".encode(),
    f"https://user:{_SECRETS[3]}@host/path?key={_SECRETS[2]}".encode(),
    f"/usr/bin/tool --token {_SECRETS[2]} -k=v".encode(),
    f"{part({})}.{part([])}.x".encode(),
    b"a.b.c.d.e",
)

TARGET = Target(
    check,
    cases=st.one_of(
        st.builds(_in_a_sentence, _AROUND, st.sampled_from(_SECRETS), _AROUND),
        st.builds(_as_token, json_documents({"alg": "RS256"}), json_documents(CLAIMS)),
        spoiled(st.sampled_from(_SEEDS)),
    ),
    seeds=_SEEDS,
)
