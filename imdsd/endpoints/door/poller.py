"""The only module that asks the kernel which clients can be heard: one question for all of them.

The loop watches one descriptor, an epoll of our own, whatever the number of clients: watching each
in the loop costs a selector's key for a connection, and a handle for every event. And while clients
keep coming, several questions are asked in one turn of the loop, as a turn costs what a request
does.
"""

from __future__ import annotations

import select
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

# Then everything else that waits for the loop has its turn.
_ROUNDS, _HEARD_IN_A_ROUND = 16, 64


class Poller:
    """Calls whoever watches a descriptor as long as that can be read, has ended or failed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._watchers: dict[int, Callable[[], None]] = {}
        self.crowded = False
        """Whether several can be heard at once, just now."""
        self._later: deque[Callable[[], None]] | None = None  # while clients are heard
        loop.add_reader(self._epoll.fileno(), self._hear)

    def watch(self, descriptor: int, heard: Callable[[], None]) -> None:
        """Have `heard` called until `unwatch`, which has to come before the descriptor closes."""
        self._watchers[descriptor] = heard
        self._epoll.register(descriptor, select.EPOLLIN)

    def unwatch(self, descriptor: int) -> None:
        """Call nobody any more."""
        del self._watchers[descriptor]
        if not self._epoll.closed:
            self._epoll.unregister(descriptor)

    def soon(self, act: Callable[[], None]) -> None:
        """Have `act` called when nobody that calls this is on the stack any more."""
        if self._later is None:
            self._loop.call_soon(act)
        else:
            self._later.append(act)

    def close(self) -> None:
        """Give the descriptor back; a second time it does nothing."""
        if self._epoll.closed:
            return
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _hear(self) -> None:
        later: deque[Callable[[], None]] = deque()
        self._later = later
        try:
            for _ in range(_ROUNDS):
                if not (found := self._epoll.poll(0, _HEARD_IN_A_ROUND)):
                    break
                self.crowded = len(found) > 1
                for descriptor, _ in found:
                    # One that was heard before may have ended this one.
                    if (heard := self._watchers.get(descriptor)) is not None:
                        heard()
                # At once, as sockets are closed here: descriptors are few.
                while later:
                    later.popleft()()
        finally:
            self._later = None
            # What is left, after a defect, loses nothing but this turn.
            for act in later:
                self._loop.call_soon(act)
