"""Door: who may connect to one port, how many at once, how often, and for how long without a greeting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container

from peers.budgets import Bucket
from peers.limits import Limits
from peers.transport.accepting.files import limited_by_files

MAX_ADDRESSES = 1_024
"""Addresses whose rate is remembered; beyond, one that has no connection is forgotten, the one that came longest ago first."""
CONNECTIONS_SHARE = 2
"""Connections take at most half of the files that the process may open."""

Note = Callable[[str, str], None]
"""Gets the name of a field of Limits that was hit, and the address that hit it: LimitHits.note."""


def note_nothing(_limit: str, _who: str) -> None:
    """The Note of a network that counts no hits."""


class Door:
    """Counts the connections of one port by their addresses, and ends strangers that are late.

    An address is text that stands for a machine: `address_key` makes it. Known ones are not turned away for what strangers
    do: where the rates and the strangers of an address leave no room, they have a second rate of all for themselves, and they
    have places of their own. So the nodes of one machine come in together as soon as one of them is known.

    While strangers hold all other places, each newcomer ends the oldest of them, so that those that send nothing do not keep
    out others. While they hold all places of one address, a newcomer from there ends the oldest one only if that has taken
    half of its time, since it may be about to greet.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, note: Note, known: Container[str]) -> None:
        self.limits = limits
        self.note = note
        self._loop = loop
        self._known = known
        self._rate = Bucket(limits.connects_per_second, limits.connects_per_second)
        self._known_rate = Bucket(limits.connects_of_address_per_second, limits.connects_per_second)
        self._rows: dict[str, _Row] = {}
        """By address; the one that came last is the last."""
        self._open = 0
        self._strangers: dict[Visit, None] = {}
        """In the order in which they came."""
        self._timer: asyncio.TimerHandle | None = None

    def may_enter(self, address: str) -> bool:
        """Whether one more connection of `address` may come in now; call `enter` then. Notes the limit that it hits."""
        row = self._rows.pop(address, None) or _Row(self.limits)
        self._rows[address] = row
        if len(self._rows) > MAX_ADDRESSES:
            self._forget_one()
        limit = self._why_not(address, row)
        if limit:
            self.note(limit, address)
        return not limit

    def enter(self, address: str, end: Callable[[], None]) -> Visit:
        """A connection has come in, as a stranger; `end` is called when it has to leave."""
        visit = Visit(self, self._rows[address], address, self._loop.time() + self.limits.greeting_seconds, end)
        self._open += 1
        self._strangers[visit] = None
        if self._timer is None:
            self._timer = self._loop.call_at(visit.until, self._on_late)
        return visit

    def close(self) -> None:
        """End all strangers."""
        for visit in tuple(self._strangers):
            visit.expel()
        if self._timer is not None:
            self._timer.cancel()

    def displace(self) -> bool:
        """End the oldest stranger. False if there is none."""
        if not self._strangers:
            return False
        self._end(next(iter(self._strangers)), "connections")
        return True

    def is_known(self, address: str) -> bool:
        """Whether it is not turned away for what strangers do."""
        return address in self._known

    def on_known(self, visit: Visit) -> None:
        """See Visit.welcome."""
        self._strangers.pop(visit, None)

    def on_left(self) -> None:
        """See Visit.leave."""
        self._open -= 1

    def _why_not(self, address: str, row: _Row) -> str:
        limits, now = self.limits, self._loop.time()
        if row.open >= limits.connections_of_address:
            return "connections_of_address"
        is_known = self.is_known(address)
        why = self._why_no_stranger(row, now)
        if why and not (is_known and _has_one(self._known_rate, now)):
            return why
        places = limited_by_files(limits.connections, CONNECTIONS_SHARE)
        if not is_known:
            places -= min(limits.reserved_connections, places // 2)
        if self._open >= places and not self.displace():
            return "connections"
        for rate in (self._known_rate,) if why else (row.rate, self._rate):
            rate.take(1, now * 1000)
        return ""

    def _why_no_stranger(self, row: _Row, now: float) -> str:
        if not _has_one(row.rate, now):
            return "connects_of_address_per_second"
        if not _has_one(self._rate, now):
            return "connects_per_second"
        if len(row.strangers) >= self.limits.strangers_of_address and not self._is_replaced(row, now):
            return "strangers_of_address"
        return ""

    def _is_replaced(self, row: _Row, now: float) -> bool:
        """Whether the oldest stranger of an address has to leave, since it took half of its time."""
        oldest = next(iter(row.strangers))
        if oldest.until - now > self.limits.greeting_seconds / 2:
            return False
        self._end(oldest, "strangers_of_address")
        return True

    def _forget_one(self) -> None:
        for address, row in self._rows.items():
            if not row.open:
                del self._rows[address]
                return

    def _on_late(self) -> None:
        now = self._loop.time()
        self._timer = None
        while self._strangers:
            visit = next(iter(self._strangers))
            if visit.until > now:
                self._timer = self._loop.call_at(visit.until, self._on_late)
                return
            self._end(visit, "greeting_seconds")

    def _end(self, visit: Visit, limit: str) -> None:
        visit.note(limit)
        visit.expel()


class Visit:
    """One connection at a door: a stranger until `welcome`, and counted until `leave`."""

    __slots__ = ("_door", "_is_open", "_row", "address", "end", "until")

    def __init__(self, door: Door, row: _Row, address: str, until: float, end: Callable[[], None]) -> None:
        self.address = address
        self.until = until
        """When it has to be known, by the loop's time."""
        self.end = end
        """Ends the connection; code that can end it in a better way replaces this."""
        self._door = door
        self._row = row
        self._is_open = True
        row.open += 1
        row.strangers[self] = None

    @property
    def is_known(self) -> bool:
        """Whether its address is one of those that are not turned away for what strangers do."""
        return self._door.is_known(self.address)

    def welcome(self) -> None:
        """The other end is known. Harmless when it was, or has to leave."""
        self._know()

    def note(self, limit: str) -> None:
        """It has hit this field of Limits."""
        self._door.note(limit, self.address)

    def expel(self) -> None:
        """End it: a moment later it is closed."""
        self._know()
        self.end()

    def leave(self) -> None:
        """It is closed. Harmless when it was."""
        if self._is_open:
            self._is_open = False
            self._row.open -= 1
            self._know()
            self._door.on_left()
            self.end = _do_nothing

    def _know(self) -> None:
        self._row.strangers.pop(self, None)
        self._door.on_known(self)


class _Row:
    __slots__ = ("open", "rate", "strangers")

    def __init__(self, limits: Limits) -> None:
        per_second = limits.connects_of_address_per_second
        self.rate = Bucket(per_second, max(per_second, limits.connects_per_second // 2))
        self.open = 0
        self.strangers: dict[Visit, None] = {}


def _has_one(rate: Bucket, now: float) -> bool:
    """Whether one may come at `now`, in seconds."""
    return rate.wait_ms(1, now * 1000) == 0


def _do_nothing() -> None:
    pass
