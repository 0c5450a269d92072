"""Another node, whose entries come to a log as over a link between nodes."""

from __future__ import annotations

from collections.abc import Sequence

from peers.events.entry import Entry
from peers.events.piece import Piece
from peers.later import Later
from peers.log.run_log import RunLog
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.taken import Taken
from tests.support.run_house import Writer, hollowed, put


class Elsewhere:
    """It has a key of its own, and a store in memory."""

    def __init__(self, number: int = 1) -> None:
        self._writer = Writer(number)
        self._store = MemoryRunStore()
        self._store.open()

    def write(self, *events: Entry) -> Sequence[Piece]:
        """Own entries of it, and the pieces that say them. What it knows already it does not write again."""
        return put(self._store, self._writer, *events, is_each_alone=True).pieces

    def bring(self, log: RunLog, *events: Entry) -> Later[Sequence[Taken]]:
        """It writes these events, and the log takes its entries."""
        return take(log, *self.write(*events))

    def name(self, log: RunLog, *events: Entry) -> Later[Sequence[Taken]]:
        """It writes these events, and the log takes its entries without the events."""
        return take(log, *[hollowed(piece) for piece in self.write(*events)])

    def fill(self, log: RunLog) -> Later[Sequence[Taken]]:
        """It sends the events of all its entries."""
        dots = [(epoch, seq) for epoch, end in self._store.ends().items() for seq in range(1, end.seq + 1)]
        events = self._store.events_at(dots)
        return log.write(lambda store: [store.fill(events)])


def take(log: RunLog, *pieces: Piece) -> Later[Sequence[Taken]]:
    """The log takes pieces of other nodes, as a session has it do."""
    clock_ms = log.follow([item for piece in pieces for item in piece.items if isinstance(item, Entry)])
    return log.write(lambda store: [store.take(pieces, clock_ms=clock_ms)])
