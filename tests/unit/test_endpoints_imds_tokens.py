"""The tokens of the IMDS protocol."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.endpoints.imds_tokens import ImdsTokens, parse_ttl
from imdsd.secret import Secret
from tests.fakes.clock import START

TOKENS = ImdsTokens(Secret("a bearer"))
EARLIER = "AABpVg1gwLMoe5Y4MGsYckAMw-VHI_Rbqek1lfrRmAUfmbAxz0Lrh0vI"
"""What an earlier build gave that bearer at the start, for six hours."""
ttls = st.integers(1, 21600)


@given(ttls)
def test_a_token_has_the_length_and_alphabet_of_ec2s(ttl):
    token = TOKENS.issue(ttl, now=START)
    assert len(token) == 56
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(ttls, st.integers(0, 30000))
def test_a_token_is_good_for_as_long_as_was_asked(ttl, elapsed):
    token = TOKENS.issue(ttl, now=START)
    left = TOKENS.remaining_seconds(token, now=START + timedelta(seconds=elapsed))
    assert left == (ttl - elapsed if elapsed < ttl else None)


@pytest.mark.parametrize(("set_back", "left"), [(0, 21600), (1, None), (3600, None)])
def test_a_clock_set_back_makes_no_token_good_for_longer_than_any_may_be(set_back, left):
    token = TOKENS.issue(21600, now=START)
    now = START - timedelta(seconds=set_back)
    assert TOKENS.remaining_seconds(token, now=now) == left


def test_a_token_outlives_a_restart_with_the_same_bearer():
    token = TOKENS.issue(60, now=START)
    assert ImdsTokens(Secret("a bearer")).remaining_seconds(token, now=START) == 60


def test_a_token_outlives_an_upgrade():
    assert TOKENS.remaining_seconds(EARLIER, now=START) == 21600


@pytest.mark.parametrize(
    "text",
    [
        EARLIER.replace("-", "+"), EARLIER.replace("_", "/"),
        EARLIER + "=", EARLIER + "\n", EARLIER + "AAAA", EARLIER + "\xe9", "!" + EARLIER,
        EARLIER[:-1], EARLIER[:-4], EARLIER[:20], "\xe9" * 56, "=" * 56, "A" * 56,
    ],
)  # fmt: skip
def test_a_token_has_one_spelling(text):
    assert TOKENS.remaining_seconds(text, now=START) is None


def test_no_two_tokens_are_alike():
    assert len({TOKENS.issue(60, now=START) for _ in range(100)}) == 100


def test_a_token_dies_with_the_bearer():
    token = TOKENS.issue(60, now=START)
    assert ImdsTokens(Secret("another")).remaining_seconds(token, now=START) is None


@given(st.integers(0, 55), st.characters(max_codepoint=127))
def test_a_token_with_one_character_changed_is_forged(position, character):
    token = TOKENS.issue(60, now=START)
    if token[position] != character:
        forged = token[:position] + character + token[position + 1 :]
        assert TOKENS.remaining_seconds(forged, now=START) is None


@given(st.integers(1, 21600))
def test_a_token_in_the_other_alphabet_of_base64_was_not_issued(ttl):
    token = TOKENS.issue(ttl, now=START)
    respelled = token.replace("-", "+").replace("_", "/")
    if respelled != token:
        assert TOKENS.remaining_seconds(respelled, now=START) is None


@given(st.text(max_size=200))
def test_no_text_is_a_token_by_accident(text):
    assert TOKENS.remaining_seconds(text, now=START) is None


@pytest.mark.parametrize("seconds", [1, 10, 60, 300, 600, 21600])
def test_whole_seconds_up_to_six_hours_are_a_ttl(seconds):
    assert parse_ttl(str(seconds)) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "+60", "21601", "1e3", "60.0", "6 0", " 60", "0x3c", "٦٠", "²", "9" * 5000],
)
def test_anything_else_is_none(text):
    assert parse_ttl(text) is None
