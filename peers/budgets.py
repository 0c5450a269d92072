"""Budgets: what members may cost in a time, and how long reading waits for those who cost more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from weakref import WeakSet

from peers.clock import Clock
from peers.limits import LimitHits, Limits

HOUR_SECONDS = 3_600
DAY_SECONDS = 24 * HOUR_SECONDS


class Bucket:
    """A token bucket that may go into debt: for what is known to cost so much only after it was taken.

    Over any time, what is taken while there is no debt is at most `most`, and `per_second` for each second, and what the
    last taking took too much. A user that takes less than `per_second` on average, and less than `most` at once, never has a
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

    def change(self, per_second: float, most: float) -> None:
        """From now on the rate and the burst are these; what was taken lately stays taken."""
        self._per_ms = per_second / 1000
        self._left += most - self._most
        self._most = most

    def wait_ms(self, amount: float, now_ms: float) -> float:
        """After how many ms so much is there; 0 if it is. With 0: until there is no debt."""
        return max(0.0, amount - self._fill(now_ms)) / self._per_ms

    @property
    def is_owing(self) -> bool:
        """Whether there was a debt when it was looked at last."""
        return self._left < 0

    def _fill(self, now_ms: float) -> float:
        # Without `min` and `max`: each message that comes fills several.
        if now_ms > self._at_ms:
            left = self._left + (now_ms - self._at_ms) * self._per_ms
            self._left, self._at_ms = (left if left < self._most else self._most), now_ms
        return self._left


class OtherBudget:
    """For all that brings no events, over one link or over all links of one address."""

    def __init__(self, limits: Limits, *, is_address: bool = False) -> None:
        self.is_owing = False
        """Whether there was a debt at the last `take`, or when the limits changed after it."""
        self._limits, self._is_address = limits, is_address
        self._buckets = {limit: Bucket(rate, rate) for limit, rate in self._rates().items()}

    def _rates(self) -> dict[str, float]:
        limits = self._limits
        links = limits.links_of_address if self._is_address else 1
        return {
            "other_messages_per_second": links * limits.other_messages_per_second,
            "other_bytes_per_second": links * limits.other_bytes_per_second,
            "other_cpu_ms_per_second": links * limits.other_cpu_ms_per_second,
        }

    def renew(self) -> None:
        """The limits have changed."""
        for limit, rate in self._rates().items():
            self._buckets[limit].change(rate, rate)
        self.is_owing = any(bucket.is_owing for bucket in self._buckets.values())

    def take(self, amounts: tuple[float, ...], now_ms: float) -> list[str]:
        """So many messages, bytes and ms of processor time. Returns the limits of which that began a debt."""
        begun = []
        self.is_owing = False
        for (limit, bucket), amount in zip(self._buckets.items(), amounts, strict=True):
            if bucket.take(amount, now_ms):
                begun.append(limit)
            if bucket.is_owing:
                self.is_owing = True
        return begun

    def wait_ms(self, now_ms: float) -> float:
        """Until there is no debt."""
        return max([bucket.wait_ms(0, now_ms) for bucket in self._buckets.values()])


class LinkBudget:
    """That of one link, with that of its address. `spend` and `wait_ms` are for SyncCore."""

    def __init__(self, own: OtherBudget, hits: LimitHits, clock: Clock, cpu_ms: Callable[[], float]) -> None:
        self.cpu_ms = cpu_ms
        """The processor time of this thread in ms, since an unknown start; 0 where it does not count."""
        self.of_address: OtherBudget | None = None
        """Of all links of its address; None while that is not known."""
        self._own = own
        self._hits = hits
        self._clock = clock

    def spend(self, who: str, messages: float, size: int, cpu_ms: float) -> None:
        """`who` sent so many messages of `size` bytes in all, which took so much processor time."""
        now, amounts = self._clock.elapsed_ms(), (messages, size, cpu_ms)
        for limit in self._own.take(amounts, now):
            self._hits.note(limit, who)
        if self.of_address is not None and self.of_address.take(amounts, now):
            self._hits.note("links_of_address", who)

    @property
    def is_owing(self) -> bool:
        """Whether there was a debt when something was spent last."""
        return self._own.is_owing or (self.of_address is not None and self.of_address.is_owing)

    def wait_ms(self) -> float:
        """How long to read nothing."""
        now = self._clock.elapsed_ms()
        return max(self._own.wait_ms(now), self.of_address.wait_ms(now) if self.of_address is not None else 0.0)


class OriginBudget:
    """For the events of one member, and for new epochs, on its own links."""

    def __init__(self, limits: Limits, hits: LimitHits, clock: Clock) -> None:
        self._limits = limits
        self._hits = hits
        self._clock = clock
        self._events, self._bytes, self._epochs, self._others = [Bucket(*rate) for rate in self._rates()]

    def _rates(self) -> list[tuple[float, float]]:
        limits = self._limits
        return [
            (limits.events_per_second, limits.events_at_once),
            (limits.bytes_per_day / DAY_SECONDS, limits.bytes_per_day),
            (limits.epochs_per_hour / HOUR_SECONDS, limits.epochs_at_once),
            (limits.epochs_of_others_per_second, limits.epochs_at_once),
        ]

    def renew(self) -> None:
        """The limits have changed."""
        buckets = (self._events, self._bytes, self._epochs, self._others)
        for bucket, rate in zip(buckets, self._rates(), strict=True):
            bucket.change(*rate)

    @property
    def is_owing(self) -> bool:
        """Whether there was a debt when it was looked at last."""
        return self._events.is_owing or self._bytes.is_owing or self._others.is_owing

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
        return max(self._events.wait_ms(0, now), self._bytes.wait_ms(0, now), self._others.wait_ms(0, now))

    def bring_epoch(self, who: str) -> bool:
        """It brought an epoch of another member. Returns whether that began a debt."""
        begins = self._others.take(1, self._clock.elapsed_ms())
        if begins:
            self._hits.note("epochs_of_others_per_second", who)
        return begins

    def begin_epoch(self, who: str) -> float:
        """Take one more epoch, if it may begin: then 0. Else how many ms later it may."""
        now = self._clock.elapsed_ms()
        wait_ms = self._epochs.wait_ms(1, now)
        if wait_ms > 0:
            self._hits.note("epochs_per_hour", who)
        else:
            self._epochs.take(1, now)
        return wait_ms


T = TypeVar("T", OtherBudget, OriginBudget)


class Budgets:
    """The budgets of one run of a node. Those of members and addresses outlast links; the least recent ones are forgotten."""

    def __init__(self, limits: Limits, hits: LimitHits, clock: Clock, cpu_ms: Callable[[], float]) -> None:
        self._limits = limits
        self._hits = hits
        self._clock = clock
        self._cpu_ms = cpu_ms
        self._origins: dict[str, OriginBudget] = {}
        self._addresses: dict[str, OtherBudget] = {}
        self._made = WeakSet[OtherBudget | OriginBudget]()
        """All that are in use."""

    def renew(self) -> None:
        """The limits have changed: they hold at once, for links that are open too."""
        for budget in self._made:
            budget.renew()

    def trusts(self, origin: str, forks: int) -> bool:
        """Whether new epochs of a node are taken, of whose key so many are proven to have forked."""
        is_trusted = forks < self._limits.forks_of_key
        if not is_trusted:
            self._hits.note("forks_of_key", origin)
        return is_trusted

    def of_link(self) -> LinkBudget:
        """A new one."""
        own = OtherBudget(self._limits)
        self._made.add(own)
        return LinkBudget(own, self._hits, self._clock, self._cpu_ms)

    def of_address(self, key: str) -> OtherBudget:
        """That of all links of an address, by its key."""
        return self._recent(self._addresses, key, lambda: OtherBudget(self._limits, is_address=True))

    def of_origin(self, name: str) -> OriginBudget:
        """That of a node, by its id, or of a client, by its user."""
        return self._recent(self._origins, name, lambda: OriginBudget(self._limits, self._hits, self._clock))

    def _recent(self, found: dict[str, T], name: str, make: Callable[[], T]) -> T:
        found[name] = budget = found.pop(name, None) or make()
        self._made.add(budget)
        if len(found) > self._limits.members:
            del found[next(iter(found))]
        return budget
