"""Events on their way: a walk over the log on one side, commit before acknowledgement on the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from peers.codec.messages import Message, Ready, Refusal, Sync, Synced
from peers.codec.refused import refused
from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.event_error import EventError
from peers.later import Later
from peers.log.draft import Draft
from peers.log.port import SyncLog
from peers.protocol.core import State, SyncCore
from peers.protocol.filters import Filter, FilterChain, Map
from peers.protocol.offering import Offering
from peers.protocol.receive_window import ReceiveWindow
from peers.stores.store import Page
from peers.transport.port import LARGE_FRAME, Connection

WINDOW = 4
"""Messages that may wait for their acknowledgement before the next page is read; a page may be several messages."""
MAX_RECEIVED = 100_000
"""Events that are remembered as received, until the walk has passed them; one beyond may be sent back, and is ignored there."""
REFUSAL_BYTES = 1_000
"""What it takes, roughly, to remember that an event was refused until its message is confirmed."""
CALLBACK_MS = 30_000
"""After this a filter or map that does not answer ends the link, if the role has a timeout."""


@dataclass(slots=True)
class Unconfirmed:
    """A `sync` that is not confirmed yet."""

    number: int
    confirms: int
    """The mark up to which all is confirmed once this and every earlier one is acknowledged."""
    is_acknowledged: bool = False


class SyncMessages(SyncCore):
    """`sync`, `synced` and `ready`.

    The numbers of the messages are marks in the sender's log: its counter `added`. The walk goes over all events after
    `walked`, in pages; live events are its tail. No queue of events exists: a session holds its place in the log, and what
    waits for an acknowledgement is one page at most beyond WINDOW messages.

    Unlike Logux 0.1, events go oldest first and all of them through the filters, those after a connect too; and a number
    stands for all up to there that was sent or left out, so it may be larger than the `added` of the last event beside it.
    """

    follows_times = False
    """Whether the other end has fixed the time of what it sends, so that both show it in one order."""

    def __init__(
        self,
        node_id: str,
        log: SyncLog,
        connection: Connection,
        *,
        synced: int = 0,
        other_synced: int = 0,
        in_filter: Filter | None = None,
        in_map: Map | None = None,
        out_filter: Filter | None = None,
        out_map: Map | None = None,
        **options: Any,
    ) -> None:
        super().__init__(node_id, log, connection, **options)
        self.synced = synced
        """Up to here the other end confirmed everything, or did not need it."""
        self.other_synced = other_synced
        """Highest mark of theirs up to which everything is committed here."""
        self.walked = synced
        """Up to here everything was sent on this link, or deliberately left out."""
        self.received: dict[Created, None] = {}
        """What came over this link and was not passed by the walk yet: not sent back."""
        self._in_filter, self._in_map = in_filter, in_map
        self._out_filter, self._out_map = out_filter, out_map
        self._in_flight: list[Unconfirmed] = []
        self._paged = 0
        """Up to here pages were read; beyond `walked` while filters have one."""
        self._forget_work()
        self._taking = ReceiveWindow(self.reading)
        self._heard = 0
        """The highest mark that counts once everything that came before it is committed."""
        self._is_walking = False
        self._is_paging = False
        self._is_woken = False
        self._said_ready = False
        self._heard_ready = False
        self._undos.append(log.on("change", self._on_change))
        self.state = self.state_offline()

    def start_walk(self, after: int) -> None:
        """Send everything after the mark `after`, and go on as the log grows."""
        self.walked = self.synced = self._paged = after
        self._is_walking = True
        self.walk()

    def on_connect(self) -> None:
        super().on_connect()
        self._in_flight.clear()
        self.received.clear()
        self._forget_work()
        self._taking = ReceiveWindow(self.reading)
        self._heard = 0
        self._is_walking = False  # where to go on is not known before `start_walk`
        self._is_paging = False
        self._said_ready = self._heard_ready = False
        self.walked = 0

    def _forget_work(self) -> None:
        """Each link makes new ones when it needs them: what an old one still waits for is not its business any more."""
        self._in_sieve: FilterChain | None = None
        self._out_sieve: FilterChain | None = None
        self._offering: Offering | None = None

    def walk(self) -> None:
        """Ask for the next page, if there is one and the window is open."""
        limit = self.log.state.last_added
        if self._may_page() and self._paged < limit:
            self._is_paging = True
            page = self.log.recent(self._paged)
            if page is not None:
                self._on_page(page, limit)
            else:
                self.react(self.log.page(self._paged), lambda done: self._on_page(done.result(), limit))
            if not self._is_paging:
                return  # it was in memory, and the walk went on
        elif self._is_walking and not self._is_paging and self._paged >= limit:
            self._on_all_sent()
        self._show_state()

    def _may_page(self) -> bool:
        """Whether the window is open and no page is under way."""
        is_open = self.authenticated and self.connected and self._is_walking
        return is_open and not self._is_paging and len(self._in_flight) < WINDOW

    def is_due(self, entry: Entry) -> bool:
        """Whether the walk sends this one. Called once for each."""
        if entry.created in self.received:
            del self.received[entry.created]
            return False
        why_not = self.dialect.why_not_sent(entry)
        if why_not is not None:
            self.emitter.emit("refused", why_not)
        return why_not is None

    def send_sync(self, added: int, entries: tuple[Entry, ...], *, confirms: int | None = None) -> None:
        """Send entries; once they are acknowledged all up to `confirms` is (None: all up to `added`)."""
        # First, since some connections answer at once.
        self._in_flight.append(Unconfirmed(added, added if confirms is None else confirms))
        if self.dialect.times_sync:
            self.start_timeout()
        self._show_state()
        self.send(Sync(added, entries))

    def sync_message(self, added: int, entries: tuple[Entry, ...], refusals: tuple[Refusal, ...]) -> None:
        if refusals:
            self.refuse(refusals)
        size = sum([entry.size for entry in entries]) + REFUSAL_BYTES * len(refusals)
        self._taking.begin(size, is_large=len(self.frame) > LARGE_FRAME)
        self.take(added, entries)

    def send_synced(self, added: int) -> None:
        # Unlike Logux 0.1, only once the events are committed.
        self.other_synced = max(self.other_synced, added)
        self.send(Synced(added))
        self.emitter.emit("synced")

    def synced_message(self, added: int) -> None:
        # Unlike Logux 0.1, a number that was not sent confirms nothing.
        sent = next((sent for sent in self._in_flight if sent.number == added and not sent.is_acknowledged), None)
        if sent is not None:
            sent.is_acknowledged = True
            if self.dialect.times_sync:
                self.end_timeout()
        while self._in_flight and self._in_flight[0].is_acknowledged:
            self.synced = max(self.synced, self._in_flight.pop(0).confirms)
        if not self._in_flight:
            self.synced = max(self.synced, self.walked)
        self.emitter.emit("synced")
        self.walk()

    def send_ready(self) -> None:
        self._said_ready = True
        self.send(Ready(self.sent_up_to()))

    def ready_message(self, added: int) -> None:
        self._heard_ready = True
        self.on_other_sent(added)
        self._show_state()

    def cost(self, message: Message) -> int:
        if isinstance(message, Sync):
            return len(message.refusals) + (not message.entries)
        if isinstance(message, Synced) and any(sent.number == message.added for sent in self._in_flight):
            return 0
        return super().cost(message)

    def take(self, added: int, entries: Sequence[Entry]) -> None:
        """Commit the entries of a message, then confirm it."""
        allowed = [admitted for entry in entries if (admitted := self.admitted(entry)) is not None]
        if entries and not allowed:
            self.reading.spend(1, len(self.frame))
        if self._in_sieve is None:
            react = partial(self._react_in_time, "in")
            self._in_sieve = FilterChain(react, self._in_filter, self._in_map, between=self._fixed)
        self._in_sieve.sift(allowed, lambda passed: self._offer(added, passed))

    def admitted(self, entry: Entry) -> Entry | None:
        """What may be taken of this event from that end; None: it is acknowledged and dropped. Called before any filter."""
        return entry

    def on_other_sent(self, added: int) -> None:
        self._heard = max(self._heard, added)
        self._count_heard()

    def sent_up_to(self) -> int:
        return self.walked

    @property
    def lag(self) -> int:
        """Events of ours that the other end has not confirmed yet, at most."""
        return self.log.state.last_added - self.synced

    def is_caught_up(self) -> bool:
        """Whether the walk has sent all that there is."""
        return not self._is_paging and self._paged >= self.log.state.last_added

    def state_offline(self) -> State:
        return "wait" if self.lag > 0 else "disconnected"

    # Sending

    def _on_page(self, page: Page, limit: int) -> None:
        entries = page.entries
        if page.until > limit:  # of a commit that is not published yet
            entries = tuple([entry for entry in entries if entry.added <= limit])
        due = [entry for entry in entries if self.is_due(entry)]
        self._paged = walked = min(page.until, limit)
        if self._out_sieve is None:
            self._out_sieve = FilterChain(partial(self._react_in_time, "out"), self._out_filter, self._out_map)
        self._out_sieve.sift(due, lambda passed: self._on_sifted(passed, walked))

    def _on_sifted(self, entries: list[Entry], walked: int) -> None:
        self._is_paging = False
        size, link = self.dialect.batch, self._link
        for start in range(0, len(entries), size):
            batch = tuple(entries[start : start + size])
            self.walked = walked if start + size >= len(entries) else batch[-1].added
            self.send_sync(self.walked, batch)
            if self._link != link:
                return  # it was answered at once, and that was the end of the link
        self.walked = walked
        if not self._in_flight and self.synced != walked:
            # Unlike Logux 0.1, what was received counts as confirmed, so that it is not echoed after a reconnect.
            self.synced = walked
            self.emitter.emit("synced")
        self.walk()

    def _on_all_sent(self) -> None:
        if self.dialect.has_ready and not self._said_ready:
            self.send_ready()

    # Taking

    def _offer(self, added: int, entries: list[Entry]) -> None:
        for entry in entries:
            self.received[entry.created] = None
        while len(self.received) > MAX_RECEIVED:
            del self.received[next(iter(self.received))]
        if self._offering is None:
            self._offering = Offering(self.react, self._offered, on_offered=self._on_offered, on_taken=self._on_taken)
        if self._offering.add(added, entries):
            self._turn(partial(self._offer_all, self._link))()

    def _offer_all(self, link: int) -> None:
        if self._link == link and self._offering is not None:
            self._offering.run()

    def _offered(self, entries: Sequence[Entry]) -> Later[list[Entry | ValueError | None]]:
        fixed = self.follows_times
        return self.log.offer([Draft(entry.body, entry.extra, entry.created, entry.time, fixed) for entry in entries])

    def _on_offered(self, entries: Sequence[Entry], done: Later[list[Entry | ValueError | None]]) -> None:
        is_walked = self._paged >= self.log.state.last_added
        refusals: list[Refusal] = []
        known = [entry for entry, outcome in zip(entries, done.result(), strict=True) if outcome is None]
        if known:  # as many messages as waited, in proportion: who lost its marks sends much again, and in few messages
            messages = self._taking.count * len(known) / len(entries)
            self.reading.spend(messages, sum([entry.size for entry in known]))
        for entry, outcome in zip(entries, done.result(), strict=True):
            # Our own comes back in JavaScript's words (1.0 as 1), or by another time fix: ours is the original.
            if isinstance(outcome, ValueError) and entry.created[1] != self.node_id:
                refusals.append(refused(EventError("bad-id", str(outcome)), entry.body))
            if not isinstance(outcome, Entry) and is_walked:
                self.received.pop(entry.created, None)  # the walk has passed the one that we have
        if refusals:
            self.refuse(refusals)

    def _on_taken(self, added: int) -> None:
        self._taking.end()
        self.send_synced(added)
        self._count_heard()

    def _count_heard(self) -> None:
        if not self._taking.count and self._heard > self.other_synced:
            self.other_synced = self._heard
            self.emitter.emit("synced")

    # Both

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """They sent events that are not taken: count them, and say so here, in one sentence for all."""
        self.log.note_refused(Counter(refusal.cause for refusal in refusals))
        more = f" (and {len(refusals) - 1} more of this message)" if len(refusals) > 1 else ""
        self.emitter.emit("refused", f"{self.other_node_id} sent an event that is not taken: {refusals[0].why}{more}")

    def _fixed(self, entry: Entry) -> Entry | None:
        try:
            return self.dialect.fixed(entry)  # it may be another by now
        except ValueError as error:
            self.refuse([refused(error, entry.body, entry.created)])
            return None

    def _react_in_time(self, way: str, value: Any, reaction: Callable[[Later[Any]], None]) -> None:
        """React to what a callback answers; end the link if it does not."""
        if self.timeout is not None:
            self.start_timer(way, CALLBACK_MS, lambda: self.fail(self.error("timeout", CALLBACK_MS)))

        def answered(done: Later[Any]) -> None:
            self.stop_timer(way)
            reaction(done)

        self.react(value, answered)

    def _on_change(self) -> None:
        if not self._is_woken:  # one wake-up for any number of commits
            self._is_woken = True
            self._turn(self._on_wake)()

    def _on_wake(self) -> None:
        self._is_woken = False
        if not self.is_destroyed:
            self._guard(self.walk)

    def _show_state(self) -> None:
        if not self.connected and self.state != "connecting":
            self.set_state(self.state_offline())
        if not self.authenticated:
            return
        if self._in_flight:
            self.set_state("sending")
        elif self.is_caught_up():
            is_ready = self._heard_ready or not self.dialect.has_ready
            self.set_state("synchronized" if is_ready else self.state)
