"""Instances: the announcements that were heard; each is read, reported, read again, and forgotten when it is withdrawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from mesh.discovery.budget import Budget
from mesh.discovery.port import Sighting
from peers.clock import Clock, Undo
from peers.limits import LimitHits, Limits

REPORTS_PER_SECOND = 32.0
"""Sightings that are reported, once as many were reported as there are rows."""
REPORTS_OF_SOURCE = (64, 1.0)
"""The same for announcements from one address: a machine has few nodes, an mDNS reflector has some more."""
REPORT_PAUSE_MS = 1000
"""How long a sighting beyond these limits waits."""
LOOK_PAUSE_MS = 250
"""Shortest time between two readings of one announcement, however often it changes."""
SETTLE_MS = 1200
"""An announcement is read once more this long after a change: a replaced address is cached until then (RFC 6762, 10.2)."""


@dataclass(frozen=True, slots=True)
class InstanceReading:
    """What the records of one announcement hold at one moment."""

    sighting: Sighting | None
    """None if it is not a node, or our own announcement."""
    counter: int = 0
    """The number that the node gave to the announcement: the same content with a new number is news."""


@dataclass(slots=True, eq=False)
class _Entry:
    name: str
    source: str = ""
    reported: InstanceReading | None = None
    is_settled: bool = False
    looked_ms: float | None = None
    due_ms: float | None = None
    undo_look: Undo | None = None
    undo_ask: Undo | None = None


class Instances:
    """Turns the names of announcements into sightings. Its limits hold whatever other hosts send."""

    def __init__(
        self,
        clock: Clock,
        *,
        read: Callable[[str], InstanceReading | None],
        ask: Callable[[str], Undo],
        on_sighting: Callable[[Sighting], None],
        limits: Limits,
        hits: LimitHits,
    ) -> None:
        """At most `Limits.members` announcements are kept. A further one replaces one of the source that has most: an
        unreported one, else the oldest.

        `read(name)` returns None while records are missing. Then `ask(name)` must query for them and call `answered` or
        `unanswered`, unless its undo is called before."""
        self._clock = clock
        self._read = read
        self._ask = ask
        self._on_sighting = on_sighting
        self._entries: dict[str, _Entry] = {}
        self._limit = limits.members
        self._hits = hits
        self._budget = Budget(self._limit, REPORTS_PER_SECOND)
        self._budgets: dict[str, Budget] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def source(self, name: str) -> str:
        """The address from which an announcement came last; empty if that is not known."""
        entry = self._entries.get(name)
        return entry.source if entry is not None else ""

    def heard(self, name: str, source: str = "") -> None:
        """A record of an announcement has come from `source`: read it as soon as LOOK_PAUSE_MS allows."""
        entry = self._entries.pop(name, None)
        if entry is None:
            self._make_room()
            entry = _Entry(name)
        self._entries[name] = entry
        entry.source = source or entry.source
        entry.is_settled = False
        self._look_after(entry, 0)

    def answered(self, name: str) -> None:
        """The records that were queried have come."""
        if name in self._entries:
            self.unanswered(name)
            self.heard(name)

    def unanswered(self, name: str) -> None:
        """The records that were queried have not come: the announcement waits for `ask_again` or `heard`."""
        entry = self._entries.get(name)
        if entry is not None:
            entry.undo_ask = None

    def ask_again(self) -> None:
        """Read announcements again that miss records, and are neither queried nor waiting."""
        for entry in tuple(self._entries.values()):
            if entry.reported is None and entry.undo_ask is None and entry.undo_look is None:
                self._look_after(entry, 0)

    def look_again(self) -> None:
        """Our own network changed, and with it the candidates: read all announcements again."""
        for entry in tuple(self._entries.values()):
            self._look_after(entry, 0)

    def gone(self, name: str) -> None:
        """An announcement was withdrawn, or is no longer a node: report its goodbye."""
        entry = self._entries.pop(name, None)
        if entry is None:
            return
        _free(entry)
        if entry.reported is not None and entry.reported.sighting is not None:
            self._on_sighting(replace(entry.reported.sighting, is_goodbye=True))

    def clear(self) -> None:
        """Forget all announcements without reporting that."""
        for entry in self._entries.values():
            _free(entry)
        self._entries.clear()

    def _make_room(self) -> None:
        if len(self._entries) < self._limit:
            return
        (crowd, _), *_ = Counter(entry.source for entry in self._entries.values()).most_common(1)
        crowded = [entry for entry in self._entries.values() if entry.source == crowd]
        victim = next((entry for entry in crowded if entry.reported is None), crowded[0])
        del self._entries[victim.name]
        _free(victim)
        self._hits.note("members", crowd)

    def _look_after(self, entry: _Entry, pause_ms: float) -> None:
        """Read an announcement in `pause_ms`, or at an earlier time if that is set; never at once, nor before LOOK_PAUSE_MS."""
        now = self._clock.elapsed_ms()
        due = now + pause_ms
        if entry.looked_ms is not None:
            due = max(due, entry.looked_ms + LOOK_PAUSE_MS)
        if entry.due_ms is not None and entry.due_ms <= due:
            return
        if entry.undo_look is not None:
            entry.undo_look()
        entry.due_ms = due
        entry.undo_look = self._clock.call_later(due - now, lambda: self._look(entry))

    def _look(self, entry: _Entry) -> None:
        entry.due_ms = entry.undo_look = None
        entry.looked_ms = self._clock.elapsed_ms()
        reading = self._read(entry.name)
        if reading is None:
            if entry.undo_ask is None:
                entry.undo_ask = self._ask(entry.name)
            return
        if entry.undo_ask is not None:
            entry.undo_ask()
            entry.undo_ask = None
        if reading.sighting is None:
            self.gone(entry.name)
            return
        if not entry.is_settled:
            entry.is_settled = True
            self._look_after(entry, SETTLE_MS)
        if reading != entry.reported and reading.sighting.addresses:
            if not self._may_report(entry.source):
                self._look_after(entry, REPORT_PAUSE_MS)
                return
            entry.reported = reading
            self._on_sighting(reading.sighting)

    def _may_report(self, source: str) -> bool:
        """Whether one more sighting may be reported now; if so, it is counted."""
        now = self._clock.elapsed_ms()
        budget = self._budgets.pop(source, None) or Budget(*REPORTS_OF_SOURCE)
        self._budgets[source] = budget
        if len(self._budgets) > self._limit:
            del self._budgets[next(iter(self._budgets))]
        if not budget.has_some(now) or not self._budget.has_some(now):
            return False
        budget.spend()
        self._budget.spend()
        return True


def _free(entry: _Entry) -> None:
    for undo in (entry.undo_look, entry.undo_ask):
        if undo is not None:
            undo()
    entry.undo_look = entry.undo_ask = None
