"""Role session names: whatever the claims say, STS takes what comes out."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imdsd.credentials.session_name import render_session_name, template_fields
from imdsd.errors import ClaimsError, Stage

FIT = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
literals = st.text("abcXYZ019_+=,.@-", max_size=12)
names = st.text(st.characters(exclude_characters="{}"), min_size=1, max_size=12)
values = st.one_of(st.text(min_size=1, max_size=120), st.integers(), st.booleans())


@st.composite
def templates_with_claims(draw):
    fields = draw(st.lists(names, min_size=1, max_size=4))
    template = "".join(draw(literals) + "{" + field + "}" for field in fields) + draw(literals)
    return template, {field: draw(values) for field in fields}


@given(templates_with_claims(), st.text(max_size=80))
@example(("{sub}", {"sub": "é"}), "")
@example(("{host}", {}), "")
def test_whatever_is_filled_in_sts_takes_the_name(case, host):
    template, claims = case
    assert FIT.fullmatch(render_session_name(template, claims=claims, host=host))


@given(templates_with_claims())
def test_the_fields_are_those_of_the_template_in_their_order(case):
    template, _ = case
    expected = tuple(re.findall(r"\{(.*?)\}", template, re.DOTALL))
    if len(re.sub(r"\{.*?\}", "x", template, flags=re.DOTALL)) <= 64:
        assert template_fields(template) == expected


@given(st.text("abc-", min_size=1, max_size=20), st.text("abc", min_size=1, max_size=30))
def test_a_fit_value_that_has_room_is_left_as_it_is(literal, value):
    assert render_session_name(f"{literal}{{sub}}", claims={"sub": value}, host="") == (
        literal + value
    )


@given(st.text("ab", min_size=40, max_size=200), st.text("xy", min_size=40, max_size=200))
def test_every_long_value_keeps_its_beginning(first, second):
    name = render_session_name("{a}@{b}", claims={"a": first, "b": second}, host="")
    kept_first, kept_second = name.split("@")
    assert first.startswith(kept_first)
    assert second.startswith(kept_second)
    assert min(len(kept_first), len(kept_second)) >= 30


@pytest.mark.parametrize(
    ("template", "claims", "expected"),
    [
        ("imdsd-{host}", {}, "imdsd-dev-box.example"),
        ("{sub}", {"sub": "org:42/prj:7"}, "org-42-prj-7"),
        ("{creator_email}", {"creator_email": "ada@example.com"}, "ada@example.com"),
        ("run-{run}", {"run": 17}, "run-17"),
        ("{https://example.com/team}", {"https://example.com/team": "blue"}, "blue"),
        ("{host}", {"host": "a claim"}, "dev-box.example"),
        ("{a}", {"a": "x"}, "imdsd-x"),
        ("{short}-{long}", {"short": "ab", "long": "c" * 90}, "ab-" + "c" * 61),
        ("{sub}", {"sub": "a" * 60 + ":id:" + "b" * 9}, "a" * 60 + "-id"),
    ],
)
def test_a_template_is_filled_in(template, claims, expected):
    assert render_session_name(template, claims=claims, host="dev-box.example") == expected


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({}, "absent"),
        ({"team": ""}, "empty"),
        ({"team": ["a"]}, "a list"),
        ({"team": 1.5}, "a float"),
    ],
)
def test_a_claim_that_cannot_be_filled_in_is_refused_with_what_was_found(claims, found):
    with pytest.raises(ClaimsError) as caught:
        render_session_name("{team}", claims={"sub": "x", **claims}, host="h")
    assert (caught.value.claim, caught.value.found) == ("team", found)
    assert caught.value.stage is Stage.CHECK
    assert "sub" in caught.value.remedy


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("a{b", "partner"),
        ("a}b", "partner"),
        ("{a{b}}", "partner"),
        ("{}", "empty"),
        ("my session", "' '"),
        ("a" * 65, "2 to 64"),
        ("a" * 64 + "{host}", "2 to 64"),
        ("a", "2 to 64"),
        ("", "2 to 64"),
    ],
)
def test_a_template_that_cannot_be_is_refused_before_any_token(template, reason):
    with pytest.raises(ValueError, match=reason):
        template_fields(template)
