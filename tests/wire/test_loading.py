"""Case files that say less than they seem to, or something else, are refused."""

import pytest

from tests.wire.loading import BadCaseError, load_cases

GOOD = """
[[case]]
name = "a-case"
reason = "some client of somebody's needs it"
path = "/latest/"
expect.status = 200
"""


@pytest.fixture
def load(tmp_path):
    def load(text, *, name="cases.toml"):
        (tmp_path / name).write_text(text)
        return load_cases(tmp_path, needs=("plain", "full"))

    return load


def refused(load, text):
    with pytest.raises(BadCaseError) as caught:
        load(text)
    return str(caught.value)


def with_line(line):
    return GOOD.replace('path = "/latest/"', f'path = "/latest/"\n{line}')


def test_a_case_has_usual_values(load):
    (case,) = load(GOOD)
    assert (case.method, case.needs, case.on) == ("GET", "plain", ("imdsd", "ec2"))
    assert case.expect.status == (200,)
    assert case.shows == "valid"


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ('metod = "PUT"', "'method'"),
        ("expect.statuss = 200", "'status'"),
        ('expect.body_matchs = "x"', "'body_matches'"),
        ('token = "forget"', "'forged'"),
        ('on = ["imds"]', "'imdsd'"),
        ('needs = "ful"', "'full'"),
        ('headers = { X = "{tokn}" }', "'token'"),
        ('expect.body = "{regionn}"', "'region'"),
    ],
)
def test_a_wrong_word_is_refused_with_file_case_and_the_nearest_right_one(load, line, nearest):
    message = refused(load, with_line(line))
    assert message.startswith("cases.toml, case 'a-case'")
    assert f"did you mean {nearest}?" in message


@pytest.mark.parametrize(
    "line",
    [
        "method = 1",
        'headers = "X: 1"',
        "headers = { X = 1 }",
        'headers = [["X"]]',
        'raw = ["GET / HTTP/1.1", "", ""]',
        "expect.closed = 1",
        "expect.answers = true",
        'expect.body_matches = "("',
        'expect.headers = { X = "~(" }',
        'expect.json = { X = "~(" }',
        'expect.body = "x"\nexpect.body_empty = true',
        "each = []",
        'each = ["{each}"]',
        "each = { a = 1 }",
    ],
)
def test_a_wrong_value_is_refused(load, line):
    assert refused(load, with_line(line)).startswith("cases.toml, case 'a-case'")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('reason = "some client of somebody\'s needs it"', ""),
        ('reason = "some client of somebody\'s needs it"', 'reason = "   "'),
        ('reason = "some client of somebody\'s needs it"', 'reason = "because"'),
        ('path = "/latest/"', ""),
        ('path = "/latest/"', 'path = "latest/"'),
        ("expect.status = 200", ""),
        ("expect.status = 200", 'expect.status = "200"'),
        ("expect.status = 200", "expect.status = []"),
        ("expect.status = 200", "expect.status = true"),
        ("expect.status = 200", "expect.status = 100"),
        ('name = "a-case"', ""),
        ('name = "a-case"', 'name = "A case"'),
        ("[[case]]", "[[cases]]"),
        ("[[case]]", "[case]"),
        ("expect.status = 200", "expect.status = = 200"),
    ],
)
def test_a_case_that_lacks_something_is_refused(load, old, new):
    assert old in GOOD
    assert refused(load, GOOD.replace(old, new)).startswith("cases.toml")


def test_a_name_stands_once_in_all_files(load):
    load(GOOD, name="another.toml")
    message = refused(load, GOOD)
    assert "cases.toml, case 'a-case'" in message
    assert "another.toml" in message


def test_a_folder_without_cases_is_refused(load):
    assert "no case" in refused(load, "")


def test_a_case_is_repeated_with_each_value(load):
    one, two = load(with_line('each = { spaced = " 1", plus = "+1" }\nheaders = { X = "{each}" }'))
    assert (one.name, one.each) == ("a-case[spaced]", " 1")
    assert (two.name, two.each) == ("a-case[plus]", "+1")
    assert one.filled(lambda text: text.replace("{each}", one.each)).headers == (("X", " 1"),)


def test_defaults_hold_where_a_case_says_nothing(load):
    defaults = '[defaults]\nmethod = "PUT"\nexpect.headers = { A = "1" }\nexpect.status = 404\n'
    (case,) = load(defaults + GOOD)
    assert case.method == "PUT"
    assert case.expect.headers == (("A", "1"),)
    assert case.expect.status == (200,)


def test_defaults_make_no_raw_request(load):
    raw = GOOD.replace('path = "/latest/"', 'raw = ["GET /healthz HTTP/1.1", "", ""]')
    (case,) = load('[defaults]\nmethod = "PUT"\npath = "/x"\n' + raw)
    assert (case.verb, case.target, case.is_imds) == ("GET", "/healthz", False)


@pytest.mark.parametrize("line", ['name = "x"', 'reason = "y"', 'each = ["z"]'])
def test_what_is_a_case_s_own_is_no_default(load, line):
    assert "[defaults]" in refused(load, f"[defaults]\n{line}\n{GOOD}")


@pytest.mark.parametrize(
    ("line", "shows"),
    [
        ('method = "HEAD"', "valid"),
        ('method = "PUT"', "none"),
        ('token = "none"', "none"),
        ('token = "expired"', "expired"),
    ],
)
def test_a_read_of_metadata_shows_a_token_unless_told_otherwise(load, line, shows):
    (case,) = load(with_line(line))
    assert case.shows == shows


@pytest.mark.parametrize("path", ["/latest/api/token", "//latest/api/token/", "/healthz"])
def test_other_requests_show_none(load, path):
    (case,) = load(GOOD.replace("/latest/", path))
    assert case.shows == "none"
