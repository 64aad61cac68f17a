"""Which failures of one trouble are news: a line is logged for a change, not for a try."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imdsd.credentials.model import RoleState

# A balancer before a failing STS gives two reasons by turns; a stranger makes new ones up.
MOST_REASONS = 6


class News:
    """The states and codes of a role's trouble that were told of, until it is over."""

    def __init__(self) -> None:
        self._told: set[tuple[RoleState, str]] = set()

    def is_new(self, state: RoleState, code: str) -> bool:
        """Take note of a failure; say whether its state or, of the first few, its code is new."""
        new_state = all(state is not known for known, _ in self._told)
        new_code = (state, code) not in self._told and len(self._told) < MOST_REASONS
        if new_state or new_code:
            self._told.add((state, code))
        return new_state or new_code

    def over(self) -> None:
        """Forget the trouble: whatever comes next is news."""
        self._told.clear()
