"""The role of a member that writes what no honest node writes: events of others, of another time, that end others' events."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from mesh.lab.roles.hostile import HostilePeerSync
from peers.codec.messages import Message
from peers.codec.pieces import raw_piece
from peers.codec.run_messages import Pieces
from peers.events.columns import events_of
from peers.events.dot import Epoch
from peers.events.entry import Entry
from peers.events.epoch import END_BYTES, Birth, EpochEnd
from peers.events.leaf import leaf_of
from peers.events.piece import Piece
from peers.events.run import ADOPTED_FORK, OWN, RunHash

LIED = 0.3
"""Share of its messages with entries that are a lie, and of its claims that name an epoch that no node has."""
OVERHEARD = 50
"""Events of others that it remembers."""
FUTURE_MS = 4_102_444_800_000
"""The year 2100."""
LIE = b'{"type":"lie"}'
ENDS_ALL = b'{"keep_last":"log"}'


class LyingPeerSync(HostilePeerSync):
    """A HostilePeerSync that signs lies too, each as the one entry of an epoch of its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._heard: deque[Entry] = deque(maxlen=OVERHEARD)
        super().__init__(*args, **options)

    def dispatch(self, message: Message) -> None:
        if self.authenticated and isinstance(message, Pieces):
            self._heard += [entry for piece in message.pieces for entry in events_of(piece.items)]
        super().dispatch(message)

    def _pieces(self, message: Pieces) -> Pieces:
        if self._heard and self._dice.random() < LIED:
            birth, piece = self._lie()
            return structs.replace(message, births=(birth,), pieces=(raw_piece(piece),))
        return super()._pieces(message)

    def _lie(self) -> tuple[Birth, Piece]:
        """About an event of another node that it has heard of, or beside it."""
        heard, pen = self._dice.choice(self._heard), self.runs.pen
        ms, _, number = heard.created
        mine = ms, pen.node_id, number
        kind, created, time_ms, extra = self._dice.choice(
            [
                (OWN, heard.created, 0, b""),
                (ADOPTED_FORK, heard.created, 0, b""),
                (ADOPTED_FORK, heard.created, heard.time, ENDS_ALL),
                (OWN, mine, heard.time, ENDS_ALL),
                (OWN, mine, FUTURE_MS, b""),
                (OWN, mine, FUTURE_MS, ENDS_ALL),
            ]
        )
        event = Entry(created, time_ms, LIE, extra)
        birth = Birth(pen.signer.public, pen.nonce(), node_id=pen.node_id)
        run = RunHash(birth.epoch, 1)
        run.add([kind], [leaf_of(created, time_ms, extra, LIE)])
        signature = pen.signer.sign(birth.epoch, 1, run.head)
        return birth, Piece(birth.epoch, birth, 1, 1, bytes([kind]), (event,), run.head, signature)

    def _boasted(self, ends: Mapping[Epoch, EpochEnd]) -> dict[Epoch, EpochEnd]:
        claimed = super()._boasted(ends)
        if self._dice.random() < LIED:
            claimed[self._dice.randbytes(16).hex()] = EpochEnd(3, self._dice.randbytes(END_BYTES), b"")
        return claimed
