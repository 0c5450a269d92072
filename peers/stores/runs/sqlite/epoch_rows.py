"""The rows of epochs, runs and proofs in SQLite. A checksum in each tells when the disk has changed it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from struct import Struct
from struct import error as struct_error
from typing import Any
from zlib import crc32

from peers.events.dot import Epoch
from peers.events.proof import Cut, Proof
from peers.events.run import OWN, RUN_ENTRIES, VOUCHED, Content
from peers.stores.runs.rows import EpochRow, RunRow
from peers.stores.sqlite.layout import damaged
from peers.stores.sqlite.many import ManyRows

_NUMBERS = Struct(">QQQQ")
_PUT_EPOCHS = ManyRows(
    "INSERT OR REPLACE INTO epochs (number, name, birth, seq, head, first, grown, cut, cut_head, mark, checksum)", 11
)
_PUT_RUNS = ManyRows("INSERT OR REPLACE INTO runs (epoch, first, last, before, head, kinds, signature, checksum)", 8)
_PUT_CONTENT = "INSERT OR REPLACE INTO contents (epoch, first, ms, n, bodies) VALUES (?, ?, ?, ?, ?)"
_CONTENT = "SELECT ms, n, bodies FROM contents WHERE epoch = ? AND first = ?"
_RUN = "SELECT first, last, before, head, kinds, signature, checksum FROM runs WHERE epoch = ?"
_RUN_WITH = f"{_RUN} AND first <= ? ORDER BY first DESC LIMIT 1"
_RUNS_BEFORE = f"{_RUN} AND first < ? ORDER BY first DESC LIMIT ?"


class EpochTables:
    """The tables `epochs`, `runs` and `proofs`."""

    def __init__(self, execute: Callable[..., sqlite3.Cursor], path: Path) -> None:
        self._execute = execute
        self._path = path

    def read(self) -> Iterator[tuple[int, EpochRow]]:
        """All epochs, by their numbers. Raises StoreError (damage) if one was changed on the disk."""
        rows = self._execute(
            "SELECT number, name, birth, seq, head, first, grown, cut, cut_head, mark, checksum FROM epochs ORDER BY number"
        )
        for number, (at, name, birth, seq, head, first, grown, cut, cut_head, mark, checksum) in enumerate(rows, 1):
            if number != at:
                raise damaged(self._path, f"the epoch with the number {number} is missing")
            try:
                if checksum != _checksum(
                    (seq, first, grown, _of_cut(cut)), name, birth, head, cut_head or b"", mark or b""
                ):
                    raise ValueError("it is not what was written")
                of_cut = None if cut is None else Cut(cut, cut_head)
                row = EpochRow(name.hex(), birth, seq, head, first, grown, of_cut, mark or b"")
            except (TypeError, ValueError, AttributeError, struct_error) as error:
                raise damaged(self._path, f"the epoch with the number {number} is unreadable ({error})") from error
            yield number, row

    def put(self, connection: sqlite3.Connection, rows: Sequence[tuple[int, EpochRow]]) -> None:
        """Add epochs, with their numbers, or put them in place of those that have them."""
        values: list[Any] = []
        for number, row in rows:
            name, birth = bytes.fromhex(row.epoch), row.born
            cut, cut_head = row.cut or (None, None)
            checksum = _checksum(
                (row.seq, row.first, row.grown, _of_cut(cut)), name, birth, row.head, cut_head or b"", row.mark
            )
            values += (number, name, birth, row.seq, row.head, row.first, row.grown)
            values += (cut, cut_head, row.mark or None, checksum)
        _PUT_EPOCHS.write(connection, values)

    def vouching(self) -> list[int]:
        """The numbers of the epochs with entries that vouch for others."""
        rows = self._execute("SELECT epoch, kinds FROM runs WHERE typeof(kinds) = 'blob'").fetchall()
        return sorted({epoch for epoch, kinds in rows if not VOUCHED.keys().isdisjoint(kinds)})

    def put_runs(self, connection: sqlite3.Connection, rows: Sequence[tuple[int, RunRow]]) -> None:
        """The same of runs, with the numbers of their epochs."""
        values: list[Any] = []
        for number, run in rows:
            kinds = run.kinds if run.kinds.count(OWN) < len(run.kinds) else None
            values += (number, run.first, run.last, run.before, run.head, kinds, run.signature)
            values.append(_checksum_of_run(number, run))
            if run.content is not None:
                connection.execute(_PUT_CONTENT, (number, run.first, *run.content[1:]))
        _PUT_RUNS.write(connection, values)

    def is_content(self, number: int, first: int, content: Content) -> bool:
        """Whether this is what was put with the run of an epoch that begins at `first`."""
        found: tuple[int, int, int] | None = self._execute(_CONTENT, (number, first)).fetchone()
        return found == content[1:]

    def run_with(self, epoch: Epoch, number: int, seq: int) -> RunRow | None:
        """The run that has this entry."""
        row = self._execute(_RUN_WITH, (number, seq)).fetchone()
        run = self._run(epoch, number, row) if row else None
        return run if run is not None and seq <= run.last else None

    def runs_before(self, epoch: Epoch, number: int, before: int, limit: int) -> list[RunRow]:
        """Runs that begin before the seq `before`, the last one first."""
        rows = self._execute(_RUNS_BEFORE, (number, before, limit)).fetchall()
        return [self._run(epoch, number, row) for row in rows]

    def proof(self, number: int) -> Proof | None:
        """The proof of the fork of an epoch. Raises StoreError (damage) if it is none any more."""
        row = self._execute("SELECT proof FROM proofs WHERE epoch = ?", (number,)).fetchone()
        if row is None:
            return None
        try:
            proof = Proof.decode(row[0])
            proof.check()
        except (TypeError, ValueError) as error:
            raise damaged(self._path, f"the proof of a fork is unreadable ({error})") from error
        return proof

    def put_proof(self, number: int, proof: Proof) -> None:
        """Keep it, in place of another one of the same epoch."""
        self._execute("INSERT OR REPLACE INTO proofs (epoch, proof) VALUES (?, ?)", (number, proof.encode()))

    def _run(self, epoch: Epoch, number: int, row: tuple[Any, ...]) -> RunRow:
        first, last, before, head, kinds, signature, checksum = row
        try:
            if not 0 <= last - first < RUN_ENTRIES:
                raise ValueError("it is too long")
            run = RunRow(epoch, first, last, before, head, kinds or bytes(last - first + 1), signature)
            is_as_written = checksum == _checksum_of_run(number, run)
        except (TypeError, ValueError, struct_error):
            is_as_written = False
        if not is_as_written:
            raise damaged(self._path, f"the run of the epoch {epoch} that begins with the entry {first} is unreadable")
        return run


def _checksum_of_run(number: int, run: RunRow) -> int:
    return _checksum((number, run.first, run.last, 0), run.before, run.head, run.kinds, run.signature)


def _checksum(numbers: tuple[int, int, int, int], *parts: bytes) -> int:
    return crc32(b"".join((_NUMBERS.pack(*numbers), *parts)))


def _of_cut(seq: int | None) -> int:
    """A cut at 0 is another thing than none."""
    return 0 if seq is None else seq + 1
