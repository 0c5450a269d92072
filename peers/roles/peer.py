"""PeerSync: the symmetric role between two nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from peers.codec.messages import MAX_HELD, Have, Hello, Message, Options, Refusal, Version, write_vector
from peers.codec.peer import PeerProtocol
from peers.codec.refused import refused
from peers.events.entry import Entry
from peers.events.event_error import EventError
from peers.events.version_vector import VersionVector
from peers.later import Later
from peers.log.log import SyncLog
from peers.log.port import Commit
from peers.protocol.flow_control import SOON_ANSWER_MS, Pace, Patience
from peers.protocol.sync import WINDOW
from peers.roles.checked import CheckedSync
from peers.roles.clock_offset import ClockOffset
from peers.roles.missing import Missing
from peers.roles.relay_hold import RelayHold
from peers.roles.untold import Untold
from peers.stores.store import PAGE_BYTES, Page, StoreError, StoreState
from peers.transport.port import Connection

PEER_PING_MS = 4_000
PEER_TIMEOUT_MS = 5_000
HAVE_MS = 5.0
"""Between two `have`: what came from others meanwhile is gathered for the second."""
RELAY_MS = 20.0
"""How long events of others wait at least before they are passed on: time enough to hear who has them already."""
MAX_RELAY_MS = 200.0
"""The same at most. In between it is a multiple of the time of an answer, which takes long where everybody is busy."""
SLOW_GATHER_MS = 1_000.0
"""Where answers take long, what was committed is told no more often."""
MAX_KNOWN = 16_384
"""Ranges that are kept of what the other end has, about 2 MB; what it says beyond it is not noted, and costs a repeat."""


_NOTHING = VersionVector()


def no_gathering() -> float:
    """The answer of an end with few neighbours: what it has to tell is told at once."""
    return 0.0


def nothing_held(_node_id: str | None) -> Sequence[str]:
    """The answer of an end that has no other connections."""
    return ()


class PeerSync(CheckedSync):
    """Either side dials; the one that accepted speaks after the other's `connect`; from then on both are equal.

    The receiver's version vector, exchanged in the greeting, is all that says where to go on: whatever it lacks is sent, in
    the order of the sender's log, and nothing that came over this link goes back over it.

    In a mesh of many, everybody hears of an event from its origin and could pass it on to everybody. So each tells the
    others at once what it got (`have`), and passes on only after RELAY_MS what nobody has named by then. With many neighbours
    that would be many small messages for each event: there it gathers for `gather_ms` before it does either.

    The marks of its messages are positions of the sender's log.

    One more event: `apart` (span), when it is news how far the other end's wall clock is from ours: see
    peers.roles.clock_offset.
    """

    max_taking = WINDOW

    def __init__(
        self,
        node_id: str,
        log: SyncLog,
        connection: Connection,
        *,
        boot: str = "",
        held: Callable[[str | None], Sequence[str]] = nothing_held,
        gather_ms: Callable[[], float] = no_gathering,
        timeout: int | None = PEER_TIMEOUT_MS,
        ping: int | None = PEER_PING_MS,
        **options: Any,
    ) -> None:
        """`boot` is the random id of this run (made here if empty); `held` names the connections held with a node;
        `gather_ms` says how long to gather, now, what came from others.
        """
        for name in ("in_filter", "out_filter", "in_map", "out_map", "fix_time", "synced", "other_synced", "protocol"):
            if options.get(name):
                raise ValueError(
                    f"{name} is for clients and servers: nodes keep the same events, and say what they have"
                )
        super().__init__(node_id, log, connection, timeout=timeout, ping=ping, **options)
        self.boot = boot or f"{self.random.getrandbits(64):016x}"
        self.connection_id = ""
        self._held = held
        self._gather_ms = gather_ms
        self._begin_link()
        self._undos.append(log.on("commit", self._on_commit))

    @property
    def other_hello(self) -> Hello | None:
        """What the other end's greeting said of it, but for its vector, see `lacking`; None until then."""
        return self.other_options.peer

    @property
    def missing(self) -> int:
        """Events that the other end had at its greeting and this node lacks, at most."""
        return self._missing.count(self.log.published.state.vector)

    @property
    def is_owing(self) -> bool:
        """Whether an end of this link, or of the last one, still has to get something that the other end has."""
        return bool(self._in_flight) or self.missing > 0

    @property
    def is_stalled(self) -> bool:
        """Whether nothing moved on this link, or on the last one, though something was to be sent."""
        return not self._has_moved and self.is_owing

    def make_dialect(self) -> PeerProtocol:
        return PeerProtocol(self.node_id)

    def _begin_link(self) -> None:
        """What is known of a link that has just begun."""
        self._untold = Untold()
        self._came = _NOTHING
        """What came over this link, and need not be named on it."""
        self._unnamed = _NOTHING
        """What the next `have` names."""
        self._unanswered: list[int] = []
        """The marks of the messages that the next `synced` is about, in their order."""
        self._relays = RelayHold()
        self._pace = Pace(WINDOW * PAGE_BYTES, PAGE_BYTES)
        self._patience = Patience()
        self._has_own = False
        """Own events may be waiting behind others' ones."""
        self._sent_own = 0
        self._is_asking = False
        """Whether `walk` asks for a page, and goes on itself if that comes at once."""
        self._missing = Missing()
        self._has_moved = False
        """Events came, or the other end acknowledged some."""
        self._apart = ClockOffset(self.clock)

    def on_connect(self) -> None:
        super().on_connect()
        self.other_synced = 0
        self._begin_link()
        if self.connection.dialled:
            self.connection_id = f"{self.random.getrandbits(64):016x}"
            self.emitter.emit("dialled")
            self.send_connect()
        else:
            self.start_timeout()

    def connect_message(self, protocol: Version, node_id: str, _synced: int, options: Options) -> None:
        if self.connection.dialled:
            raise self.error("wrong-format", "`connect` from the end that was dialled")
        super().connect_message(protocol, node_id, _synced, options)

    def connected_message(self, protocol: Version, node_id: str, times: tuple[int, int], options: Options) -> None:
        if not self.connection.dialled:
            raise self.error("wrong-format", "`connected` from the end that dialled")
        self._apart.on_answer(self.connect_sent_at, *times)
        super().connected_message(protocol, node_id, times, options)

    def greeting_options(self) -> Options:
        hello = Hello(
            boot=self.boot,
            connection=self.connection_id,
            held=list(self._held(self.other_node_id))[:MAX_HELD],
            vector=write_vector(self.log.published.state.vector),
            last_position=self.log.published.state.last_position,
        )
        return Options(subprotocol=self.subprotocol, token=self._shown, peer=hello)

    def greeting_synced(self) -> int:
        return 0  # the vector says it

    def _meet(self, protocol: Version, node_id: str, options: Options) -> None:
        self._check_greeting(protocol, node_id)
        if options.peer is None:
            raise self.error("wrong-format", "a greeting without the option `peer`: only nodes are served here")
        try:
            self.lacking = VersionVector(options.peer.vector)
        except ValueError as error:
            raise self.error("wrong-format", str(error)) from None
        self._missing = Missing(self.log.published.state.vector, self.lacking, options.peer.last_position)
        if not self.connection.dialled:
            self.connection_id = options.peer.connection
        # Their vector is not kept twice: with many neighbours it is the larger part of a session.
        hello = msgspec.structs.replace(options.peer, vector={})
        super()._meet(protocol, node_id, msgspec.structs.replace(options, peer=hello))

    def on_authenticated(self) -> None:
        assert self.lacking is not None
        self._tell_apart()
        published = self.log.published
        if published.may_renew and self.lacking.highest(published.epoch) > published.state.vector.highest(
            published.epoch
        ):
            self.emitter.emit("rolled-back")
            self.react(self.log.renew_epoch(), self._on_renewed)
        else:
            self._find_start()

    def walk(self) -> None:
        """Own events go at once; what came from others is told now, and passed on a little later."""
        if self._untold and self._is_walking and self.authenticated and self.connected:
            self._tell()
        super().walk()
        while self._has_own and self._relays.is_waiting and self.may_page() and not self._is_asking:
            self._is_asking = True
            self.ask_page(max(self._position, self._sent_own), self._on_own_page)
            self._is_asking = False

    def may_page(self) -> bool:
        return super().may_page() and sum([sent.size for sent in self._in_flight]) < self._pace.window

    def note_answer(self, answer_ms: float) -> None:
        self._patience.note(answer_ms)

    def patience_ms(self) -> float:
        return self._patience.limit_ms(super().patience_ms())

    def told_of(self, trouble: StoreError) -> str | None:
        return trouble.brief or None

    def page_bytes(self) -> int:
        return self._pace.page_bytes

    def walk_limit(self) -> int:
        return self._relays.limit(super().walk_limit())

    def send_have(self, vector: VersionVector) -> None:
        self.send(Have(write_vector(vector)))

    def have_message(self, vector: Mapping[str, Sequence[tuple[int, int]]]) -> None:
        assert self.lacking is not None
        try:
            told = VersionVector(vector)
        except ValueError as error:
            raise self.error("wrong-format", str(error)) from None
        known = self.lacking.joins(told)
        if sum(map(len, known.ranges.values())) <= MAX_KNOWN:
            self.lacking = known

    def queue(self, message: Message) -> None:
        if isinstance(message, Have):
            self.have_message(message.vector)  # not kept: while `auth` decides any number of them may come
        else:
            super().queue(message)

    def send_synced(self, added: int) -> None:
        """One answer to all messages of a commit: their results come in turns that follow each other."""
        self._unanswered.append(added)
        if len(self._unanswered) == 1:
            self._turn(partial(self._answer, self._link))()

    def _answer(self, link: int) -> None:
        if self._link != link:
            return
        marks, self._unanswered = self._unanswered, []
        for mark in marks:
            # It stands for all before it, up to the first message with this mark; own events that overtook may share one.
            if mark == marks[-1] and self.connected:
                self._guard(partial(super().send_synced, mark))

    def synced_message(self, added: int) -> None:
        """Acknowledgements are cumulative between nodes: one covers all that was sent before."""
        if any(sent.number == added for sent in self._in_flight):
            self._has_moved = True
            now = self.clock.elapsed_ms()
            number = -1
            while number != added:
                sent = self._in_flight.pop(0)
                number = sent.number
                self._pace.note(sent.size, now - sent.since_ms)
                self.synced = max(self.synced, sent.confirms)
                self.end_timeout()
        if not self._in_flight:
            self.synced = max(self.synced, self.walked)
        self.emitter.emit("synced")
        self.walk()

    def mark(self, entry: Entry) -> int:
        return entry.position

    def highest_mark(self, entries: Sequence[Entry]) -> int:
        return entries[-1].position if entries else 0

    def last_mark(self, state: StoreState) -> int:
        return state.last_position

    def is_due(self, entry: Entry) -> bool:
        # The page may hold more than was asked for, and the other end may have told of some since.
        return self.lacking is None or entry.dot is None or not self.lacking.covers(entry.dot)

    def take(self, added: int, entries: Sequence[Entry]) -> None:
        assert self.lacking is not None
        came = VersionVector().adds([entry.dot for entry in entries if entry.dot is not None])
        if not self.lacking.covers_all(came):  # else they say nothing of its clock now
            self._apart.on_entries(entries, self.lacking, self.other_node_id)
            self._tell_apart()
        self.lacking = self.lacking.joins(came)
        self._came = self._came.joins(came)

        def taken(done: Later[Any]) -> None:
            done.result()
            self._has_moved = True
            self._on_taken(added)
            if self._missing.is_past(added) and self.missing and not self._is_pinging:
                # Own events overtake others', so this mark may lie beyond the walk; the answer says how far that is.
                self.send_ping()

        self.react(self.log.add_entries(entries), taken)

    def on_other_sent(self, added: int) -> None:
        self._apart.on_sign()
        super().on_other_sent(added)

    def _count_heard(self) -> None:
        if not self._taking.count and self._missing.is_past(self._heard):
            self._missing.end()
            self._show_state()

    def sync_message(self, added: int, entries: tuple[Entry, ...], refusals: tuple[Refusal, ...]) -> None:
        if None in [entry.dot for entry in entries]:
            without = [entry for entry in entries if entry.dot is None]
            refusals += tuple(refused(EventError("bad-id", "it has no dot"), one.body, one.created) for one in without)
            entries = tuple(entry for entry in entries if entry.dot is not None)
        super().sync_message(added, entries, refusals)

    def on_silence(self) -> None:
        """Also while a long message of theirs comes in over a slow link: they hear nothing else from us until it is here."""
        if self._is_pinging and self._last_sign > self._last_traffic:
            self.send_ping_again()
        else:
            super().on_silence()

    def _tell_apart(self) -> None:
        span = self._apart.news()
        if span is not None:
            self.emitter.emit("apart", span)

    def _tell(self) -> None:
        """Name what was committed lately and came from others, and let it wait if they may lack it."""
        assert self.lacking is not None
        own = self.log.published.epoch
        untold = self._untold.take()
        relayed: dict[str, list[tuple[int, int]]] = {}
        for epoch, first, last in self._came.lacks(untold):
            if epoch == own:
                self._has_own = True
            else:
                relayed.setdefault(epoch, []).append((first, last))
        relays = VersionVector(relayed)
        # Far behind too: in a burst everybody is, and a wait costs no throughput, since a group goes as a whole.
        is_news = not self.lacking.covers_all(relays)
        if self._relays.note(self.log.published.state.last_position, is_relay=is_news):
            self._wait()
        self._has_own = self._has_own and self._relays.is_waiting  # else the walk is free to bring them
        if relays:
            self._unnamed = self._unnamed.joins(relays)
            if not self.is_timing("have"):
                self._name()  # last, because an answer may come at once

    def _name(self) -> None:
        unnamed, self._unnamed = self._unnamed, _NOTHING
        if unnamed and self.connected:
            self.start_timer("have", HAVE_MS, self._name)
            self.send_have(unnamed)

    def _on_own_page(self, page: Page) -> None:
        """Send our own of a page ahead of the others, and let the walk leave them out when it comes there."""
        assert self.lacking is not None
        self._is_paging = False
        own = self.log.published.epoch
        entries = tuple(e for e in page.entries if e.dot is not None and e.dot[0] == own and self.is_due(e))
        self._sent_own = page.until
        self._has_own = page.until < self.log.published.state.last_position
        if entries:
            self.lacking = self.lacking.adds(entry.dot for entry in entries if entry.dot is not None)
            self.send_sync(page.until, entries, confirms=self.walked)
        if not self._is_asking:
            self.walk()

    def _on_commit(self, commit: Commit) -> None:
        if commit.fresh and self.authenticated:
            self._untold.note(commit.fresh, self.log.published.epoch)

    def _wake(self) -> None:
        if not self._untold.is_urgent and self.is_timing("gather"):
            return
        gather_ms = self._gathering_ms() if self.authenticated and not self._untold.is_urgent else 0
        if gather_ms <= 0:
            super()._wake()
        else:
            self.start_timer("gather", gather_ms, self.walk)

    def _gathering_ms(self) -> float:
        """On a slow link too one message for many: what is told there comes late anyhow, and makes all else later."""
        usual_ms = self._patience.usual_ms
        return max(self._gather_ms(), min(usual_ms / 4, SLOW_GATHER_MS) if usual_ms > SOON_ANSWER_MS else 0)

    def _wait(self) -> None:
        # Others tell after a commit, as this end answers; and they may gather still, though we told early.
        wait_ms = max(RELAY_MS, min(4 * self._patience.usual_ms, MAX_RELAY_MS))
        self.start_timer("relay", wait_ms + self._gathering_ms(), self._on_waited)

    def _on_waited(self) -> None:
        if self._relays.ripen():
            self._wait()
        self.walk()

    def _on_renewed(self, done: Later[None]) -> None:
        done.result()
        self.hang_up("error")  # what is asked for now was not in our greeting: a new one says it

    def _find_start(self) -> None:
        self.react(self.log.first_lacked(self.lacking or VersionVector()), self._on_start)

    def _show_state(self) -> None:
        if self.authenticated and self.connected:
            self.set_state("sending" if self._in_flight or not self.is_caught_up() else "synchronized")
        else:
            super()._show_state()

    def is_caught_up(self) -> bool:
        """Also whether the other end has sent what it has: a node that is behind never says that it is synchronized."""
        return super().is_caught_up() and not self.missing

    def _on_start(self, done: Later[int]) -> None:
        self._relays = RelayHold(self.log.published.state.last_position)
        self.start_walk(done.result() - 1)

    def _on_sifted(self, entries: list[Entry], walked: int) -> None:
        # Between nodes the marks are positions: what the other end has told it has is passed, too.
        super()._on_sifted(entries, max(walked, self._position))
