"""What the verbs that ask a running daemon have in common."""

from __future__ import annotations

import pytest

from imdsd.cli._asking import await_role
from imdsd.client import Deadline
from imdsd.errors import NoDaemonError
from tests.fakes.waiting_clock import FakeWaitingClock


class Frozen:
    """A daemon that notes how long it was given to answer, and does not."""

    def get(self, path, *, seconds):
        self.given_seconds = seconds
        raise NoDaemonError("it is frozen")


@pytest.mark.parametrize(("left", "given"), [(0, 1), (3, 3), (60, 5)])
def test_an_answer_has_what_is_left_but_a_second_at_least_and_five_at_most(left, given):
    daemon, deadline = Frozen(), Deadline.after(left, clock=FakeWaitingClock())
    with pytest.raises(NoDaemonError, match="it is frozen"):
        await_role(daemon, None, until=lambda role: role.served, deadline=deadline)
    assert daemon.given_seconds == given
