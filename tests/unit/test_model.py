"""What a role asks for and holds: names, terms, and life counted on two clocks."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.credentials.model import (
    Credentials,
    Moment,
    Snapshot,
    account_of,
    belongs_to,
    role_name_of,
)
from imdsd.credentials.schedule import SERVE_MARGIN_SECONDS
from imdsd.secret import Secret
from tests.fakes.refresh import terms

START = datetime(2030, 1, 1, tzinfo=UTC)
OTHER_ARN = "arn:aws:iam::210987654321:role/other"

partitions = st.sampled_from(["aws", "aws-cn", "aws-us-gov"])
accounts = st.text("0123456789", min_size=12, max_size=12)
names = st.text("abcXYZ019+=,.@-_", min_size=1, max_size=64)
paths = st.lists(names, max_size=3).map(lambda parts: "".join(f"{part}/" for part in parts))
session_names = st.text("abcXYZ019+=,.@-_", min_size=2, max_size=64)
seconds = st.floats(-1e6, 1e6)


def role(partition, account, path, name):
    return f"arn:{partition}:iam::{account}:role/{path}{name}"


def assumed(partition, account, name, session):
    return f"arn:{partition}:sts::{account}:assumed-role/{name}/{session}"


@given(partitions, accounts, paths, names, session_names)
def test_a_session_of_the_role_belongs_to_it_whatever_the_roles_path(
    partition, account, path, name, session
):
    assert belongs_to(
        assumed(partition, account, name, session), role(partition, account, path, name)
    )


roles = st.tuples(partitions, accounts, names)


@given(roles, roles, paths, session_names)
def test_a_session_of_another_partition_account_or_role_does_not(asked, got, path, session):
    partition, account, name = asked
    assert belongs_to(assumed(*got, session), role(partition, account, path, name)) is (
        asked == got
    )


@pytest.mark.parametrize(
    "got",
    [
        "",
        "arn:aws:iam::123456789012:role/dev",
        "arn:aws:sts::123456789012:assumed-role/dev",
        "arn:aws:sts::123456789012:assumed-role/dev/",
        "arn:aws:sts::123456789012:assumed-role/team/dev/session",
        "arn:aws:sts::123456789012:assumed-role/devil/session",
        "arn:aws:sts::123456789012:assumed-role/Dev/session",
        "arn:aws:sts::123456789012:federated-user/dev/session",
        " arn:aws:sts::123456789012:assumed-role/dev/session",
    ],
)
def test_what_is_no_session_of_the_role_does_not_belong_to_it(got):
    assert not belongs_to(got, "arn:aws:iam::123456789012:role/team/dev")


@given(partitions, accounts, paths, names)
def test_the_parts_of_a_role_are_read_from_its_arn(partition, account, path, name):
    arn = role(partition, account, path, name)
    assert account_of(arn) == account
    assert role_name_of(arn) == name


@given(st.text())
def test_what_is_no_arn_has_no_account(text):
    assert account_of(text) == (text.split(":")[4] if text.count(":") >= 5 else "")


# Terms


def test_the_last_role_of_a_chain_is_the_one_that_is_served():
    assert terms().final_arn == terms().role_arn
    assert terms(chain=("arn:aws:iam::1:role/a", OTHER_ARN)).final_arn == OTHER_ARN


@pytest.mark.parametrize(
    "changed",
    [
        {"session_name": "other"},
        {"duration_seconds": 900},
        {"region": "us-east-1"},
        {"sts_endpoint_url": "http://127.0.0.1:1"},
        {"source": "another"},
        {"audience": "another"},
        {"allowed_account_ids": ("123456789012",)},
        {"allowed_account_ids": ("210987654321", "123456789012")},
    ],
)
def test_a_change_that_takes_no_right_away_lets_the_old_set_be_served(changed):
    assert terms(**changed).may_serve_what(terms())


@pytest.mark.parametrize(
    "changed",
    [
        {"role_arn": OTHER_ARN},
        {"chain": (OTHER_ARN,)},
        {"policy": "{}"},
        {"policy_arns": ("arn:aws:iam::aws:policy/ReadOnlyAccess",)},
        {"allowed_account_ids": ("210987654321",)},
    ],
)
def test_a_change_of_role_policy_or_account_stops_the_old_set_at_once(changed):
    assert not terms(**changed).may_serve_what(terms())


def test_a_policy_that_is_dropped_stops_the_old_set_too():
    assert not terms().may_serve_what(terms(policy="{}"))


def test_the_account_that_counts_is_that_of_the_chains_last_role():
    chained = {"chain": (OTHER_ARN,)}
    allowed = terms(**chained, allowed_account_ids=("210987654321",))
    assert allowed.may_serve_what(terms(**chained))
    assert not terms(**chained, allowed_account_ids=("123456789012",)).may_serve_what(
        terms(**chained)
    )


# Life


def snapshot(*, wall_seconds=3600.0, monotonic_seconds=3600.0):
    credentials = Credentials(
        access_key_id="ASIAX",
        secret_access_key=Secret("canary-secret"),
        session_token=Secret("canary-token"),
        issued_at=START,
        expires_at=START + timedelta(seconds=wall_seconds),
        role_arn="arn:aws:iam::123456789012:role/dev",
        assumed_role_arn="arn:aws:sts::123456789012:assumed-role/dev/box",
        environment="here",
        region="eu-central-1",
    )
    return Snapshot(credentials, "documents", monotonic_seconds, monotonic_seconds)


def test_credentials_know_their_account_and_do_not_print():
    held = snapshot()
    assert held.credentials.account_id == "123456789012"
    assert "canary" not in repr(held)


@given(seconds, seconds, seconds, st.floats(0, 1e6))
def test_the_shorter_of_the_two_clocks_counts(life, wall, passed, step):
    held = snapshot(wall_seconds=life, monotonic_seconds=life)
    left = held.remaining_seconds(START + timedelta(seconds=wall), passed)
    assert left == pytest.approx(min(life - wall, life - passed), abs=1e-3)
    assert held.remaining_seconds(START + timedelta(seconds=wall), passed + step) <= left


@given(st.floats(0, 3600), st.floats(0, 1e5))
def test_a_wall_clock_that_is_set_back_never_lengthens_a_life(passed, back):
    held = snapshot()
    left = held.remaining_seconds(START + timedelta(seconds=passed - back), passed)
    assert left <= 3600 - passed + 1e-3


@given(st.floats(0, 3600), st.floats(0, 1e5))
def test_a_suspended_machine_loses_the_time_it_slept(passed, slept):
    held = snapshot()
    left = held.remaining_seconds(START + timedelta(seconds=passed + slept), passed)
    assert left == pytest.approx(3600 - passed - slept, abs=1e-3)


def test_credentials_are_served_until_thirty_seconds_before_their_end():
    held = snapshot()
    last = 3600 - SERVE_MARGIN_SECONDS
    assert held.servable(START, 0)
    assert held.servable(START + timedelta(seconds=last - 1), 0)
    assert not held.servable(START + timedelta(seconds=last), 0)
    assert held.servable(START, last - 1)
    assert not held.servable(START, last)


@given(seconds, seconds, seconds)
def test_a_moment_has_come_when_either_clock_says_so(wait, wall, passed):
    moment = Moment.after(wait, now=START, monotonic=0.0)
    left = moment.remaining_seconds(START + timedelta(seconds=wall), passed)
    assert left == pytest.approx(min(wait - wall, wait - passed), abs=1e-3)
