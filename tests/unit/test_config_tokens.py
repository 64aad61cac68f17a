"""[token]: which source a table chooses, what it refuses, and the source that is built of it."""

from pathlib import Path

import pytest

from imdsd.config import TokenConfig, build_source, load
from imdsd.errors import ConfigurationError
from imdsd.secret import Secret

ARN = "arn:aws:iam::123456789012:role/dev"
CANARY = "canary-4f1d"
JWT_CANARY = "eyJhbGciOiJSUzI1NiJ9.canary.canary"


@pytest.fixture
def tokens(tmp_path):
    """Return the token configuration of each role of a file."""

    def tokens(text, *, environ=None, **flags):
        path = tmp_path / "config.toml"
        path.write_text(text)
        flags = {"config": str(path), "role_arn": ARN, **flags}
        return [role.token for role in load(flags=flags, environ=environ or {}).roles]

    return tokens


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", TokenConfig()),
        ('source = "auto"', TokenConfig()),
        ('command = "ona idp"', TokenConfig(source="command", command=("ona", "idp"))),
        ('command = ["a", "b c"]', TokenConfig(source="command", command=("a", "b c"))),
        ('source = "command"\ncommand = ["a"]', TokenConfig(source="command", command=("a",))),
        ('file = "/t"', TokenConfig(source="file", file=Path("/t"))),
        ('file = "~/t"', TokenConfig(source="file", file=Path("/home/me/t"))),
        ('variable = "T"', TokenConfig(source="variable", variable="T")),
        ('url = "https://x/t"', TokenConfig(source="http", url="https://x/t")),
        (
            'url = "http://[::1]:8080"\npointer = ""\ntimeout_seconds = 2',
            TokenConfig(source="http", url="http://[::1]:8080", pointer="", timeout_seconds=2.0),
        ),
        ('audience = "me"', TokenConfig(audience="me")),
    ],
)
def test_the_key_that_is_set_chooses_the_source(tokens, lines, expected):
    assert tokens(f"[token]\n{lines}", environ={"HOME": "/home/me"}) == [expected]


@pytest.mark.parametrize("words", ["awk '{print}'", "sh -c 'echo ${audiences}'", "jq '{token}'"])
def test_braces_of_other_languages_are_left_alone(tokens, words):
    (config,) = tokens(f'[token]\ncommand = "{words}"')
    assert config.source == "command"


@pytest.mark.parametrize(
    ("lines", "key", "said"),
    [
        ('command = "a"\nfile = "/t"', "file", "command and file"),
        ('source = "file"', "source", "file beside it"),
        ('command = "ona {audence}"', "command", "{audience}, the only placeholder"),
        ('url = "https://x/?aud={audence}"', "url", "{audience}, the only placeholder"),
        ('source = "file"\nfile = "/t"\nurl = "https://x"', "url", 'url beside source = "file"'),
        ('source = "auto"\nvariable = "T"', "variable", 'source = "auto"'),
        ('source = "comand"', "source", "did you mean command?"),
        ("headers = {}", "headers", "url beside it"),
        ('pointer = "/x"', "pointer", "url beside it"),
        ('url = "https://x"\npointer = "value"', "pointer", "RFC 6901"),
        ('url = "https://x"\npointer = "/a~2"', "pointer", "RFC 6901"),
        ("command = []", "command", "program"),
        ('command = [""]', "command", "program"),
        ('command = ["a", 1]', "command", "list of texts"),
        ('command = "a \'b"', "command", "no closing quotation"),
        ('file = "token"', "file", "absolute"),
        ('file = ""', "file", "not empty"),
        ('variable = "A-B"', "variable", "environment variable"),
        ('audience = "a b"', "audience", "without spaces"),
        ("timeout_seconds = 0", "timeout_seconds", "0.1 to 120"),
        ('timeout_seconds = "5"', "timeout_seconds", "number"),
    ],
)
def test_what_does_not_fit_is_refused_at_its_key(tokens, lines, key, said):
    with pytest.raises(ConfigurationError) as caught:
        tokens(f"[token]\n{lines}")
    (problem,) = caught.value.problems
    assert problem.key == f"token.{key}"
    assert said in str(problem)


@pytest.mark.parametrize(
    "lines",
    [
        f'variable = "{JWT_CANARY}"',
        f'file = "{JWT_CANARY}"',
        f'url = "ftp://x/?secret={CANARY}"',
        f'url = "http://example.com/?secret={CANARY}"',
        f'url = "https://me:{CANARY}@x"',
        f'url = "https://me:{CANARY}@[x"',
        f'url = "https://x"\nheaders = "Bearer {CANARY}"',
        f'url = "https://x"\nheaders = ["{CANARY}"]',
        f'url = "https://x"\nheaders = {{ Authorization = ["{CANARY}"] }}',
        f'url = "https://x"\nheaders = {{ Authorization = "{CANARY}\\n" }}',
        f'url = "https://x"\nheaders = {{ Authorization = "é {CANARY}" }}',
        f'url = "https://x"\nheaders = {{ Authorization = "{CANARY} ${{" }}',
        f'url = "https://x"\nheaders = {{ Authorization = "{CANARY} ${{MISSING}}" }}',
        f'url = "https://x"\nheaders = {{ "a b" = "{CANARY}" }}',
        'url = "https://x"\nheaders = { Authorization = "${MULTILINE}" }',
        f'url = "https://x"\nheader = {{ Authorization = "{CANARY}" }}',
        f'url = "https://x"\nheaders = {{ Authorization = "{CANARY} }}',
        f'command = "a --secret \'{CANARY}"',
    ],
)
def test_no_refusal_shows_a_secret(tokens, lines):
    with pytest.raises(ConfigurationError) as caught:
        tokens(f"[token]\n{lines}", environ={"MULTILINE": f"{CANARY}\nx"})
    assert "canary" not in str(caught.value)


def test_headers_take_their_secrets_from_the_environment(tokens):
    (token,) = tokens(
        '[token]\nurl = "https://x"\nheaders = { Authorization = "Bearer ${KEY_1}", X = "plain" }',
        environ={"KEY_1": CANARY},
    )
    assert token.headers == {"Authorization": Secret(f"Bearer {CANARY}"), "X": Secret("plain")}
    assert CANARY not in repr(token)


@pytest.mark.parametrize(
    ("environ", "flags", "expected"),
    [
        ({}, {}, ("http", "team")),
        ({"IMDSD_TOKEN_FILE": "/v"}, {}, ("file", "team")),
        ({"IMDSD_TOKEN_FILE": "/v"}, {"token_command": "c"}, ("command", "team")),
        ({"IMDSD_AUDIENCE": "v"}, {}, ("http", "v")),
        ({"IMDSD_AUDIENCE": "v"}, {"audience": "f"}, ("http", "f")),
    ],
)
def test_a_stronger_layer_replaces_the_source_wholly_and_the_audience_alone(
    tokens, environ, flags, expected
):
    text = '[token]\nurl = "https://x"\npointer = "/t"\naudience = "team"'
    (token,) = tokens(text, environ=environ, **flags)
    assert (token.source, token.audience) == expected


def test_two_sources_in_one_layer_are_refused_and_both_named(tokens):
    with pytest.raises(ConfigurationError, match=r"--token-file.*command and file"):
        tokens("", token_command="c", token_file="/f")


ROLES = f"""
[token]
command = "common"
audience = "common"
[[role]]
name = "own"
arn = "{ARN}"
[role.token]
file = "/own"
[[role]]
name = "main"
default = true
[role.token]
audience = "main"
[[role]]
name = "plain"
arn = "{ARN}"
"""


def test_a_role_may_have_a_source_of_its_own_or_parts_of_one(tokens):
    found = [(token.source, token.audience) for token in tokens(ROLES)]
    assert found == [("file", "common"), ("command", "main"), ("command", "common")]


def test_flags_win_over_the_common_source_and_the_default_roles_own(tokens):
    found = [(t.source, t.audience) for t in tokens(ROLES, token_file="/f", audience="a")]
    assert found == [("file", "a"), ("file", "a"), ("file", "a")]
    assert tokens(ROLES, token_file="/f")[0].file == Path("/own")


@pytest.mark.parametrize(
    ("config", "kind", "description"),
    [
        (TokenConfig("command", "me", ("c", "--for={audience}")), "CommandSource", "c --for=me"),
        (TokenConfig("file", file=Path("/t")), "FileSource", "/t"),
        (TokenConfig("variable", variable="T"), "VariableSource", "T"),
        (TokenConfig("http", "a&b", url="https://x/t?a={audience}"), "HttpSource", "https://x/t"),
        (TokenConfig(), "AmbientSource", ""),
    ],
)
def test_the_source_is_built_that_the_configuration_describes(config, kind, description):
    source = build_source(config, environ={}, ca_bundle=None)
    assert type(source).__name__ == kind
    assert description in source.description
    assert source.renewable is (kind != "VariableSource")
