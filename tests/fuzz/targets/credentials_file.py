"""A file of AWS credentials that is somebody's own: ours go in and out, all else stays.

What a file says is read by Python's configparser, as botocore does.
"""

from __future__ import annotations

import configparser
import io

from hypothesis import strategies as st

from imdsd.host.aws_credentials_file.sections import (
    OWNED,
    profiles_of_ours,
    standing_in_the_way,
    with_profile,
    without_profile,
)
from tests.fuzz.shapes import odd_texts, spoiled
from tests.fuzz.target import Target

_PROFILE = "dev"
_LINES = ("# expires 2030-01-01T01:00:00Z, written by imdsd login", "aws_access_key_id = NEW")
_OURS = {"aws_access_key_id": "NEW"}

Sections = dict[str, dict[str, str]]


def check(data: bytes) -> None:
    """Write a profile into the file, replace it, and take it out."""
    standing_in_the_way(data, _PROFILE)
    written = with_profile(data, _PROFILE, _LINES)
    assert profiles_of_ours(written)[_PROFILE] == "2030-01-01T01:00:00Z"
    profiles_of_ours(without_profile(written, _PROFILE))
    before = _read(data)
    if before is None:
        return  # no SDK can read it
    _assert_same_but_ours(before, _read(written), ours=_OURS)
    _assert_same_but_ours(before, _read(with_profile(written, _PROFILE, _LINES)), ours=_OURS)
    _assert_same_but_ours(before, _read(without_profile(written, _PROFILE)), ours={})


def _assert_same_but_ours(
    before: Sections, after: Sections | None, *, ours: dict[str, str]
) -> None:
    assert after is not None, "the file cannot be read any more"
    kept = {key: value for key, value in before.get(_PROFILE, {}).items() if key not in OWNED}
    assert after.get(_PROFILE, {}) == {**kept, **ours}
    for name in (before.keys() | after.keys()) - {_PROFILE}:
        assert after.get(name) == before.get(name), name


def _read(data: bytes) -> Sections | None:
    # The default section stands in every other: it is kept apart, as any section is.
    parser = configparser.RawConfigParser(default_section="")
    try:
        parser.read_file(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
    except (UnicodeDecodeError, configparser.Error):
        return None
    # Other SDKs take [ dev ] and [dev][x] for [dev], and so do we; who has both has none for sure.
    found = {name.partition("]")[0].strip(): dict(parser[name]) for name in parser.sections()}
    return found if len(found) == len(parser.sections()) else None


def _file(lines: list[str], newline: str) -> bytes:
    return newline.join(lines).encode("utf-8", "surrogatepass")


_WORDS = (
    "[dev]", "[default]", "  [dev]", "[ dev ]", "[dev] ; x", "[dev][x]", "aws_access_key_id = OLD",
    "aws_secret_access_key: y", "  continued", "\tmore", "# a comment", "; another", "", " ", "region = x",
    "  aws_access_key_id = OLD", "AWS_SESSION_TOKEN = t", _LINES[0], "key", "= value", "role_arn=a",
    "\u00a0x = 1", "[DEFAULT]", "a = [dev]", "\x0c", "\x1c[dev]", "\u2028[dev]",
)  # fmt: skip
_SEEDS = (
    b"[default]\naws_access_key_id = A\n\n[dev]\naws_access_key_id = B\nregion = x\n",
    b"# mine\r\n[dev]\r\naws_access_key_id=A\r\naws_session_token = t\r\n  continued\r\n[x]\r\n",
    b"  [dev]\n  a = 1\n[b]\n  c = 2",
    b"\xef\xbb\xbf[dev]\nkey = value # no comment\n",
    b"",
)

TARGET = Target(
    check,
    cases=st.one_of(
        st.builds(
            _file,
            st.lists(
                st.one_of(st.sampled_from(_WORDS), st.sampled_from(_WORDS), odd_texts()), max_size=9
            ),
            st.sampled_from(("\n", "\n", "\r\n", "\r")),
        ),
        spoiled(st.sampled_from(_SEEDS)),
    ),
    seeds=_SEEDS,
    longest=512,
)
