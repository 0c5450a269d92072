"""Events on their way: a walk over the log with a window on one side, commit before acknowledgement on the other."""

from __future__ import annotations

from collections import deque
from typing import Any

from peers.connections.connection import Connection
from peers.entry import Entry
from peers.later import Later
from peers.log import SyncLog
from peers.stores.store import Appended, Page
from peers.sync_core import State, SyncCore
from peers.version_vector import VersionVector
from peers.wire.messages import Refusal, Sync, Synced

WINDOW = 8
"""Messages that may wait for their acknowledgement; a receiver stops reading a sender that has more under way."""


class SyncMessages(SyncCore):
    """`sync` and `synced`.

    The numbers of both are positions of the sender's log. The walk goes over all changes after `walked`, in pages; live
    events are its tail. No queue of events exists: a session holds a position, and at most WINDOW messages are under way.
    """

    def __init__(self, node_id: str, log: SyncLog, connection: Connection, **options: Any) -> None:
        super().__init__(node_id, log, connection, **options)
        self.synced = 0
        """Up to here the other end confirmed everything, or did not need it."""
        self.other_synced = 0
        """Highest number of theirs that is committed here."""
        self.walked = 0
        self.lacking: VersionVector | None = None
        """What the other end has: never sent."""
        self._in_flight: deque[tuple[int, int]] = deque()
        """Number of each message that is not acknowledged, and up to where it confirms the walk."""
        self._taking = 0
        self._is_walking = False
        self._is_paging = False
        self._is_woken = False
        self._undos.append(log.on("change", self._on_change))
        self.set_state(self.state_offline())

    def start_walk(self, after: int) -> None:
        """Send everything after position `after` that the other end lacks, and go on as the log grows."""
        self.walked = self.synced = after
        self._is_walking = True
        self.walk()

    def on_connect(self) -> None:
        super().on_connect()
        self._in_flight.clear()
        self._taking = 0
        self._is_walking = False  # where to go on is not known before `start_walk`
        self._is_paging = False
        self.walked = 0
        self.other_synced = 0

    def walk(self) -> None:
        """Ask for the next page, if there is one and the window is open."""
        limit = self.walk_limit()
        if self.may_page() and self.walked < limit:
            self._is_paging = True
            page = self.log.page(self.walked, lacking=self.lacking)
            self.react(page, lambda done: self._on_page(done, limit))
        self._show_state()

    def may_page(self) -> bool:
        """Whether the window is open and no page is under way."""
        return self.authenticated and self._is_walking and not self._is_paging and len(self._in_flight) < WINDOW

    def walk_limit(self) -> int:
        """The position up to which the walk may go now."""
        return self.log.published.state.last_position

    def send_sync(self, added: int, entries: tuple[Entry, ...], *, confirms: int | None = None) -> None:
        """Send entries; once they are acknowledged all up to `confirms` is (None: all up to `added`)."""
        self._in_flight.append((added, added if confirms is None else confirms))  # some connections answer at once
        self.start_timeout()
        self._show_state()
        self.send(Sync(added, entries))

    def sync_message(self, added: int, entries: tuple[Entry, ...], refusals: tuple[Refusal, ...]) -> None:
        for refusal in refusals:
            self.emitter.emit("refused", f"{self.other_node_id} sent an event that is not taken: {refusal.why}")
        self._taking += 1
        if self._taking > WINDOW:
            self.connection.pause()
        self.on_entries(entries)
        self.react(self.log.add_entries(entries), lambda done: self._on_taken(added, done))

    def send_synced(self, added: int) -> None:
        self.other_synced = max(self.other_synced, added)
        self.send(Synced(added))
        self.emitter.emit("synced")

    def synced_message(self, added: int) -> None:
        if any(number == added for number, _ in self._in_flight):
            number = -1
            while number != added:  # cumulative: all that was sent before is acknowledged too
                number, confirmed = self._in_flight.popleft()
                self.synced = max(self.synced, confirmed)
                self.end_timeout()
        if not self._in_flight:
            self.synced = max(self.synced, self.walked)
        self.emitter.emit("synced")
        self.walk()

    def on_entries(self, entries: tuple[Entry, ...]) -> None:
        """Entries came, and are not committed yet."""

    def sent_up_to(self) -> int:
        return self.walked

    @property
    def lag(self) -> int:
        """Changes of ours that the other end has not confirmed yet, at most."""
        return self.log.published.state.last_position - self.synced

    def state_offline(self) -> State:
        return "wait" if self.lag > 0 else "disconnected"

    def _on_page(self, done: Later[Page], limit: int) -> None:
        self._is_paging = False
        page = done.result()
        # It may hold more than was there when it was asked for, and the other end may have told of some since.
        entries = tuple(entry for entry in page.entries if entry.position <= limit and self._is_lacked(entry))
        self.walked = min(page.until, limit)
        if entries:
            self.send_sync(self.walked, entries)
        elif not self._in_flight:
            self.synced = self.walked
        self.walk()

    def _is_lacked(self, entry: Entry) -> bool:
        return self.lacking is None or entry.dot is None or not self.lacking.covers(entry.dot)

    def _on_taken(self, added: int, done: Later[Appended]) -> None:
        self._taking -= 1
        if self._taking == WINDOW:
            self.connection.resume()
        done.result()
        self.send_synced(added)

    def _on_change(self) -> None:
        if not self._is_woken:  # one wake-up for any number of commits
            self._is_woken = True
            self._turn(self._on_wake)()

    def _on_wake(self) -> None:
        self._is_woken = False
        if not self.is_destroyed:
            self.walk()

    def _show_state(self) -> None:
        if not self.connected and self.state != "connecting":
            self.set_state(self.state_offline())
        if not self.authenticated:
            return
        is_behind = self._in_flight or self._is_paging or self.walked < self.log.published.state.last_position
        self.set_state("sending" if is_behind else "synchronized")
