"""The role of a node that breaks the rules: it says whatever a node can say that knows no key but its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from random import Random
from typing import Any

from msgspec import structs

from mesh.lab.roles.watched import WatchedPeerSync
from peers.codec.messages import Message
from peers.codec.pieces import RawPiece, raw_piece
from peers.codec.run_messages import Facts, Greeting, Pieces, RunConnect, RunConnected, RunHave, WantedEvents
from peers.events.dot import Epoch
from peers.events.epoch import END_BYTES, NONCE_BYTES, Birth, EpochEnd
from peers.events.leaf import HASH_BYTES
from peers.events.reconcile import Differ, Same
from peers.facts.fact import FACT_ID_BYTES
from peers.facts.fact_set import MeshEnd

WITHHELD = 0.4
"""Share of its pieces that go without the events, and of its messages of facts that name one that no node has."""
REPLAYED = 0.2
"""Share of its messages with entries that are sent again later, under another number."""
BOASTED = 0.3
"""Share of its greetings and claims that claim more than it has, or another history."""
REMEMBERED = 20
"""Messages with entries that it remembers."""


class HostilePeerSync(WatchedPeerSync):
    """A WatchedPeerSync that withholds events, claims what it has not, and sends old messages again."""

    def __init__(self, *args: Any, dice: Random, **options: Any) -> None:
        """`dice` decide what becomes of each message."""
        self._dice = dice
        self._old: deque[Pieces] = deque(maxlen=REMEMBERED)
        super().__init__(*args, **options)

    def send(self, message: Message | Same | Differ) -> None:
        if isinstance(message, Pieces):
            super().send(self._pieces(message))
        elif isinstance(message, RunHave):
            super().send(structs.replace(message, ends=self._boasted(message.ends)))
        elif isinstance(message, Facts) and self._dice.random() < WITHHELD:
            super().send(structs.replace(message, facts=(), ids=(self._dice.randbytes(FACT_ID_BYTES),)))
        elif isinstance(message, RunConnect | RunConnected) and message.options.runs is not None:
            options = structs.replace(message.options, runs=self._twisted(message.options.runs))
            super().send(structs.replace(message, options=options))
        else:
            super().send(message)

    def _pieces(self, message: Pieces) -> Pieces:
        """The message, without some events, or an old one in its place."""
        self._old.append(message)
        if self._dice.random() < REPLAYED:
            return structs.replace(self._dice.choice(self._old), number=message.number)
        return structs.replace(message, pieces=tuple(map(self._withheld, message.pieces)))

    def _withheld(self, raw: RawPiece) -> RawPiece:
        if self._dice.random() >= WITHHELD:
            return raw
        piece = raw.piece(Birth(self.key, bytes(NONCE_BYTES)))  # the birth does not go with it
        return raw_piece(structs.replace(piece, items=tuple(piece.leaves)))

    def _twisted(self, greeting: Greeting) -> Greeting:
        """It claims more, other facts of the mesh too, and calls hollow what it has."""
        facts = greeting.facts
        if facts is not None and self._dice.random() < BOASTED:
            facts = MeshEnd(facts.mesh, self._dice.randbytes(HASH_BYTES))
        dots = [(epoch, 1) for epoch, end in greeting.newest.items() if end.seq and self._dice.random() < BOASTED]
        ends = self._boasted(greeting.newest)
        return structs.replace(greeting, newest=ends, hollow=WantedEvents.of(dots), facts=facts)

    def _boasted(self, ends: Mapping[Epoch, EpochEnd]) -> dict[Epoch, EpochEnd]:
        return {epoch: self._more(end) if self._dice.random() < BOASTED else end for epoch, end in ends.items()}

    def _more(self, end: EpochEnd) -> EpochEnd:
        more = self._dice.randrange(4)
        return EpochEnd(end.seq + more, end.head if more else self._dice.randbytes(END_BYTES), end.mark)
