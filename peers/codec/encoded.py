"""EncodedPieces: the bytes of the newest pieces, so that each is encoded once for all sessions of a log."""

from __future__ import annotations

from collections import OrderedDict

from peers.codec.pieces import RawPiece, fitting, raw_piece
from peers.events.dot import Epoch
from peers.events.piece import Piece

KEPT_PIECES = 256
KEPT_BYTES = 512 * 1024
"""Of their bytes on the wire, at most; a single one may have more."""


class EncodedPieces:
    """Holds what was sent or received last."""

    def __init__(self) -> None:
        self._pieces: OrderedDict[tuple[Epoch, int, int], RawPiece] = OrderedDict()
        """By epoch, first and last seq."""
        self._bytes = 0

    def put(self, raw: RawPiece) -> None:
        """A piece came: it can be relayed as it is."""
        key = (raw.epoch, raw.start, raw.last)
        before = self._pieces.pop(key, None)
        if before is not None:
            self._bytes -= len(before.raw)
        self._pieces[key] = raw
        self._bytes += len(raw.raw)
        while len(self._pieces) > KEPT_PIECES or (self._bytes > KEPT_BYTES and len(self._pieces) > 1):
            _, oldest = self._pieces.popitem(last=False)
            self._bytes -= len(oldest.raw)

    def of(self, piece: Piece) -> RawPiece:
        """The piece with its bytes: those that came, or were made before, if they are of these very items."""
        raw = self._pieces.get((piece.epoch, piece.start, piece.last))
        if raw is None or raw.items is not piece.items or raw.signature != piece.signature:
            try:
                raw = raw_piece(piece)
            except ValueError:
                return raw_piece(fitting(piece))
            self.put(raw)
        return raw
