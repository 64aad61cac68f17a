"""Which user ids the names of users and groups in the configuration stand for."""

from __future__ import annotations

import contextlib
import grp
import pwd
from typing import TYPE_CHECKING

from imdsd.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

# (gid_t) -1, which to chown(2) is no group but "leave it as it is".
_NO_GROUP = 2**32 - 1


def uids_of(users: Iterable[str], groups: Iterable[str]) -> frozenset[int]:
    """Return the ids of these users and of every member of these groups.

    Resolved once, so that no request waits for a directory service. Raises
    `ConfigurationError` naming every user and group that does not exist.
    """
    found: set[int] = set()
    problems = []
    for key, names, look_up in (
        ("allow_users", users, _user),
        ("allow_groups", groups, _members),
    ):
        for name in names:
            try:
                found |= look_up(name)
            except (KeyError, OverflowError):
                problems.append(
                    Problem("configuration", key, repr(name), "a name that exists, or a number")
                )
    if problems:
        raise ConfigurationError(tuple(problems))
    return frozenset(found)


def names_of(uids: Iterable[int]) -> dict[int, str]:
    """Return the names of those user ids that have one; once, as above."""
    found = {}
    for uid in uids:
        with contextlib.suppress(KeyError, OverflowError):
            found[uid] = pwd.getpwuid(uid).pw_name
    return found


def gid_of(group: str | None) -> int | None:
    """Return a group's id, None for no group; raise `ConfigurationError` when there is none."""
    if group is None:
        return None
    # A container may be in a group that has a number only.
    if group.isdecimal() and int(group) < _NO_GROUP:
        return int(group)
    try:
        return _group(group).gr_gid
    except (KeyError, OverflowError):
        problem = Problem(
            "configuration", "bearer_group", repr(group), "a name that exists, or a number"
        )
        raise ConfigurationError((problem,)) from None


def _user(name: str) -> set[int]:
    # A container may run as a number that no name stands for.
    return {int(name)} if name.isdecimal() else {pwd.getpwnam(name).pw_uid}


def members_of(gid: int) -> frozenset[int]:
    """Return the users of a group; none for a number that no group has."""
    try:
        return frozenset(_members(str(gid)))
    except (KeyError, OverflowError):
        return frozenset(user.pw_uid for user in pwd.getpwall() if user.pw_gid == gid)


def _members(group: str) -> set[int]:
    entry = _group(group)
    found = {user.pw_uid for user in pwd.getpwall() if user.pw_gid == entry.gr_gid}
    for name in entry.gr_mem:
        # A group may still list a user who is gone.
        with contextlib.suppress(KeyError):
            found.add(pwd.getpwnam(name).pw_uid)
    return found


def _group(name: str) -> grp.struct_group:
    return grp.getgrgid(int(name)) if name.isdecimal() else grp.getgrnam(name)
