"""Whatever a file, a variable or a flag says: it is taken, or it is a problem; never a traceback."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imdsd.cli.check_config import summary
from imdsd.config import load
from imdsd.config.options import AWS_VARIABLES, OPTIONS
from imdsd.config.tables import KEYS
from imdsd.errors import ConfigurationError

ARN = "arn:aws:iam::123456789012:role/dev"
PLACES = sorted((table, key) for table, keys in KEYS.items() for key in keys)
LONG_NAME = "/" + "n" * 300

ODD_TEXTS = (
    "", " ", "\0", "/\0", "~", "~/", "~nobody-here/x", "/" * 5000, LONG_NAME, "x" * 20_000,
    "/proc/1/cwd/secret", "/dev/null", "/", "http://[::1", "http://[::1]x", "https://[v1.x]/",
    "https://b\u00fccher.example/", "https://\u2100.example/", "https://" + "a" * 64 + ".example",
    "https://a..b/", "https://-/", "https://host:99999/", "https://host:port/", "https://host:/",
    "https://x\u200b.example/", "https://1.2.3.4.5/", "http://127.1/", "http://localhost:0/",
    "https://host\\@other/", "https://host/\u00e9", "https://h/{audience}", "https://h/#f",
    "https://h/%", "https://h/\x7f", "[::1%25lo]:80", "[::1%lo]:80", "127.0.0.1:\u0661",
    "127.0.0.1:99999", "[fe80::1%eth0]:1", "{host}", "{", "}", "{{", "{0}", "{a.b}", "{sub!r}",
    "{sub:>9999999999}", "[", "{}", '{"Statement":1}', '{"Statement":' + "[" * 5000, "NaN",
    "\ud800", "\udcff", "\U0010ffff", "a\nb", "'", '"', "eyJhbGciOi.J9.x", "arn:", ARN, "${HOME}", "${", "$",
)  # fmt: skip
ODD_NUMBERS = (0, -1, 1, 80, 900, 2**63 - 1, -(2**63), 2**63, 10**400)
TOO_LONG_TO_PRINT = 16**6000


def odd_texts():
    urls = st.text(st.sampled_from("hts:/[]@.%?#1a\u00fc\u200b\0 "), max_size=30)
    return st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=40), urls.map("https://".__add__))


def odd_values():
    plain = st.one_of(
        odd_texts(),
        st.sampled_from(ODD_NUMBERS),
        st.integers(),
        st.floats(),
        st.booleans(),
        st.just(datetime(2030, 1, 1, tzinfo=UTC)),
    )
    keys = st.one_of(st.sampled_from(PLACES).map(lambda place: place[1]), odd_texts())
    return st.recursive(
        plain,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)
        ),
        max_leaves=6,
    )


def toml(value):
    """Write a value as TOML reads it."""
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        pairs = (f"{toml(key)} = {toml(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return f'"{"".join(map(escaped, value))}"'
    # In hexadecimal, as the longest of them has no other form.
    return hex(value) if type(value) is int and value >= 0 else repr(value).lower()


def escaped(character):
    # Half a surrogate pair is nothing that TOML can say.
    number = ord(character)
    if character.isalnum() and number < 128:
        return character
    return f"\\U{0xFFFD if 0xD800 <= number < 0xE000 else number:08x}"


def document(table, key, value):
    """Return a file in which one key of one table has a value, beside all it needs."""
    assignment = f"{key} = {toml(value)}\n"
    role = f'[[role]]\nname = "dev"\narn = "{ARN}"\n'
    if key == "role":
        return assignment
    if table == "":
        return assignment + role
    if table == "listen":
        beside = "" if key == "address" else ', address = "127.0.0.1:1"'
        return f"listen = [{{ {assignment.strip()}{beside} }}]\n{role}"
    if table == "role":
        return (
            "".join(line for line in role.splitlines(True) if not line.startswith(key)) + assignment
        )
    return f"[token]\n{assignment}{role}"


def judge(*, flags, environ):
    """Return what `imdsd check-config` says; all but a ConfigurationError comes through."""
    try:
        config = load(flags=flags, environ=environ, usual=())
    except ConfigurationError as error:
        return str(error)
    return "\n".join(summary(config, environ=environ))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("odd") / "config.toml"


@pytest.mark.parametrize(("table", "key"), PLACES, ids=lambda part: part or "top")
def test_an_odd_text_or_number_in_the_file_is_taken_or_is_a_problem(path, table, key):
    others = (TOO_LONG_TO_PRINT, 1.5, float("nan"), float("inf"), True, [], {})
    for value in (*ODD_TEXTS, *ODD_NUMBERS, *others):
        path.write_text(document(table, key, value))
        assert judge(flags={"config": str(path)}, environ={"HOME": "/nowhere"})


@given(place=st.sampled_from(PLACES), value=odd_values())
def test_any_value_of_any_key_of_the_file_is_taken_or_is_a_problem(path, place, value):
    path.write_text(document(*place, value))
    assert judge(flags={"config": str(path)}, environ={"HOME": "/nowhere"})


@given(raw=st.binary(max_size=60))
@example(b"a = 0x" + b"f" * 50_000)
@example(b"a" * 1000 + b" = 1")
@example(b"a." * 2_000 + b"a = 1")
def test_any_bytes_as_the_file_are_taken_or_are_a_problem(path, raw):
    path.write_bytes(raw)
    assert judge(flags={"config": str(path), "role_arn": ARN}, environ={})


@pytest.mark.parametrize("name", [option.name for option in OPTIONS])
@given(text=odd_texts())
@example("/\0")
@example(LONG_NAME)
def test_any_text_of_a_flag_or_variable_is_taken_or_is_a_problem(name, text):
    given = [text] if name == "listen" else text
    assert judge(flags={"role_arn": ARN, name: given}, environ={})
    assert judge(flags={"role_arn": ARN}, environ={f"IMDSD_{name.upper()}": text})


@pytest.mark.parametrize("name", [*(each[0] for each in AWS_VARIABLES), "HOME"])
@given(text=odd_texts())
@example(LONG_NAME)
@example("/\0")
def test_any_text_of_another_variable_is_taken_or_is_a_problem(name, text):
    assert judge(flags={"role_arn": ARN}, environ={name: text})
