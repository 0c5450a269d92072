"""Where the entries of a store are: the position of a dot, and the dot at a position.

Both are kept as lists of pieces in which seqs and positions follow each other, in rows of up to PIECES of them. The length of
the last piece of a row is not written: it goes on to the next row, or to the end. So a writer that is alone writes no row
here, and five that take turns write 5 to 7 bytes an entry.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from peers.stores.sqlite.layout import damaged

PIECES = 128
"""Of one row."""
TAILS = 1_000
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


class Stretch(NamedTuple):
    """Entries, or one fill, whose positions and seqs follow each other."""

    position: int
    epoch: int
    """Its number."""
    seq: int
    is_fill: bool
    length: int = 1


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
    last: Stretch
    expected: dict[int, int]
    """The seq after the last one before the last piece, by epoch."""


class EntryPlaces:
    """Keeps both lists of a file. Numbers stand for epochs."""

    def __init__(self, execute: Callable[..., sqlite3.Cursor], path: Path) -> None:
        self._execute = execute
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
        self._add_step(Stretch(position, epoch, seq, False, count))
        tail = self._span_tail(epoch)
        if tail is not None:
            length = seq - tail.seq
            left_out = position - tail.position - length
            if not left_out:
                return
            if len(tail.places) < 2 * PIECES - 1:
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
        self._add_step(Stretch(position, epoch, seq, True))

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

    def _add_step(self, step: Stretch) -> None:
        tail = self._steps or self._step_tail()
        position, epoch, seq, is_fill, _ = step
        mark = -epoch if is_fill else epoch
        if tail is not None:
            last = tail.last
            count = position - last.position
            if epoch == last.epoch and seq == last.seq + count and not is_fill and not last.is_fill:
                return
            if len(tail.steps) < 3 * PIECES - 1:
                expected = tail.expected
                if not last.is_fill:
                    expected[last.epoch] = last.seq + count
                steps = tail.steps
                steps += (count, mark, seq - expected.get(epoch, 0))
                self._execute("UPDATE steps SET steps = ? WHERE position = ?", (_encode(steps), tail.row))
                self._steps = _StepTail(tail.row, steps, step, expected)
                return
        steps = [mark, seq]
        self._execute("INSERT INTO steps VALUES (?, ?)", (position, _encode(steps)))
        self._steps = _StepTail(position, steps, step, {})

    def _step_tail(self) -> _StepTail | None:
        row = self._execute(_LAST_STEP).fetchone()
        if row is None:
            return None
        steps = self._decoded(row[1])
        expected: dict[int, int] = {}
        *_, last = _steps_of(row[0], steps, expected)
        return _StepTail(row[0], steps, last, expected)

    # Reading

    def positions(self, epoch: int, first: int, last: int) -> list[int]:
        """The positions of the entries from `first` to `last`. Raises StoreError (damage) if the first one has none."""
        pieces: list[tuple[int, int]] = []
        for row, places in self._execute(_SPANS, (epoch, first, last)).fetchall():
            pieces += _pieces_of(row, self._decoded(places))
        if not pieces or pieces[0][0] > first:
            raise damaged(self._path, f"the entry {first} of epoch number {epoch} has no place")
        found: list[int] = []
        for (seq, position), (end, _) in pairwise([*pieces, (last + 1, 0)]):
            if end > first and seq <= last:
                start = max(seq, first)
                found += range(position + start - seq, position + min(end, last + 1) - seq)
        return found

    def steps(self, after: int, limit: int, last_position: int) -> list[Stretch]:
        """At most `limit` steps after a position, in order; the first may be the rest of one."""
        found: list[Stretch] = []
        # One more than may be needed, since the last piece of a row ends where the next row begins.
        rows = self._execute(_STEPS, (after + 1, limit // PIECES + 3)).fetchall()
        for (row, steps), (following, _) in pairwise([*rows, (last_position + 1, b"")]):
            for step, end in _with_ends(_steps_of(row, self._decoded(steps), {}), following):
                if end > after + 1 and step.position <= last_position:
                    skipped = max(0, after + 1 - step.position)
                    found.append(
                        Stretch(
                            step.position + skipped,
                            step.epoch,
                            step.seq + skipped,
                            step.is_fill,
                            end - step.position - skipped,
                        )
                    )
                    if len(found) >= limit:
                        return found
        return found

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


def _steps_of(row: int, steps: Sequence[int], expected: dict[int, int]) -> Iterator[Stretch]:
    """The steps of a row, without their lengths; `expected` gets what is expected after those before the last."""
    position = row
    last: Stretch | None = None
    for mark, more, length in zip(steps[::3], steps[1::3], [*steps[2::3], 0], strict=True):
        epoch = abs(mark)
        last = Stretch(position, epoch, more + expected.get(epoch, 0), mark < 0)
        yield last
        if length and not last.is_fill:
            expected[epoch] = last.seq + length
        position += length


def _with_ends(steps: Iterable[Stretch], end: int) -> Iterator[tuple[Stretch, int]]:
    """Each step and the position after it; `end` is that after the last one."""
    before: Stretch | None = None
    for step in steps:
        if before is not None:
            yield before, step.position
        before = step
    if before is not None:
        yield before, end
