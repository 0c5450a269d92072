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
    Decline,
    Facts,
    Fill,
    Heads,
    Pieces,
    Prove,
    RunHave,
    SayHollow,
    ShowBlocks,
)
from peers.events.entry import Entry, size_of
from peers.events.epoch import Birth
from peers.events.piece import Piece
from peers.events.reconcile import Differ, Same
from peers.events.run import OWN
from peers.later import Later
from peers.log.run_log import RunLog
from peers.log.run_tail import NotRecentError
from peers.protocol.runs.replication import Replication
from peers.roles.run_relaying import RunRelaying
from peers.stores.run_store import RunStore, Taken
from peers.transport.port import Connection

T = TypeVar("T")

HEARD = (Pieces, Synced, RunHave, Fill, Same, Differ, Heads, ShowBlocks, Prove, Decline, SayHollow, Facts)
"""What Replication reads, after the greetings."""
PROOF_COST = 20
"""As how many messages one with signed blocks counts: they are hashed and verified in the thread of the disk."""


class RunPeerSync(RunRelaying):
    """Either side dials; the one that accepted speaks after the other's `connect`; from then on both are equal.

    What both say about their logs is in Replication; this role gives it a connection, a log, and time. The parts: RunSession
    greets, gives signs of life and says how far both are; RunRelaying hears of commits; this class passes messages on.

    Events beside those of BaseSync: `apart` (span), see peers.roles.clock_offset; `dialled` (), before our `connect`.
    """

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

    def _begin_link(self) -> None:
        super()._begin_link()
        self._replication = Replication(self, is_dialling=self.connection.dialled)

    # Messages

    def cost(self, message: Message) -> int:
        if isinstance(message, (Pieces, Fill, Synced)):
            return 0  # see on_pieces; a `synced` that answers nothing ends the link
        return PROOF_COST if isinstance(message, (Prove, ShowBlocks)) else super().cost(message)

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
        self._with_peer(partial(self._replication.hear, message))

    def _on_entries(self, message: Pieces | Fill) -> None:
        self.runs.follow(_entries_of(message))
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

    # What Replication needs of its role, see RunRole

    def send(self, message: Message | Same | Differ) -> None:
        if isinstance(message, HEARD) and (self._is_closing or not self.connected):
            return  # the answer to what was handled before the end
        if isinstance(message, (Pieces, Fill)):
            size = size_of(_entries_of(message))
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

    def write(self, work: Callable[[RunStore], Sequence[Taken]], then: Callable[[Sequence[Taken]], None]) -> None:
        self.react(self.runs.write(work), partial(self._answer, then))

    def may_send(self) -> bool:
        return self._progress.bytes_in_flight < self._progress.pace.window

    def page_bytes(self) -> int:
        return self._progress.pace.page_bytes

    def clock_ms(self) -> int:
        return self.runs.follow(())

    def may_begin(self, birth: Birth) -> bool:
        self.reading.spend(1, 0)
        origin = birth.origin
        if origin is None or origin != self.other_node_id:
            return True
        wait_ms = self.reading.begin_epoch(origin)
        if wait_ms and not self.is_timing("accept"):
            self.start_timer("accept", wait_ms, self._replication.accept)
        return not wait_ms

    def has_room(self) -> bool:
        return self.runs.has_room

    def on_pieces(self, shown: Sequence[Entry], idle_messages: int, idle_bytes: int) -> None:
        if idle_messages or idle_bytes:
            self.reading.spend(idle_messages, idle_bytes)
        other = self.other_node_id or ""
        own = [event for event in shown if event.origin == other and not event.vouched]
        if own:
            self.reading.spend_events(other, len(own), sum([event.size for event in own]))

    def _on_room(self) -> None:
        if self.authenticated and self.connected and self.runs.has_room:
            self._guard(partial(self._with_peer, self._replication.on_room))

    def _answer(self, then: Callable[[Any], None], done: Later[Any]) -> None:
        self._hear_commits()
        self._with_peer(partial(then, done.result()))


def _entries_of(message: Pieces | Fill) -> list[Entry]:
    if isinstance(message, Fill):
        return [entry for _, entry in message.events]
    return [item for piece in message.pieces for item in piece.items if isinstance(item, Entry)]
