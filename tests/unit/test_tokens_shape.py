import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.errors import MintError
from imdsd.tokens.shape import EXPECTED, fault, one_line, redact, show_arguments, token_from
from tests.fakes.web_identity import SIGNATURE, make_token, part

TOKEN = make_token()


@pytest.mark.parametrize("wrapped", [TOKEN, f"{TOKEN}\n", f"{TOKEN}\r\n", f"  {TOKEN}\n\n"])
def test_a_token_is_taken_without_the_space_around_it(wrapped):
    assert token_from(wrapped.encode(), source="x", remedy="y").reveal() == TOKEN


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"", "nothing"),
        (b"\n", "nothing"),
        (b"\x1b[32mgreen\x1b[0m", "text with terminal escape sequences"),
        (b"\xff\xfe\x00\x01", "4 bytes that are not text"),
        (b"please log in", "'please log in'"),
        (b"please log in\nthen retry\n", "2 lines, the first 'please log in'"),
        (b"hunter2", "one word of 7 characters in 1 part"),
        (b"a.b", "one word of 3 characters in 2 parts"),
        (b"a.b.c.d.e", "five parts with dots between (an encrypted JWT)"),
        (b"a.b.c", "three parts with dots between, but a header that is not JSON"),
        (
            f"{part({})}.bm8.{SIGNATURE}".encode(),
            "three parts with dots between, but a body that is not JSON",
        ),
        (b'{"token": "secret", "a": 1}', "a JSON object with the keys a, token"),
        (b'{"token', "text that begins like JSON and is not"),
        (b"x" * 16385, "more than 16384 bytes"),
        (f"{TOKEN}\n{TOKEN}".encode(), f"2 lines, the first one word of {len(TOKEN)} characters"),
    ],
)
def test_what_is_no_token_is_described(raw, found):
    assert fault(raw).startswith(found)


def test_a_refusal_says_what_was_found_and_expected():
    with pytest.raises(MintError) as caught:
        token_from(b"please log in", source="command x", remedy="log in")
    assert caught.value.reason == f"command x gave 'please log in', expected {EXPECTED}"
    assert caught.value.remedy == "log in"


@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        TOKEN[: len(TOKEN) // 2],
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
        "CANARY-0123456789abcdef-CANARY",
    ],
)
def test_long_runs_that_are_no_words_are_cut(secret):
    assert secret not in redact(f"refused: {secret} is not known")
    assert "refused:" in redact(f"refused: {secret} is not known")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token=abc", "token=…"),
        ("client_secret=abc def", "client_secret=… def"),
        ("x --token abc", "x --token …"),
        ("Authorization: Bearer abc", "Authorization: Bearer …"),
        ("gitpod idp token --audience sts", "gitpod idp token --audience sts"),
    ],
)
def test_what_is_named_a_secret_is_cut_however_short(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "cannot reach https://app.gitpod.io/api/identity/service",
        "arn:aws:iam::123456789012:role/deploy",
        "open /usr/local/share/certificates/ca.pem: no such file",
    ],
)
def test_words_paths_and_addresses_stay(text):
    assert redact(text) == text


@given(st.text(max_size=400))
def test_one_line_is_printable_and_bounded(text):
    line = one_line(text, most=50)
    assert len(line) <= 50
    assert not line or line.isprintable()


@given(st.binary(max_size=300))
def test_whatever_comes_in_is_judged_without_an_exception(raw):
    assert isinstance(fault(raw), str)


@given(st.integers(1, len(TOKEN) - 1))
def test_a_cut_token_is_never_shown(length):
    piece = TOKEN[:length]
    found = fault(piece.encode())
    assert piece not in found or length < 8


def test_arguments_are_shown_as_typed_without_secrets():
    argv = ["sh", "-c", "echo a b", "--token", "abc"]
    assert show_arguments(argv) == "sh -c 'echo a b' --token …"
