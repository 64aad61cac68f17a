from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsd.cli._config_file import file_text, given_flags
from imdsd.config import load
from imdsd.config.document import _parse  # what reads a file reads this text
from imdsd.errors import UsageError
from tests.fakes.installer import ARN

COMPARED = ("roles", "default_role", "listen", "allow_imdsv1", "log_level", "log_format", "token")


def loaded(text, tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(text)
    return load(flags={"config": str(path)}, environ={})


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"region": "eu-west-1", "duration_seconds": "1800", "session_name": "a-{host}"},
        {"token_command": "issuer \"two words\" 'x' --aud {audience}", "audience": "sts"},
        {"token_file": "/run/token"},
        {"listen": ["127.0.0.1:1", "[::1]:3"], "allow_imdsv1": True},
        {"log_level": "debug", "log_format": "json"},
    ],
)
def test_the_file_says_what_the_flags_say(flags, tmp_path):
    flags = {"role_arn": ARN, **flags}
    by_flags = load(flags={**flags, "config": "/dev/null"}, environ={})
    by_file = loaded(file_text(flags, {}), tmp_path)
    for key in COMPARED:
        assert getattr(by_file, key) == getattr(by_flags, key)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_as_it_was(text):
    document = _parse(None, file_text({"session_name": text}, {}))
    assert document.problem is None
    assert document.tables["role"] == [{"session_name": text}]


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(UsageError, match="no text that a configuration file can hold"):
        file_text({"session_name": "\udcff"}, {})


def test_flags_win_over_variables_and_those_over_awss_own(tmp_path):
    environ = {"AWS_ROLE_ARN": ARN + "-c", "IMDSD_ROLE_ARN": ARN + "-b", "AWS_REGION": "eu-west-1"}
    assert loaded(file_text({"role_arn": ARN}, environ), tmp_path).roles[0].arn == ARN
    assert loaded(file_text({}, environ), tmp_path).roles[0].arn == ARN + "-b"
    assert loaded(file_text({}, environ), tmp_path).roles[0].region == "eu-west-1"


def test_the_name_of_another_file_is_not_written_into_this_one():
    assert b"config =" not in file_text({"config": "/x", "role_arn": ARN}, {"IMDSD_CONFIG": "/y"})


def test_given_flags_are_named_as_they_are_typed():
    assert given_flags({"role_arn": ARN, "region": None, "yes": True}) == ["--role-arn"]
