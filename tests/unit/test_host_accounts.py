"""Names of users and groups, and the ids they stand for on this machine."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys

import pytest

from imdsd.errors import ConfigurationError
from imdsd.host.accounts import gid_of, names_of, uids_of
from tests.support import lack, need

ME = pwd.getpwuid(os.geteuid())
NOT_THERE = "no-such-name-here"
IN_ANOTHER_ETC = """
mount --bind "$1" /etc/group && shift && exec "$@"
"""
PRINT = (
    "import sys; from imdsd.host.accounts import uids_of; print(*sorted(uids_of([], sys.argv[1:])))"
)


def test_a_user_is_known_by_name_and_by_number():
    assert uids_of([ME.pw_name], []) == {ME.pw_uid}
    assert uids_of([str(ME.pw_uid)], []) == {ME.pw_uid}


def test_a_number_that_no_name_stands_for_is_taken_as_it_is():
    assert uids_of(["54321"], []) == {54321}


@pytest.mark.parametrize("written", [grp.getgrgid(ME.pw_gid).gr_name, str(ME.pw_gid)])
def test_a_group_means_those_whose_primary_group_it_is(written):
    assert ME.pw_uid in uids_of([], [written])


def test_a_group_means_all_its_members_and_nobody_else():
    for group in grp.getgrall():
        listed = {pwd.getpwnam(name).pw_uid for name in group.gr_mem}
        primary = {user.pw_uid for user in pwd.getpwall() if user.pw_gid == group.gr_gid}
        assert uids_of([], [group.gr_name]) == listed | primary


def test_a_name_is_known_for_each_number_that_has_one():
    assert names_of([ME.pw_uid, 54321]) == {ME.pw_uid: ME.pw_name}


def test_no_names_are_no_users():
    assert uids_of([], []) == frozenset()


@pytest.mark.parametrize("group", [NOT_THERE, "4294967294", "99999999999999999999"])
def test_a_group_that_does_not_exist_is_named(group):
    with pytest.raises(ConfigurationError, match=f"allow_groups: found '{group}'"):
        uids_of([], [group])


def test_every_name_that_does_not_exist_is_told_at_once():
    with pytest.raises(ConfigurationError) as caught:
        uids_of([ME.pw_name, NOT_THERE], [NOT_THERE, "another"])
    found = [(problem.key, problem.found) for problem in caught.value.problems]
    assert found == [
        ("allow_users", f"'{NOT_THERE}'"),
        ("allow_groups", f"'{NOT_THERE}'"),
        ("allow_groups", "'another'"),
    ]


def members_where(group_file, *groups):
    """Ask in a mount namespace in which /etc/group is another file."""
    enter = (need("unshare"), "--mount", *(() if ME.pw_uid == 0 else ("--map-root-user",)))
    probe = subprocess.run([*enter, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        lack(f"mount namespaces: {probe.stderr.strip()}")
    asked = (sys.executable, "-c", PRINT, *groups)
    return subprocess.run(
        [*enter, "sh", "-c", IN_ANOTHER_ETC, "sh", group_file, *asked],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_group_that_lists_a_user_who_is_gone_keeps_its_other_members(tmp_path):
    groups = tmp_path / "group"
    groups.write_text(f"root:x:0:\nteam:x:54321:{NOT_THERE},root\n")
    done = members_where(groups, "team")
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


def test_a_single_group_is_known_by_name_and_by_number():
    assert gid_of(grp.getgrgid(ME.pw_gid).gr_name) == gid_of(str(ME.pw_gid)) == ME.pw_gid
    assert gid_of(None) is None


def test_a_group_for_the_bearer_may_have_a_number_and_no_name():
    number = next(gid for gid in range(2000, 60000) if not has_name(gid))
    assert gid_of(str(number)) == number


def has_name(gid):
    try:
        return bool(grp.getgrgid(gid))
    except KeyError:
        return False


@pytest.mark.parametrize("name", [NOT_THERE, str(2**32 - 1), "99999999999999999999"])
def test_a_group_for_the_bearer_that_is_not_there_is_named_with_its_key(name):
    with pytest.raises(ConfigurationError) as caught:
        gid_of(name)
    (problem,) = caught.value.problems
    assert problem.key == "bearer_group"
    assert problem.found == repr(name)
