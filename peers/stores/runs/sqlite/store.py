"""A store of runs in SQLite: opening, transactions, and the checks of what is read to be sent or compared."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from struct import error as struct_error
from typing import Any, Unpack

from peers.events.columns import EventTable, Items
from peers.events.created import Created
from peers.events.dot import MAX_SEQ, Dot, Epoch
from peers.events.entry import Entry
from peers.events.piece import Piece
from peers.events.proof import Block, Proof
from peers.events.run import Content, RunHash
from peers.facts.fact import Fact, Tip, fact_id_of
from peers.stores.arrivals import Arrival
from peers.stores.run_store import RunState
from peers.stores.runs.epochs import leaves_at
from peers.stores.runs.forks import RunRules
from peers.stores.runs.rows import EpochRow, RunNumbers, RunRow, Standing, signed_name
from peers.stores.runs.sqlite.copies import TABLE_COLUMNS
from peers.stores.runs.sqlite.epoch_rows import EpochTables
from peers.stores.runs.sqlite.order import Walker
from peers.stores.runs.sqlite.rows import SqliteRunRows
from peers.stores.runs.undoing import mark_undone
from peers.stores.sqlite.arrival_rows import ArrivalRows
from peers.stores.sqlite.counters import load_facts, save_facts
from peers.stores.sqlite.layout import damaged
from peers.stores.sqlite.many import LOOKUP
from peers.stores.store import Looked, Place, StoreError, Walk, WalkOptions
from peers.stores.taken import Change

_FACTS = ("last_added", "last_position", "events", "clock_ms", "conflicts", "hollow", "refused", "waiting", "marked")

MARKED_AT_ONCE = 50_000
"""Positions of a file of a release before that one transaction looks at for `logux/undo`."""
NOTED_POSITIONS = 1_000
"""After so many it is noted that marks are complete; up to so many are looked at again at an opening."""
CHECKED_RUNS = 64
"""Whose hashes are kept in memory."""
_NONSENSE = (TypeError, ValueError, LookupError, AttributeError, OverflowError, AssertionError, struct_error)
"""What reading rows raises where a value is not what was written."""

_Snapshot = tuple[int, int, RunNumbers, RunNumbers]
"""How many epochs have a number, the length of the journal, and the numbers in the file and in memory: never changed."""


class SqliteRunStore(SqliteRunRows, RunRules):
    """Keeps everything in the file at `path`, in SQLite's WAL mode.

    `synchronous` is SQLite's: FULL survives a power cut; NORMAL and OFF survive a crash of the process only. It may be
    made on one thread and used on another, but by one at a time.

    Once it was open, only that very file is written: a commit that writes fails with StoreError while the file, or its
    write-ahead log, is not at its path.

    With `checkpoint_lock`, checkpoints run on a thread of their own while the store is open, and hold it meanwhile; without,
    some commits wait for them. Above WAL_LIMIT_BYTES of its write-ahead log a commit waits all the same.

    What is sent or compared of a run is hashed when it is read, or a checksum of it is noted: if the disk has changed it, that
    raises StoreError.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        synchronous: str = "FULL",
        checkpoint_lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        super().__init__(path, synchronous=synchronous, checkpoint_lock=checkpoint_lock)
        self._tables = EpochTables(self._execute, self._path)
        self._walker = Walker(self._execute, self._nodes)
        self._tabler = Walker(self._execute, self._nodes, TABLE_COLUMNS)
        self._arrivals = ArrivalRows(self._execute, self._nodes.numbered, self._nodes.name)
        self._checked: dict[tuple[Epoch, int], RunHash] = {}
        """Runs that were read last, as far as they were: one who follows them needs only what is new. The last one last."""
        self._saved = self._numbers
        """Those in the file; never changed in place."""
        self._unwritten: dict[Epoch, None] = {}
        """Epochs whose rows are written before the commit: many pieces may change the same one."""
        self._is_marked = False
        """Whether marks are complete."""

    def open(self) -> RunState:
        self._open()
        return self.state

    def _open(self) -> None:
        super()._open()
        self._mark_rest()
        if self._without_author():
            with self.transaction():
                self._give_authors()
        if unrecorded := self._unrecorded():
            with self.transaction():
                for leaf, position in unrecorded:
                    self._note(leaf, position)

    def _mark_rest(self) -> None:
        """Mark what is undone by events that were written since the last note, also by a release without marks."""
        self._is_marked = False
        after, last = self._numbers.marked, self._numbers.last_position
        while after < last:
            end = min(after + MARKED_AT_ONCE, last)
            with self._explained():
                likely = self._undo_marks.likely(after, end)
            if likely or end - after >= NOTED_POSITIONS:
                with self.transaction(), self._explained():
                    for start in range(0, len(likely), LOOKUP):
                        copies = self._copies.entries(self._copies.at(likely[start : start + LOOKUP]))
                        mark_undone(self._undo_marks, (), {copy.created: copy for copy in copies})
                    self._note_marked(end)
            after = end
        self._is_marked = True

    def _note_marked(self, position: int) -> None:
        if position - self._numbers.marked >= NOTED_POSITIONS:
            self._numbers.marked = position

    # What is in memory

    def _load(self, connection: sqlite3.Connection) -> None:
        self._restore((0, 0, self._saved, self._saved))
        try:
            with self._explained():
                facts = load_facts(connection)
        except (ValueError, TypeError) as error:
            raise damaged(self._path, f"its numbers are unreadable ({error})") from error
        self._numbers = RunNumbers(**{key: facts.get(key, 0) for key in _FACTS})
        self._saved = self._numbers.copy()
        with self._explained():
            self._begin()

    def _read_epochs(self) -> Iterable[EpochRow]:
        for _, row in self._tables.read():
            self._number(row.epoch)
            yield row

    def _read_vouching(self) -> Iterable[Epoch]:
        # What a damaged row says is noticed when its run is read.
        return [self._names[number - 1] for number in self._tables.vouching() if 0 < number <= len(self._names)]

    def _snapshot(self) -> _Snapshot:
        if self._opened().in_transaction:
            numbers = self._numbers.copy()
        else:
            numbers = self._saved
            self._journal.clear()  # of the transaction before, which was committed
            self._unwritten.clear()
        return len(self._names), len(self._journal), self._saved, numbers

    def _restore(self, snapshot: _Snapshot) -> None:
        known, mark, self._saved, numbers = snapshot
        self._give_back(mark)
        self._numbers = numbers.copy()
        for number, epoch in enumerate(self._names[known:], known + 1):
            if self._epoch_numbers.get(epoch) == number:  # else it has the one back that it had before it was renamed
                del self._epoch_numbers[epoch]
        del self._names[known:]
        self._nodes.forget()
        self._places.forget()
        self._copies.forget()
        self._arrivals.forget()
        self._checked.clear()

    def _save(self, snapshot: _Snapshot) -> None:
        if self._is_marked:
            self._note_marked(self._numbers.last_position)
        rows = [self._epochs[epoch] for epoch in self._unwritten if epoch in self._epochs]  # else it was taken back
        self._tables.put(self._opened(), [(self._number(row.epoch), row) for row in rows])
        self._unwritten.clear()
        save_facts(self._opened(), _FACTS, self._saved, self._numbers)
        self._saved = self._numbers.copy()

    def writes(self) -> int:
        return super().writes() + len(self._unwritten)

    # Epochs and runs

    def _put_epochs(self, rows: Sequence[EpochRow]) -> None:
        self._unwritten |= dict.fromkeys([row.epoch for row in rows])

    def _rename_epoch(self, epoch: Epoch, name: Epoch) -> None:
        number = self._epoch_numbers[epoch]
        self._remember(self._epoch_numbers, epoch, None)
        self._remember(self._epoch_numbers, name, number)
        self._journal.append((self._names, number - 1, epoch))
        self._names[number - 1] = name
        self._execute("DELETE FROM proofs WHERE epoch = ?", (number,))
        self._checked.clear()

    def _put_runs(self, rows: Sequence[RunRow]) -> None:
        self._tables.put_runs(self._opened(), [(self._number(row.epoch), row) for row in rows])

    def _run_with(self, epoch: Epoch, seq: int) -> RunRow | None:
        return self._tables.run_with(epoch, self._number_of(epoch), seq)

    def _runs_before(self, epoch: Epoch, before: int, limit: int) -> list[RunRow]:
        return self._tables.runs_before(epoch, self._number_of(epoch), before, limit)

    def _proof_of(self, epoch: Epoch) -> Proof | None:
        return self._tables.proof(self._number_of(epoch))

    def _put_proof(self, proof: Proof) -> None:
        self._tables.put_proof(self._number(proof.birth.epoch), proof)

    # Facts

    def _read_facts(self) -> Iterable[bytes]:
        if not self._has_table("mesh_facts"):
            return []
        rows = self._execute("SELECT id, fact FROM mesh_facts ORDER BY number").fetchall()
        if any(not isinstance(data, bytes) or fact_id_of(data) != fact_id for fact_id, data in rows):
            raise damaged(self._path, "a fact of the mesh is not what was written")
        return [data for _, data in rows]

    @property
    def has_facts(self) -> bool:
        """Whether the file has facts of any mesh, also of another one than that of `enter_mesh`."""
        return any(True for _ in self._read_facts())

    def _put_facts(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            self._execute("INSERT INTO mesh_facts (id, fact) VALUES (?, ?)", (fact.id, fact.data))

    def _has_table(self, name: str) -> bool:
        """False only in a file of an earlier release that is only read."""
        return self._execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,)).fetchone() is not None

    # Arrivals

    def arrive(self, first: int, ms: int, via: str) -> None:
        with self._explained():
            self._arrivals.put(self._opened(), first, self._numbers.last_position, ms, via)

    def arrival(self, position: int) -> Arrival | None:
        with self._reading():
            return self._arrivals.at(position) if self._has_table("arrivals") else None

    def came_since(self, ms: int) -> tuple[int, int] | None:
        with self._reading():
            return self._arrivals.since(self._numbers.last_position, ms) if self._has_table("arrivals") else None

    # Reading

    def aside_of(self, created: Created) -> list[Entry]:
        with self._explained():
            return super().aside_of(created)

    def undone(self, createds: Collection[Created]) -> set[Created]:
        with self._explained():
            return super().undone(createds) if self._has_table("undo_marks") else set()

    def undone_by_cleaned(self, after: int, until: int) -> set[Created]:
        with self._explained():
            return super().undone_by_cleaned(after, until) if self._has_table("undo_marks") else set()

    def has_undone(self) -> bool:
        with self._explained():
            return self._has_table("undo_marks") and super().has_undone()

    def find(self, created: Created) -> Entry | None:
        with self._explained():
            event = self._shown(created)
            return None if event is None or event.tombstone else event

    def look(self, most: int | None, **options: Unpack[WalkOptions]) -> Looked:
        with self._explained():
            try:
                rows, rest = self._walker.rows(Walk(**options), most)
            except ValueError:
                raise damaged(self._path, "an event has no `type`") from None
            return Looked(tuple(self._copies.entries(rows)), None if rest is None else self._copies.entry(rest))

    def table(self, after: Place | None, *, until: int, limit: int, max_bytes: int) -> tuple[EventTable, Place | None]:
        with self._explained():
            rows, is_all = self._tabler.some(Walk(younger_than=after, limit=limit), max_bytes)
            end = None if is_all else self._copies.place(rows[-1])
            return self._copies.table(rows, until), end

    def head(self, epoch: Epoch, seq: int) -> bytes | None:
        with self._reading():
            return super().head(epoch, seq)

    def tips(self, key: bytes) -> tuple[Tip, ...]:
        with self._reading():
            return super().tips(key)

    def signature(self, epoch: Epoch) -> tuple[int, bytes]:
        with self._reading():
            return super().signature(epoch)

    def proof(self, epoch: Epoch) -> Proof | None:
        with self._reading():
            return super().proof(epoch)

    def blocks(self, epoch: Epoch, *, before: int | None = None, limit: int = 16) -> list[Block]:
        with self._reading():
            return super().blocks(epoch, before=before, limit=limit)

    def changes(self, after: int, limit: int) -> tuple[Change, ...]:
        with self._reading():
            return super().changes(after, limit)

    def hollow(self, epoch: Epoch | None = None) -> Iterator[Dot]:
        with self._reading():
            yield from super().hollow(epoch)

    def is_held(self, dot: Dot) -> bool:
        with self._reading():
            return bool(super().events_at([dot]))

    def events_at(self, dots: Sequence[Dot]) -> list[tuple[Dot, Entry]]:
        with self._reading():
            found = super().events_at(dots)
            for run in dict.fromkeys([self._run_row(*dot) for dot, _ in found]):
                self._hash_up_to(run, run.last)
            return found

    def piece(self, epoch: Epoch, start: int, last: int = MAX_SEQ) -> Piece | None:
        with self._reading():
            if (piece := super().piece(epoch, start, last)) is not None:
                self._check_piece(piece)
            return piece

    # Damage

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What is sent or compared is read here: what cannot be understood was changed on the disk."""
        with self._explained():
            try:
                yield
            except _NONSENSE as error:
                raise damaged(self._path, f"what it has of an epoch is unreadable ({error})") from error

    def _check_piece(self, piece: Piece) -> None:
        """Raise StoreError unless its entries, with those before them in the run, give its head."""
        run = self._run_row(piece.epoch, piece.start)
        is_whole = (piece.start, piece.last, piece.head) == (run.first, run.last, run.head)
        if is_whole and self._is_content(run, piece.items):
            return
        of_run = self._checked.pop((run.epoch, run.first), None)
        if of_run is None or of_run.last != piece.start - 1:
            of_run = RunHash(signed_name(run.epoch), run.first, run.before)
            if piece.start > run.first:
                before = self._items(run.epoch, run.first, piece.start - 1)
                of_run.add(run.kinds[: len(before)], leaves_at(before))
        of_run.add(piece.kinds, piece.leaves)
        if of_run.head != piece.head:
            raise self._changed(run)
        self._checked[run.epoch, run.first] = of_run
        if len(self._checked) > CHECKED_RUNS:
            del self._checked[next(iter(self._checked))]

    def _is_content(self, run: RunRow, items: Items) -> bool:
        """Whether these items of a whole run are known to be what was written."""
        content = Content().after(items)
        if content is None or not self._has_table("contents"):
            return False
        return self._tables.is_content(self._number_of(run.epoch), run.first, content)

    def _hash_up_to(self, run: RunRow, last: int) -> RunHash:
        with self._reading():  # a run that grows is read by writes, too
            whole = super()._hash_up_to(run, run.last)
            if whole.head != run.head:
                raise self._changed(run)
            return whole if last == run.last else super()._hash_up_to(run, last)

    def _block(self, run: RunRow) -> Block:
        block = super()._block(run)
        if block.head(signed_name(run.epoch)) != run.head:
            raise self._changed(run)
        return block

    def _read(self, epoch: Epoch, first: int, last: int) -> list[Standing]:
        standings = super()._read(epoch, first, last)
        for seq, (position, _, item) in enumerate(standings, first):
            # The row that came with an entry has its dot, until that counts no more, or one is better than a vouched one; or
            # another one, after that counted for a while no more.
            if (
                type(item) is Entry
                and item.position == position
                and item.dot != (epoch, seq)
                and self._counts((epoch, seq))
                and not self._stamp((epoch, seq))[1]
                and all(item.dot != change.dot for change in self._dots_of(item))
            ):
                raise damaged(self._path, f"the event of the entry {seq} of the epoch {epoch} says another one")
        return standings

    def _changed(self, run: RunRow) -> StoreError:
        what = f"an entry of the epoch {run.epoch}, from {run.first} to {run.last}, is not what was signed"
        return damaged(self._path, what)
