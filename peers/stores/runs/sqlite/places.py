"""Where the entries of a store are: the position of a dot, and the dot at a position.

Both are kept as lists of pieces in which seqs and positions follow each other, in rows of up to ROW_PIECES. The length of
the last piece of a row is not written: it goes on to the next row, or to the end. So a writer that is alone writes no row
here, and five that take turns write 5 to 7 bytes an entry.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

import msgspec

from peers.events.dot import Epoch
from peers.stores.sqlite.layout import damaged
from peers.stores.taken import Change

ROW_PIECES = 128
"""Of one row."""
TAILS = 256
"""Epochs whose last row is kept in memory."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[int]).decode

_LAST_SPAN = "SELECT seq, places FROM spans WHERE epoch = ? ORDER BY seq DESC LIMIT 1"
_SPANS = """
    SELECT seq, places FROM spans WHERE epoch = ?1 AND seq <= ?3
    AND seq >= (SELECT max(seq) FROM spans WHERE epoch = ?1 AND seq <= ?2) ORDER BY seq
"""
_LAST_STEP = "SELECT position, steps FROM steps ORDER BY position DESC LIMIT 1"
_STEPS = """
    SELECT position, steps FROM steps
    WHERE position >= ifnull((SELECT max(position) FROM steps WHERE position <= ?1), 0) ORDER BY position LIMIT ?2
"""


class _SpanTail(NamedTuple):
    """The last row of an epoch."""

    row: int
    """Its first seq."""
    places: list[int]
    """The first position; then for each further piece the length of the one before, and the positions left out since."""
    seq: int
    position: int
    """Where its last piece begins."""


class _StepTail(NamedTuple):
    """The last row of all."""

    row: int
    """Its first position."""
    steps: list[int]
    """Of each piece: the number of its epoch, negative for a fill; its seq, less what is expected; if it is not the last, its
    length.
    """
    position: int
    """Where its last piece begins."""
    mark: int
    """Its epoch."""
    seq: int
    expected: dict[int, int]
    """The seq after the last one before the last piece, by epoch."""


class EntryPlaces:
    """Keeps both lists of a file. Numbers stand for epochs; the one with the number i + 1 is `epochs[i]`."""

    def __init__(self, execute: Callable[..., sqlite3.Cursor], epochs: Sequence[Epoch], path: Path) -> None:
        self._execute = execute
        self._epochs = epochs
        self._path = path
        self._spans: dict[int, _SpanTail] = {}
        self._steps: _StepTail | None = None

    def forget(self) -> None:
        """The file is another one, or what was written last was taken back."""
        self._spans.clear()
        self._steps = None

    # Writing

    def insert(self, epoch: int, seq: int, position: int, count: int) -> None:
        """Note `count` entries, the first of them at `position`, which is after all positions before."""
        self._add_step(position, epoch, seq)
        tail = self._span_tail(epoch)
        if tail is not None:
            length = seq - tail.seq
            left_out = position - tail.position - length
            if not left_out:
                return
            if len(tail.places) < 2 * ROW_PIECES - 1:
                places = [*tail.places, length, left_out]
                self._execute(
                    "UPDATE spans SET places = ? WHERE epoch = ? AND seq = ?", (_encode(places), epoch, tail.row)
                )
                self._spans[epoch] = _SpanTail(tail.row, places, seq, position)
                return
        self._execute("INSERT INTO spans VALUES (?, ?, ?)", (epoch, seq, _encode([position])))
        self._spans[epoch] = _SpanTail(seq, [position], seq, position)

    def insert_fill(self, position: int, epoch: int, seq: int) -> None:
        """Note what is filled at a position, which is after all positions before."""
        self._add_step(position, -epoch, seq)

    def _span_tail(self, epoch: int) -> _SpanTail | None:
        tail = self._spans.get(epoch)
        if tail is None:
            row = self._execute(_LAST_SPAN, (epoch,)).fetchone()
            if row is None:
                return None
            places = self._decoded(row[1])
            *_, (seq, position) = _pieces_of(row[0], places)
            if len(self._spans) >= TAILS:
                self._spans.clear()
            tail = self._spans[epoch] = _SpanTail(row[0], places, seq, position)
        return tail

    def _add_step(self, position: int, mark: int, seq: int) -> None:
        tail = self._steps or self._step_tail()
        if tail is not None:
            length = position - tail.position
            if mark == tail.mark and mark > 0 and seq == tail.seq + length:
                return
            if len(tail.steps) < 3 * ROW_PIECES - 1:
                steps, expected = tail.steps, tail.expected
                if tail.mark > 0:
                    expected[tail.mark] = tail.seq + length
                steps += (length, mark, seq - expected.get(abs(mark), 0))
                self._execute("UPDATE steps SET steps = ? WHERE position = ?", (_encode(steps), tail.row))
                self._steps = _StepTail(tail.row, steps, position, mark, seq, expected)
                return
        steps = [mark, seq]
        self._execute("INSERT INTO steps VALUES (?, ?)", (position, _encode(steps)))
        self._steps = _StepTail(position, steps, position, mark, seq, {})

    def _step_tail(self) -> _StepTail | None:
        row = self._execute(_LAST_STEP).fetchone()
        if row is None:
            return None
        position, steps = row[0], self._decoded(row[1])
        expected: dict[int, int] = {}
        for mark, more, length in zip(steps[::3], steps[1::3], steps[2::3], strict=False):
            if mark > 0:
                expected[mark] = more + expected.get(mark, 0) + length
            position += length
        mark, more = steps[-2:]
        return _StepTail(row[0], steps, position, mark, more + expected.get(abs(mark), 0), expected)

    # Reading

    def positions(self, epoch: int, first: int, last: int) -> list[int]:
        """The positions of the entries from `first` to `last`. Raises StoreError (damage) if the first one has none."""
        rows = self._execute(_SPANS, (epoch, first, last)).fetchall()
        if not rows or rows[0][0] > first:
            raise damaged(self._path, f"the entry {first} of epoch number {epoch} has no place")
        found: list[int] = []
        for (row, data), (following, _) in pairwise([*rows, (last + 1, b"")]):
            places = self._decoded(data)
            seq, position = row, places[0]
            for length, left_out in zip_longest(places[1::2], places[2::2], fillvalue=0):
                end = seq + length
                if end > first and seq <= last:
                    if length == 1:
                        found.append(position)
                    else:
                        shift = position - seq
                        found += range(max(seq, first) + shift, min(end, last + 1) + shift)
                seq = end
                position += length + left_out
            shift = position - seq
            found += range(max(seq, first) + shift, min(following, last + 1) + shift)
        return found

    def changes(self, after: int, limit: int, last_position: int) -> list[Change]:
        """At most `limit` changes after a position, in order; the first may be the rest of one."""
        found: list[Change] = []
        # One more than may be needed, since the last piece of a row ends where the next row begins.
        rows = self._execute(_STEPS, (after + 1, limit // ROW_PIECES + 3)).fetchall()
        for (row, data), (following, _) in pairwise([*rows, (last_position + 1, b"")]):
            steps = self._decoded(data)
            position, expected = row, dict[int, int]()
            for mark, more, length in zip(steps[::3], steps[1::3], [*steps[2::3], 0], strict=True):
                epoch = abs(mark)
                seq = more + expected.get(epoch, 0)
                end = position + length if length else following
                if mark > 0:
                    expected[epoch] = seq + end - position
                if end > after + 1:
                    if position <= after:
                        position, seq = after + 1, seq + after + 1 - position
                    found.append(Change(position, (self._epoch(epoch), seq), end - position, mark < 0))
                    if len(found) >= limit:
                        return found
                position = end
        return found

    def _epoch(self, number: int) -> Epoch:
        if 0 < number <= len(self._epochs):
            return self._epochs[number - 1]
        raise damaged(self._path, f"the epoch with the number {number} is missing")

    def _decoded(self, data: bytes) -> list[int]:
        try:
            numbers = _decode(data)
        except msgspec.DecodeError as error:
            raise damaged(self._path, f"the places of entries are unreadable ({error})") from error
        if not numbers:
            raise damaged(self._path, "the places of entries are missing")
        return numbers


def _pieces_of(row: int, places: Sequence[int]) -> list[tuple[int, int]]:
    """(seq, position) of the beginning of each piece."""
    seq, position = row, places[0]
    pieces = [(seq, position)]
    for length, left_out in zip(places[1::2], places[2::2], strict=True):
        seq += length
        position += length + left_out
        pieces.append((seq, position))
    return pieces
