"""A value that does not print, whatever is done to it."""

import copy
import dataclasses
import json
import logging
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.secret import Secret

CANARY = "canary-0123456789"
texts = st.text(st.characters(exclude_categories=()))


@dataclasses.dataclass
class Holder:
    secret: Secret


@pytest.mark.parametrize(
    "printed",
    [
        repr,
        str,
        "{}".format,
        "{!r}".format,
        "%s".__mod__,
        "%r".__mod__,
        Holder,
        lambda secret: [secret],
        lambda secret: {"key": secret},
        ValueError,
        lambda secret: logging.LogRecord("n", 10, "p", 1, "%s", (secret,), None).getMessage(),
    ],
)
def test_a_secret_prints_redacted(printed):
    text = str(printed(Secret(CANARY)))
    assert "Secret(…)" in text
    assert CANARY not in text


def test_reveal_gives_it_back():
    assert Secret(CANARY).reveal() == CANARY


@pytest.mark.parametrize(
    "written", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, "{:>20}".format]
)
def test_a_secret_is_not_written_or_copied_by_accident(written):
    with pytest.raises(TypeError) as caught:
        written(Secret(CANARY))
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_dataclass_with_a_secret_does_not_turn_into_a_dictionary():
    with pytest.raises(TypeError, match="reveal"):
        dataclasses.asdict(Holder(Secret(CANARY)))


def test_a_secret_is_no_key_of_a_table():
    with pytest.raises(TypeError, match="unhashable"):
        {Secret(CANARY): 1}


def test_a_secret_has_no_room_for_anything_else():
    with pytest.raises(AttributeError):
        Secret(CANARY).note = "x"
    assert not hasattr(Secret(CANARY), "__dict__")


@given(texts, texts)
def test_secrets_are_equal_when_their_texts_are(one, other):
    assert (Secret(one) == Secret(other)) is (one == other)
    assert Secret(one) == Secret(one)


@given(texts)
def test_a_secret_equals_nothing_but_a_secret(text):
    assert Secret(text) != text
    assert text != Secret(text)


@given(texts)
def test_an_empty_secret_counts_as_none(text):
    assert bool(Secret(text)) is bool(text)
