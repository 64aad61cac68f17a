"""What the daemon and its exchange process say to each other."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.daemon.exchanging.messages import Issued, Job, Refused, job_of, line, result_of
from imdsd.errors import DurationRefusedError, ExchangeError, Retry
from imdsd.secret import Secret
from imdsd.sts import StsSession

# A lone surrogate is no text that a file or STS can hold.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
ARN = "arn:aws:iam::123456789012:role/dev"
CANARY = "canary-of-a-token"


def job(**changes):
    usual = {
        "region": "eu-central-1",
        "endpoint_url": None,
        "ca_bundle": None,
        "token": Secret(CANARY),
        "role_arn": ARN,
        "chain": (),
        "session_name": "imdsd-box",
        "duration_seconds": 3600,
        "policy": None,
        "policy_arns": (),
    }
    return Job(**{**usual, **changes})


JOBS = st.builds(
    job,
    endpoint_url=st.none() | TEXTS,
    ca_bundle=st.none() | st.binary(),
    token=st.builds(Secret, TEXTS),
    chain=st.lists(TEXTS).map(tuple),
    duration_seconds=st.integers(0, 43200),
    policy=st.none() | TEXTS,
    policy_arns=st.lists(TEXTS).map(tuple),
)
ERRORS = st.builds(
    lambda kind, reason, **more: kind(reason, **more),
    st.sampled_from([ExchangeError, DurationRefusedError]),
    TEXTS,
    remedy=TEXTS,
    retry=st.sampled_from(Retry),
    retry_after_seconds=st.none() | st.floats(0, 1e6),
    throttled=st.booleans(),
    code=TEXTS.filter(bool),
)


@given(st.integers(0), JOBS)
def test_a_job_arrives_as_it_was_sent_in_one_line(number, sent):
    text = line(number, sent)
    assert text.count(b"\n") == 1
    assert job_of(text) == (number, sent)


@given(ERRORS)
def test_an_error_arrives_as_it_was_raised(error):
    number, refused = result_of(line(7, Refused.by(error)))
    told = refused.error()
    assert number == 7
    assert type(told) is type(error)
    assert vars(told) == vars(error)
    assert str(told) == str(error)


def test_a_session_arrives_as_it_was_issued():
    expires_at = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
    session = StsSession("ASIAEXAMPLE", Secret("key"), Secret("token"), expires_at, ARN)
    assert result_of(line(3, Issued(session))) == (3, Issued(session))


def test_nothing_that_is_said_prints_a_secret():
    session = StsSession("A", Secret(CANARY), Secret(CANARY), datetime.now(UTC), ARN)  # noqa: TID251
    assert CANARY not in repr((job(), Issued(session)))


@pytest.mark.parametrize("text", [b"", b"{}", b'[1,{"region":"eu-central-1"}]', b"[1"])
def test_what_is_no_job_is_refused(text):
    with pytest.raises(msgspec.MsgspecError):
        job_of(text)
