"""Which user ids the names of users and groups in the configuration stand for."""

from __future__ import annotations

import grp
import pwd
from typing import TYPE_CHECKING

from imdsd.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable


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
            except KeyError:
                problems.append(
                    Problem("configuration", key, repr(name), "a name that exists, or a number")
                )
    if problems:
        raise ConfigurationError(tuple(problems))
    return frozenset(found)


def _user(name: str) -> set[int]:
    # A container may run as a number that no name stands for.
    return {int(name)} if name.isdecimal() else {pwd.getpwnam(name).pw_uid}


def _members(group: str) -> set[int]:
    entry = grp.getgrgid(int(group)) if group.isdecimal() else grp.getgrnam(group)
    by_list = {pwd.getpwnam(name).pw_uid for name in entry.gr_mem}
    by_primary = {user.pw_uid for user in pwd.getpwall() if user.pw_gid == entry.gr_gid}
    return by_list | by_primary
