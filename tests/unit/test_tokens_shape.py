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
        "deadbeefdeadbeefdeadbeefdeadbeef",
        "5d41402abc4b2a76b9719d911017c592",
        "AbCdEfGhIjKlMnOp/QrStUvWxYzAbCdEf+GhIjKl",
        "550e8400-e29b-41d4-a716-446655440000",
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
        ("password: abc", "password: …"),
        ("error: token: abc", "error: token: …"),
        ("error: bad token=abc, go", "error: bad token=…, go"),
        ('{"password": "a b", "user": "x"}', '{"password": …, "user": "x"}'),
        ('{"access_token":"abc"}', '{"access_token":…}'),
        ("{'secretAccessKey': 'abc'}", "{'secretAccessKey': …}"),
        (r'"{\"token\":\"abc\"}"', r'"{\"token\":…'),
        ('{"secrets": ["abc", "def"]}', '{"secrets": …'),
        ("client_assertion = abc", "client_assertion = …"),
        ("GET /x?token=abc&audience=sts", "GET /x?token=…&audience=sts"),
        ("GET /x?id_token=abc HTTP/1.1", "GET /x?id_token=… HTTP/1.1"),
        ("AWS_SECRET_ACCESS_KEY=abc", "AWS_SECRET_ACCESS_KEY=…"),
        ("aws_session_token: abc", "aws_session_token: …"),
        ("x-api-key: abc", "x-api-key: …"),
        ("credentials=abc", "credentials=…"),
        ("passwd = 'a b c'", "passwd = …"),
        ("--password abc", "--password …"),
        ("--client-secret 'a b' --x y", "--client-secret … --x y"),
        ('"Authorization": "Bearer abc"', '"Authorization": "Bearer …"'),
        ("authorization: abc", "authorization: …"),
        ("cannot clone https://me:abc@git.example/x", "cannot clone https://…@git.example/x"),
        ("postgres://u:p:w@h@db.example/x", "postgres://…@db.example/x"),
        ("https://abc@git.example", "https://…@git.example"),
        ("refused eyJhb.eyJz.abc here", "refused … here"),
        ("refused eyJhbG here", "refused … here"),
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
        "see /opt/hostedtoolcache/node/x64/lib/modules/Internal/README",
        "dial tcp 10.0.0.1:443: connect: connection refused",
        "https://token.example:8443/path answered 403",
        "the command was not found: run `ona login` and try again",
    ],
)
def test_words_paths_and_addresses_stay(text):
    assert redact(text) == text


@given(st.text(max_size=400))
def test_one_line_is_printable_and_bounded(text):
    line = one_line(text, most=50)
    assert len(line) <= 50
    assert not line or line.isprintable()


TELLING = "token secret password passwd key credential authorization assertion session"


@given(
    name=st.sampled_from(TELLING.split()),
    before=st.sampled_from(["", "my_", "X-", "--", "a.", '"', "?", "&", "error: ", "{ "]),
    after=st.sampled_from(["=", ": ", ":", " = ", '": "', "': '", "='", "s=", "_id="]),
    secret=st.text(st.sampled_from("abyz01"), min_size=1, max_size=12).map("%".__add__),
    upper=st.booleans(),
)
def test_the_value_of_whatever_is_named_like_a_secret_is_cut(name, before, after, secret, upper):
    name = name.upper() if upper else name
    assert secret not in redact(f"it said {before}{name}{after}{secret} and went")


@pytest.mark.parametrize("text", ["x", "token", "eyJ", "-", "a.", "://", "@", '"', "\\", "key:"])
def test_no_text_takes_long_to_redact(text):
    # What goes back again and again would take minutes here.
    assert isinstance(redact(text * 100_000), str)


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
