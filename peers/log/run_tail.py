"""The newest changes and pieces of a log, in memory, so that live events reach many sessions without a look at the disk."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from peers.events.columns import size_of
from peers.events.dot import MAX_SEQ, Dot, Epoch
from peers.events.piece import Piece, joined_pieces
from peers.events.proof import Way
from peers.stores.taken import Change

TAIL_CHANGES = 2_048
TAIL_ENTRIES = 8_192
"""Of all pieces. What one of many nodes writes is sent to each of the others, which need not be equally fast."""
TAIL_BYTES = 4 * 1024 * 1024

_position = attrgetter("position")


class NotRecentError(Exception):
    """Memory does not reach back to it, or never holds it: the store has to be asked."""


class RunTail:
    """Committed changes in the order of their positions, and the pieces that they came in; the oldest dropped."""

    def __init__(self, last_position: int) -> None:
        self._changes: list[Change] = []
        self._first_position = last_position + 1
        """From here on nothing is missing."""
        self._last_position = last_position
        self._pieces: dict[Dot, Piece] = {}
        """By epoch and first seq, the oldest first."""
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._entries = 0
        self._joined: Piece | None = None
        """The last pieces that were given as one: several who lack the same get it with what came since."""

    def __len__(self) -> int:
        """Entries and fills that it reaches back."""
        return self._last_position + 1 - self._first_position

    def add(self, changes: Sequence[Change], pieces: Sequence[Piece]) -> None:
        """Take all of one commit, in order."""
        if changes:
            self._changes += self._continued(changes)
            self._last_position = changes[-1].position + changes[-1].length - 1
        for piece in pieces:
            size = size_of(piece.items)
            if self._pieces.pop((piece.epoch, piece.start), None) is not None:
                self._joined = None
            self._pieces[piece.epoch, piece.start] = piece
            self._sizes.append(size)
            self._bytes += size
            self._entries += len(piece.kinds)
        while len(self._pieces) > 1 and (self._entries > TAIL_ENTRIES or self._bytes > TAIL_BYTES):
            self._drop_piece()
        if len(self._changes) > TAIL_CHANGES:
            del self._changes[: len(self._changes) // 2]
            self._first_position = self._changes[0].position

    def changes(self, after: int, limit: int) -> tuple[Change, ...] | None:
        """At most `limit` changes after a position, the first may be the rest of one; None if that is too far back."""
        if after + 1 < self._first_position:
            return None
        if not self._changes or self._changes[-1].position <= after + 1:
            start = len(self._changes)  # the usual case
        else:
            start = bisect_right(self._changes, after + 1, key=_position)
        found: list[Change] = []
        if start and (known := self._changes[start - 1]).position + known.length > after + 1:
            found.append(known.rest(after + 1 - known.position))
        found += self._changes[start : start + limit - len(found)]
        return tuple(found)

    def piece(self, epoch: Epoch, start: int, last: int = 0) -> Piece | None:
        """The piece that begins at this entry, as it was written or came; None if it is not here.

        With those that follow it here in its run, until one ends at `last` or later: their receiver verifies one signature for
        all of them.
        """
        pieces: list[Piece] = []
        piece = self._pieces.get((epoch, start))
        joined = self._joined
        if piece is not None and joined is not None and (joined.epoch, joined.start) == (epoch, start):
            piece = joined if joined.last <= last else piece
        while piece is not None and piece.first == (pieces or [piece])[0].first:
            pieces.append(piece)
            piece = self._pieces.get((epoch, piece.last + 1)) if piece.last < last else None
        if len(pieces) < 2:
            return pieces[0] if pieces else None
        self._joined = joined_pieces(pieces)
        return self._joined

    def forget_pieces(self) -> None:
        """What they hold may not be what is sent from now on: an event of theirs was cleaned, or their epoch forked."""
        self._pieces.clear()
        self._joined = None
        self._sizes.clear()
        self._bytes = self._entries = 0

    def forget(self) -> None:
        """What is said of changes up to now may not be so: entries have another name."""
        self.forget_pieces()
        self._changes.clear()
        self._first_position = self._last_position + 1

    def _continued(self, changes: Sequence[Change]) -> Sequence[Change]:
        """Those that follow the last change; of one writer alone there is one change, as in the store."""
        if not self._changes:
            return changes
        last, following = self._changes[-1], changes[0]
        epoch, seq = last.dot
        next_one = last.position + last.length, (epoch, seq + last.length)
        if last.is_fill or following.is_fill or following[:2] != next_one:
            return changes
        self._changes[-1] = Change(last.position, last.dot, last.length + following.length)
        return changes[1:]

    def _drop_piece(self) -> None:
        key = next(iter(self._pieces))
        if self._joined is not None and key == (self._joined.epoch, self._joined.start):
            self._joined = None
        self._entries -= len(self._pieces.pop(key).kinds)
        self._bytes -= self._sizes.popleft()


class RecentRuns:
    """What memory can answer of a RunStore's `changes`, `piece` and `needed_way`; all else raises NotRecentError."""

    def __init__(self, tail: RunTail, has_left: Callable[[bytes], bool]) -> None:
        """`has_left` says whether the node with a key has left its mesh."""
        self._tail = tail
        self._has_left = has_left

    def __getattr__(self, name: str) -> Any:
        raise NotRecentError

    def changes(self, after: int, limit: int) -> tuple[Change, ...]:
        """As RunStore.changes, but what is after a cut is not left out."""
        found = self._tail.changes(after, limit)
        if found is None:
            raise NotRecentError
        return found

    def needed_way(self, epoch: Epoch, after: int) -> Way | None:
        """As RunStore.needed_way: none, if what follows that entry is here and its key has not left."""
        if self._has_left(self.piece(epoch, after + 1, 0).birth.key):
            raise NotRecentError
        return None

    def piece(self, epoch: Epoch, start: int, last: int = MAX_SEQ) -> Piece:
        """As RunStore.piece, of pieces as they were written or came."""
        found = self._tail.piece(epoch, start, last)
        if found is None:
            raise NotRecentError
        return found
