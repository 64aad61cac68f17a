"""Many machines and one STS, call by call in the order of time."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.fleet.sts import UNREACHABLE, answered_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.fleet.machines import Machine
    from benchmarks.fleet.sts import Sts
    from imdsd.errors import ExchangeError


@dataclass(frozen=True, slots=True)
class Course:
    """What happened from `since` on, when what all wait for began.

    `calls` and `throttled` count, second by second of the whole course, what reached STS. Of each
    machine that waited then: `first_calls` up to its first success, and `served_after` in seconds
    from `since` to that, infinite without one. Of every machine: `seconds_without` credentials of
    use.
    """

    since: float
    until: float
    calls: Sequence[int]
    throttled: Sequence[int]
    first_calls: Sequence[int]
    served_after: Sequence[float]
    seconds_without: Sequence[float]

    def served_at_share(self, share: float) -> float:
        """Return the seconds after which this share of the machines had (new) credentials."""
        return nearest_rank(self.served_after, share)

    @property
    def calls_per_machine(self) -> float:
        """Calls up to the first success of each, per machine."""
        return sum(self.first_calls) / max(1, len(self.first_calls))

    @property
    def busiest_second(self) -> int:
        return max(self.calls[int(self.since) :], default=0)

    @property
    def throttled_share(self) -> float:
        calls = sum(self.calls)
        return sum(self.throttled) / calls if calls else 0.0

    @property
    def share_without(self) -> float:
        """Return the share of machine time without credentials of use."""
        return sum(self.seconds_without) / len(self.seconds_without) / (self.until - self.since)

    def windows(self, seconds: int, *, since: float = 0.0) -> list[float]:
        """Return the calls a second in one whole window after the other."""
        counts = self.calls[int(since) :]
        whole = len(counts) // seconds
        return [sum(counts[k * seconds : (k + 1) * seconds]) / seconds for k in range(whole)]

    def peak_over_mean(self, seconds: int, *, since: float) -> float:
        """Return the busiest window over the mean of all windows from a second on."""
        rates = self.windows(seconds, since=since)
        return max(rates) / (sum(rates) / len(rates))


def nearest_rank(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values that this share of them do not exceed, 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


class _Tally:
    """Counts what happens to the machines; those in `pending` wait for credentials."""

    def __init__(self, machines: int, *, since: float) -> None:
        self.since = since
        self.pending = set() if since else set(range(machines))
        self._calls: list[int] = []
        self._throttled: list[int] = []
        self._first_calls = [0] * machines
        self._served_after: list[float] = [math.inf] * machines
        self._hit = set(self.pending)
        self._without = [0.0] * machines

    def note(self, index: int, at: float, error: ExchangeError | None) -> None:
        if error is UNREACHABLE:
            self.pending.add(index)
            self._hit.add(index)
            return
        while len(self._calls) <= at:
            self._calls.append(0)
            self._throttled.append(0)
        self._calls[int(at)] += 1
        self._throttled[int(at)] += error is not None
        if index in self.pending:
            self._first_calls[index] += 1
            if error is None:
                self.pending.discard(index)
                self._served_after[index] = answered_at(at, None) - self.since

    def without(self, index: int, begins: float, ends: float) -> None:
        self._without[index] += max(0.0, ends - max(begins, self.since))

    def course(self, *, until: float) -> Course:
        hit = sorted(self._hit)
        silent = [0] * (int(until) - len(self._calls))
        return Course(
            since=self.since,
            until=until,
            calls=self._calls + silent,
            throttled=self._throttled + silent,
            first_calls=[self._first_calls[index] for index in hit],
            served_after=[self._served_after[index] for index in hit],
            seconds_without=self._without,
        )


def run(
    machines: Sequence[Machine],
    sts: Sts,
    *,
    since: float = 0.0,
    until: float | None = None,
    at_most: float = 7200.0,
) -> Course:
    """Let the machines call until that second; without one until all that wait have been served.

    Before `since` STS has an outage, and those wait who called in vain; at 0 all wait.
    """
    tally = _Tally(len(machines), since=since)
    queue = [(machine.first_call(), index) for index, machine in enumerate(machines)]
    heapq.heapify(queue)
    end = since + at_most if until is None else until
    while queue[0][0] < end:
        at, index = queue[0]
        if until is None and at >= since and not tally.pending:
            end = at
            break
        machine = machines[index]
        error = sts.ask(at)
        tally.note(index, at, error)
        if error is None:
            tally.without(index, machine.useful_until, answered_at(at, None))
        heapq.heapreplace(queue, (machine.told(at, error), index))
    for index, machine in enumerate(machines):
        tally.without(index, machine.useful_until, end)
    return tally.course(until=end)
