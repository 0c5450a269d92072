"""RunPeerSync: the symmetric role between two nodes that keep epochs as runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from peers.codec.encoded import EncodedPieces
from peers.codec.messages import Message, Synced
from peers.codec.pieces import RawPiece
from peers.codec.run_messages import (
    AskReach,
    Decline,
    Facts,
    Fill,
    Heads,
    Pieces,
    Prove,
    Reached,
    RunHave,
    SayHollow,
    ShowBlocks,
    ShowWay,
)
from peers.events.columns import EventColumns, events_of, leaves_alone, size_of
from peers.events.entry import Entry
from peers.events.epoch import Birth
from peers.events.leaf import HASH_BYTES
from peers.events.piece import Piece
from peers.events.reconcile import Differ, Same
from peers.events.run import OWN
from peers.later import Later
from peers.log.run_log import RunLog
from peers.log.run_tail import NotRecentError
from peers.protocol.runs.replication import Replication
from peers.roles.run_relaying import RunRelaying
from peers.stores.arrivals import WRITTEN_HERE
from peers.stores.run_store import RunStore
from peers.stores.taken import Taken
from peers.transport.port import Connection

T = TypeVar("T")

HEARD = (Pieces, Synced, RunHave, Fill, Same, Differ, Heads, ShowBlocks, Prove, ShowWay, Decline, SayHollow, Facts)
"""What Replication reads, after the greetings."""
SHARED_MS = 200.0
"""After others have waited for the store, an end that brings much leaves them half of its time for so long."""
HAS_ROOM = "has_room"
"""The header that says whether the sender takes events of others; without it, it does."""
PROOF_COST = 20
"""As how many messages one with signed blocks counts: they are hashed and verified in the thread of the disk."""


class RunPeerSync(RunRelaying):
    """Either side dials; the one that accepted speaks after the other's `connect`; from then on both are equal.

    What both say about their logs is in Replication; this role gives it a connection, a log, and time. The parts: RunSession
    greets, gives signs of life and says how far both are; RunRelaying hears of commits; this class passes messages on.

    Events beside those of BaseSync: `apart` (span), see peers.roles.clock_offset; `dialled` (), before our `connect`;
    `facts` (), when the log has new facts of its mesh; `reach` (port), when the other end asks to be dialled at it:
    `answer_reach` follows.
    """

    __slots__ = ("_encoded", "_is_reaching", "_reach", "_reach_port", "_shared_until_ms", "_written_ms")

    _reach: Later[Reached | None] | None
    """What the other end of this link was asked and has not answered yet."""
    _reach_port: int | None
    """The one port about which it may ask on this link, once it has."""
    _is_reaching: bool
    """Whether it waits for `answer_reach`."""

    def __init__(
        self,
        node_id: str,
        log: RunLog,
        connection: Connection,
        *,
        encoded: EncodedPieces | None = None,
        **options: Any,
    ) -> None:
        """The options are those of RunSession; `encoded` is shared by all sessions of a log."""
        self._encoded = encoded or EncodedPieces()
        super().__init__(node_id, log, connection, **options)
        self._undos.append(self.runs.on("room", self._turn(self._on_room)))

    @property
    def other_has_room(self) -> bool:
        """Whether the other end takes events of others; not while its disk is nearly full."""
        return self.other_headers.get(HAS_ROOM) is not False

    def ask_reach(self, port: int) -> Later[Reached | None]:
        """Ask the other end to dial `port` of this machine, and say whether we answer there; None: it is too old to know that.

        Fails with ConnectionError without a link, or when it ends before the answer.
        """
        hello = self.other_hello
        if hello is None or not self.authenticated or not self.connected:
            return Later.failed(ConnectionError("there is no connection"))
        if not hello.release:
            return Later.done(None)
        if self._reach is None:
            self._reach = Later()
            self.send(AskReach(port))
        return self._reach

    def reach_message(self, port: int) -> None:
        if self._is_reaching:
            return
        if self._reach_port not in {None, port}:
            self.send(Reached("one port can be asked about on one link", was_dialled=False))
            return
        self._reach_port, self._is_reaching = port, True
        self.emitter.emit("reach", port)

    def answer_reach(self, answer: Reached) -> None:
        """Answer the other end, which asked for this on this link."""
        self._is_reaching = False
        if self.authenticated and self.connected:
            self.send(answer)

    def reached_message(self, why: str, was_dialled: bool) -> None:
        asked, self._reach = self._reach, None
        if asked is not None:
            asked.set(Reached(why, was_dialled))

    def on_authenticated(self) -> None:
        super().on_authenticated()
        if not self.runs.has_room and self.connected:
            self.send_headers({HAS_ROOM: False})

    def _begin_link(self) -> None:
        super()._begin_link()
        self.other_headers = {}
        self._written_ms = self._shared_until_ms = 0.0
        self._reach = self._reach_port = None
        self._is_reaching = False
        self._replication = Replication(self, is_dialling=self.connection.dialled)

    # Messages

    def cost(self, message: Message) -> int:
        if isinstance(message, (Pieces, Fill, Synced)):
            return 0  # see on_pieces; a `synced` that answers nothing ends the link
        return PROOF_COST if isinstance(message, (Prove, ShowBlocks, ShowWay)) else super().cost(message)

    def dispatch(self, message: Message) -> None:
        if self.authenticated and isinstance(message, HEARD):
            self._hear(message)
        else:
            super().dispatch(message)

    def _hear(self, message: Any) -> None:
        if isinstance(message, (Pieces, Fill)):
            self._on_entries(message)
        elif isinstance(message, Synced):
            for _ in range(self._progress.on_synced(message.added, self.clock.elapsed_ms())):
                self.end_timeout()
        elif isinstance(message, RunHave):
            self._hear_links(message)
        self._with_peer(partial(self._replication.hear, message))

    def _on_entries(self, message: Pieces | Fill) -> None:
        for entries in _entries_of(message):
            self.runs.follow(entries)
        if isinstance(message, Pieces):
            self._compare_clocks(message)
            for raw in message.pieces:
                self._encoded.put(raw)
        if message.refusals:
            self.runs.note_refused(Counter(refusal.cause for refusal in message.refusals))
            more = f" (and {len(message.refusals) - 1} more of this message)" if len(message.refusals) > 1 else ""
            why = message.refusals[0].why
            self.emitter.emit("refused", f"{self.other_node_id} sent an event that is not taken: {why}{more}")
        self._progress.taking.append(message.number)

    def _compare_clocks(self, message: Pieces) -> None:
        """By the newest event of the other end's own that it did not have at its greeting."""
        for raw in reversed(message.pieces):
            if isinstance(raw.items, EventColumns) and raw.items.node_id != self.other_node_id:
                continue  # nearly all that is relayed
            known = self._progress.greeted.get(raw.epoch, 0)
            for seq, item in zip(range(raw.last, max(known, raw.start - 1), -1), reversed(raw.items), strict=False):
                if (
                    isinstance(item, Entry)
                    and item.created[1] == self.other_node_id
                    and raw.kinds[seq - raw.start] == OWN
                ):
                    self._apart.on_fresh(item)
                    self._tell_apart()
                    return

    def _forget_link(self) -> None:
        super()._forget_link()
        asked, self._reach = self._reach, None
        if asked is not None:
            asked.fail(ConnectionError("the connection ended"))

    # What Replication needs of its role, see RunRole

    def send(self, message: Message | Same | Differ) -> None:
        if isinstance(message, HEARD) and (self._is_closing or not self.connected):
            return  # the answer to what was handled before the end
        if isinstance(message, (Pieces, Fill)):
            if isinstance(message, Fill):
                size = sum(map(size_of, _entries_of(message)))
            else:
                size = sum([len(piece.raw) for piece in message.pieces])
            position = self._replication.position
            self._progress.on_sent(message.number, position, size, self.clock.elapsed_ms())
            self.start_timeout()
            self.set_state("sending")
        elif isinstance(message, Synced):
            self._progress.on_taken(message.added)
        super().send(message)

    def encode(self, piece: Piece) -> RawPiece:
        return self._encoded.of(piece)

    def read(self, work: Callable[[RunStore], T], then: Callable[[T], None]) -> None:
        if self._is_stepping and not self._commits:  # nothing that memory tells of is still to be heard of
            try:
                found = self.runs.recall(work)
            except NotRecentError:
                pass
            else:
                then(found)
                return
        self.react(self.runs.read(work), partial(self._answer, then))

    def write(
        self,
        work: Callable[[RunStore], Sequence[Taken]],
        then: Callable[[Sequence[Taken]], None],
        *,
        is_next_part: bool = False,
    ) -> None:
        if not is_next_part:
            self._written_ms = self.clock.elapsed_ms()
        self.react(self.runs.write(work, self.other_node_id or WRITTEN_HERE), partial(self._answer, then))

    def is_awaited(self) -> bool:
        return self.runs.is_awaited

    def is_shared(self) -> bool:
        return self.clock.elapsed_ms() < self._shared_until_ms

    def rest(self, was_awaited: bool, then: Callable[[], None]) -> None:
        now = self.clock.elapsed_ms()
        if was_awaited:
            self._shared_until_ms = now + SHARED_MS
        if self._written_ms < now and self.is_shared():
            self.start_timer("rest", now - self._written_ms, partial(self._with_peer, then))
        else:
            then()

    def may_send(self) -> bool:
        return self._progress.bytes_in_flight < self._progress.pace.window

    def page_bytes(self) -> int:
        return self._progress.pace.page_bytes

    def clock_ms(self) -> int:
        return self.runs.follow(())

    def trusts(self, birth: Birth) -> bool:
        roster = self.runs.roster
        if roster is not None and roster.cut_of(birth.key) == ():
            return False
        forks = self.runs.forks.get(birth.key, 0)
        return not forks or birth.key == self.key or self.reading.trusts(birth.origin or "", forks)

    def may_begin(self, birth: Birth) -> bool:
        if not self.trusts(birth):
            return False
        origin, other = birth.origin, self.other_node_id or ""
        if origin is None or origin != other:
            self.reading.bring_epoch(other)
            return True
        wait_ms = self.reading.begin_epoch(origin)
        if wait_ms and not self.is_timing("accept"):
            self.start_timer("accept", wait_ms, self._replication.accept)
        return not wait_ms

    def has_room(self) -> bool:
        return self.runs.has_room

    def on_pieces(self, taken: Taken, idle_messages: int, idle_bytes: int) -> None:
        if idle_messages or idle_bytes:
            self.reading.spend(idle_messages, idle_bytes)
        other = self.other_node_id or ""
        own: Sequence[Entry] = ()
        if isinstance(taken.shown, EventColumns) and not taken.waiting:
            own = taken.shown if taken.shown.origin == other else own
        else:
            own = [event for event in (*taken.shown, *taken.waiting) if event.origin == other and not event.vouched]
        leaves = sum([len(leaves_alone(piece.items)) for piece in taken.pieces if piece.birth.origin == other])
        if own or leaves:  # a leaf stays here too
            self.reading.spend_events(other, len(own) + leaves, size_of(own) + leaves * HASH_BYTES)

    def _on_room(self) -> None:
        if not self.authenticated or not self.connected:
            return
        self.send_headers({HAS_ROOM: self.runs.has_room})
        if self.runs.has_room:
            self._guard(partial(self._with_peer, self._replication.on_room))

    def _answer(self, then: Callable[[Any], None], done: Later[Any]) -> None:
        self._hear_commits()
        self._with_peer(partial(then, done.result()))


def _entries_of(message: Pieces | Fill) -> list[Sequence[Entry]]:
    """In parts."""
    if isinstance(message, Fill):
        return [[entry for _, entry in message.events]]
    return [events_of(piece.items) for piece in message.pieces]
