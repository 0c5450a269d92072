"""Budgets: what members may cost in a time, and how long reading waits for those who cost more."""

from __future__ import annotations

from collections.abc import Callable

from peers.clock import Clock
from peers.limits import LimitHits, Limits

HOUR_SECONDS = 3_600
DAY_SECONDS = 24 * HOUR_SECONDS


class Bucket:
    """A token bucket that may go into debt: for what is known to cost so much only after it was taken.

    Over any time, what is taken while there is no debt is at most `most`, and `per_second` for each second, and what the
    last taking took too much. Whoever takes less than `per_second` on average, and less than `most` at once, never has a
    debt.
    """

    __slots__ = ("_at_ms", "_left", "_most", "_per_ms")

    def __init__(self, per_second: float, most: float) -> None:
        self._per_ms = per_second / 1000
        self._most = self._left = most
        self._at_ms = 0.0

    def take(self, amount: float, now_ms: float) -> bool:
        """Take so much, by the monotonic clock. Returns whether that began a debt."""
        had_debt = self._fill(now_ms) < 0
        self._left -= amount
        return self._left < 0 and not had_debt

    def wait_ms(self, amount: float, now_ms: float) -> float:
        """After how many ms so much is there; 0 if it is. With 0: until there is no debt."""
        return max(0.0, amount - self._fill(now_ms)) / self._per_ms

    def _fill(self, now_ms: float) -> float:
        passed_ms, self._at_ms = max(0.0, now_ms - self._at_ms), max(self._at_ms, now_ms)
        self._left = min(self._most, self._left + passed_ms * self._per_ms)
        return self._left


class LinkBudget:
    """For all that brings no events over one link. `spend` and `wait_ms` are for SyncCore."""

    def __init__(self, limits: Limits, hits: LimitHits, clock: Clock, cpu_ms: Callable[[], float]) -> None:
        self.cpu_ms = cpu_ms
        """The processor time of this thread in ms, since an unknown start; 0 where it does not count."""
        self._hits = hits
        self._clock = clock
        self._messages = Bucket(limits.other_messages_per_second, limits.other_messages_per_second)
        self._bytes = Bucket(limits.other_bytes_per_second, limits.other_bytes_per_second)
        self._cpu = Bucket(limits.other_cpu_ms_per_second, limits.other_cpu_ms_per_second)

    def spend(self, who: str, messages: float, size: int, cpu_ms: float) -> None:
        """`who` sent so many messages of `size` bytes in all, which took so much processor time."""
        now = self._clock.elapsed_ms()
        if self._messages.take(messages, now):
            self._hits.note("other_messages_per_second", who)
        if self._bytes.take(size, now):
            self._hits.note("other_bytes_per_second", who)
        if self._cpu.take(cpu_ms, now):
            self._hits.note("other_cpu_ms_per_second", who)

    def wait_ms(self) -> float:
        """How long to read nothing."""
        now = self._clock.elapsed_ms()
        return max(self._messages.wait_ms(0, now), self._bytes.wait_ms(0, now), self._cpu.wait_ms(0, now))


class OriginBudget:
    """For the events of one member, on its own links."""

    def __init__(self, limits: Limits, hits: LimitHits, clock: Clock) -> None:
        self._hits = hits
        self._clock = clock
        self._events = Bucket(limits.events_per_second, limits.events_at_once)
        self._bytes = Bucket(limits.bytes_per_day / DAY_SECONDS, limits.bytes_per_day)
        self._epochs = Bucket(limits.epochs_per_hour / HOUR_SECONDS, limits.epochs_at_once)

    def spend(self, who: str, events: int, size: int) -> None:
        """It sent so many events of `size` bytes in all."""
        now = self._clock.elapsed_ms()
        if self._events.take(events, now):
            self._hits.note("events_per_second", who)
        if self._bytes.take(size, now):
            self._hits.note("bytes_per_day", who)

    def wait_ms(self) -> float:
        """How long to read nothing."""
        now = self._clock.elapsed_ms()
        return max(self._events.wait_ms(0, now), self._bytes.wait_ms(0, now))

    def begin_epoch(self, who: str) -> float:
        """Take one more epoch, if it may begin: then 0. Else how many ms later it may."""
        now = self._clock.elapsed_ms()
        wait_ms = self._epochs.wait_ms(1, now)
        if wait_ms > 0:
            self._hits.note("epochs_per_hour", who)
        else:
            self._epochs.take(1, now)
        return wait_ms


class Budgets:
    """The budgets of one run of a node. Those of members outlast their links; of the least recent ones they are forgotten."""

    def __init__(self, limits: Limits, hits: LimitHits, clock: Clock, cpu_ms: Callable[[], float]) -> None:
        self._limits = limits
        self._hits = hits
        self._clock = clock
        self._cpu_ms = cpu_ms
        self._origins: dict[str, OriginBudget] = {}

    def of_link(self) -> LinkBudget:
        """A new one."""
        return LinkBudget(self._limits, self._hits, self._clock, self._cpu_ms)

    def of_origin(self, name: str) -> OriginBudget:
        """That of a node, by its id, or of a client, by its user."""
        budget = self._origins.pop(name, None) or OriginBudget(self._limits, self._hits, self._clock)
        self._origins[name] = budget
        if len(self._origins) > self._limits.members:
            del self._origins[next(iter(self._origins))]
        return budget
