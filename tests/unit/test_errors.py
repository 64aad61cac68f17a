"""Everything that can go wrong: attributes first, and a text that a person can use."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd import errors
from imdsd.errors import (
    ClaimsError,
    ConfigurationError,
    DurationRefusedError,
    ExchangeError,
    ImdsdError,
    MintError,
    Problem,
    PublishError,
    RefreshError,
    Retry,
    Stage,
)

CLASSES = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, Exception) and each.__module__ == errors.__name__
]
PROBLEM = Problem("imdsd.toml", "role.arn", "'x'", "an ARN")


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_belongs_to_the_one_tree(kind):
    assert issubclass(kind, ImdsdError)
    assert kind is ImdsdError or kind.__doc__ != ImdsdError.__doc__


@pytest.mark.parametrize(
    ("kind", "stage", "code"),
    [
        (MintError, Stage.MINT, "MintFailed"),
        (ExchangeError, Stage.EXCHANGE, "ExchangeFailed"),
        (DurationRefusedError, Stage.EXCHANGE, "ExchangeFailed"),
        (PublishError, Stage.PUBLISH, "PublishRefused"),
    ],
)
def test_a_refresh_error_knows_its_stage_and_a_code(kind, stage, code):
    error = kind("it failed")
    assert (error.stage, error.code) == (stage, code)
    assert kind("it failed", code="Special").code == "Special"
    assert kind.code == code


def test_a_refresh_error_says_what_to_do_after_what_happened():
    error = MintError("the command is not there", remedy="install it")
    assert str(error) == "the command is not there; install it"
    assert (error.reason, error.remedy) == ("the command is not there", "install it")
    assert str(MintError("it failed")) == "it failed"


@given(st.text(max_size=400).map(lambda text: text * 3))
def test_what_an_error_says_is_one_printable_line_of_bounded_length(text):
    error = RefreshError(text, remedy=text)
    for said in (error.reason, error.remedy):
        assert not said or said.isprintable()
        assert len(said) <= 500
    if text.isprintable() and len(text) <= 500:
        assert error.reason.split() == text.split()


def test_a_long_claim_leaves_room_for_what_was_expected():
    error = ClaimsError("aud", found="x" * 16_000, expected="'sts.amazonaws.com'")
    assert error.reason.endswith("…, expected 'sts.amazonaws.com'")
    assert len(error.found) == 200


@pytest.mark.parametrize(
    ("retry", "retryable"), [(Retry.ALWAYS, True), (Retry.LIMITED, True), (Retry.NEVER, False)]
)
def test_whether_another_try_may_succeed_follows_from_the_kind_of_retry(retry, retryable):
    assert RefreshError("x", retry=retry).retryable is retryable


def test_a_refresh_is_retried_for_ever_unless_the_error_says_otherwise():
    error = RefreshError("x")
    assert (error.retry, error.retry_after_seconds) == (Retry.ALWAYS, None)


def test_a_refused_claim_carries_what_was_found_and_expected():
    error = ClaimsError("aud", found="'x'", expected="'sts.amazonaws.com'", remedy="set audience")
    assert str(error) == "aud is 'x', expected 'sts.amazonaws.com'; set audience"
    assert (error.claim, error.found, error.expected) == ("aud", "'x'", "'sts.amazonaws.com'")
    assert (error.stage, error.code) == (Stage.CHECK, "TokenRefused")


def test_a_problem_says_where_what_and_what_instead():
    assert str(PROBLEM) == "imdsd.toml: role.arn: found 'x', expected an ARN"
    hinted = Problem("imdsd.toml", "rolle", "a key", "a known one", "did you mean role?")
    assert str(hinted).endswith("expected a known one; did you mean role?")


@pytest.mark.parametrize(("key", "shown"), [("", "''"), ("a\x1b[2J", "a [2J"), ("k\n", "k")])
def test_a_problem_is_one_line_whatever_its_key_is_called(key, shown):
    assert str(Problem("f", key, "x", "y")) == f"f: {shown}: found x, expected y"
    assert len(str(Problem("f", "k" * 9000, "x", "y"))) < 300


def test_a_configuration_error_names_every_problem_on_a_line_of_its_own():
    other = Problem("IMDSD_REGION", "region", "''", "a region")
    error = ConfigurationError((PROBLEM, other))
    assert str(error).splitlines() == [str(PROBLEM), str(other)]
    assert error.problems == (PROBLEM, other)
