"""Checks of the epochs in a store's file: their runs, heads, signatures and proofs, and where their entries are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from peers.events.epoch import NO_HEAD, NO_KEY
from peers.events.signature import is_signed
from peers.stores.run_store import Change
from peers.stores.runs.rows import EpochRow, RunRow, signed_name
from peers.stores.runs.sqlite.reader import SqliteRunReader
from peers.stores.store import StoreError

_CHANGES = 500
_PLACES = 10_000
"""Positions that are looked at together: one writer alone has all in one change."""
_FIRSTS = "SELECT first FROM runs WHERE epoch = ? ORDER BY first"
_LAST = "SELECT max(first) FROM runs WHERE epoch = ?"
_ORPHAN_RUNS = "SELECT count(*) FROM runs WHERE epoch NOT IN (SELECT number FROM epochs)"


class ChainChecks(SqliteRunReader):
    """Each check gives a sentence for each thing that is wrong."""

    def entries_of_all(self) -> list[int]:
        """How many entries each epoch has."""
        return [row.seq for row in self._epochs.values()]

    def check_ends(self) -> Iterator[str]:
        """The end of each epoch, and its signature, without its entries."""
        for row in self._epochs.values():
            if row.seq:
                (first,) = self._execute(_LAST, (self._number_of(row.epoch),)).fetchone()
                run = self._run_at(row, first)
                yield from [run] if isinstance(run, str) else [*_signature(row, run), *_end(row, run)]

    def check_chains(self, on_entries: Callable[[int], None]) -> Iterator[str]:
        """All runs of all epochs, by their entries. `on_entries` gets how many were looked at."""
        done = 0
        for row in self._epochs.values():
            if row.birth.epoch != signed_name(row.epoch):
                yield f"the epoch {row.epoch} is not the one of its birth"
            run: RunRow | None = None
            seq, head = 0, NO_HEAD
            firsts = self._execute(_FIRSTS, (self._number_of(row.epoch),)).fetchall()
            for (first,) in firsts:
                found = self._run_at(row, first)
                if isinstance(found, str):
                    yield found
                    continue
                if first != seq + 1 or found.before != head:
                    yield f"the run of the epoch {row.epoch} that begins with {first} does not continue the one before it"
                run, seq, head = found, found.last, found.head
                yield from self._check_entries(row, run)
                done += run.last - run.first + 1
                on_entries(done)
            if run is not None:
                yield from _end(row, run)
            elif row.seq:
                yield f"the epoch {row.epoch} has {row.seq} entries, and none of its runs is here"
            yield from self._check_cut(row)
        (orphans,) = self._execute(_ORPHAN_RUNS).fetchone()
        if orphans:
            yield f"{orphans} runs are of no epoch"

    def _run_at(self, row: EpochRow, first: int | None) -> RunRow | str:
        """The run that begins there, or what is wrong with it."""
        try:
            run = None if first is None else self._run_with(row.epoch, first)
        except StoreError as error:
            return str(error)
        return run if run is not None else f"the epoch {row.epoch} has {row.seq} entries, and its last run is missing"

    def _check_entries(self, row: EpochRow, run: RunRow) -> Iterator[str]:
        try:
            with self._reading():
                self._hash_up_to(run, run.last)
                self._read(run.epoch, run.first, run.last)  # compares the events with their own rows, besides
        except StoreError as error:
            yield str(error)
        yield from _signature(row, run)

    def _check_cut(self, row: EpochRow) -> Iterator[str]:
        cut = row.cut
        if cut is None:
            return
        try:
            with self._reading():
                proof = self._proof_of(row.epoch)
                is_known = 0 < cut.seq <= row.seq
                head = self.head(row.epoch, cut.seq) if is_known else cut.head
        except StoreError as error:
            yield str(error)
            return
        if head != cut.head:
            yield f"the epoch {row.epoch} was cut at the entry {cut.seq}, where its head is another one"
        if proof is not None and (proof.mark != row.mark or proof.birth != row.birth):
            yield f"the proof that the epoch {row.epoch} forked is of another fork"
        if proof is None and row.key != NO_KEY:
            yield f"the proof that the epoch {row.epoch} forked is missing"

    def check_places(self) -> Iterator[str]:
        """The positions of all entries, without gaps, and what is there."""
        counts: dict[str, int] = {}
        first = after = 0
        while changes := self._places.changes(after, _CHANGES, self._numbers.last_position):
            first = first or changes[0].position
            for change in changes:
                if change.position != after + 1 and after:
                    yield f"nothing is known of the positions from {after + 1} to {change.position - 1}"
                after = change.position + change.length - 1
                yield from self._check_place(change, counts)
        for row in self._epochs.values():
            if counts.get(row.epoch, 0) != row.seq:
                yield f"the epoch {row.epoch} has {row.seq} entries, and {counts.get(row.epoch, 0)} have a position"
        yield from self._check_rows(first, after)

    def _check_place(self, change: Change, counts: dict[str, int]) -> Iterator[str]:
        epoch, seq = change.dot
        if change.is_fill:
            place = self._places.positions(self._number_of(epoch), seq, seq)
            if place[0] >= change.position:
                yield f"the entry {seq} of the epoch {epoch} got its event before it came"
            return
        if seq != counts.get(epoch, 0) + 1:
            yield f"the entries of the epoch {epoch} are not in order at the position {change.position}"
        counts[epoch] = counts.get(epoch, 0) + change.length
        for start in range(0, change.length, _PLACES):
            count = min(_PLACES, change.length - start)
            places = self._places.positions(self._number_of(epoch), seq + start, seq + start + count - 1)
            if places != list(range(change.position + start, change.position + start + count)):
                yield f"the entries from {seq + start} on of the epoch {epoch} are at two positions"

    def _check_rows(self, first: int, last: int) -> Iterator[str]:
        """Each position has one row."""
        for number, seq, position in self._execute("SELECT epoch, seq, position FROM hollow"):
            if self._places.positions(number, seq, seq) != [position]:
                yield f"the hollow entry {seq} of the epoch {self._name_of(number)} is not at its position"
        count = 0
        for table, others in (("events", ("further", "hollow")), ("further", ("hollow",)), ("hollow", ())):
            (rows,) = self._execute(
                f"SELECT count(*) FROM {table} WHERE position BETWEEN ? AND ?", (first, last)
            ).fetchone()
            count += rows
            for other in others:
                both = f"SELECT count(*) FROM {other} WHERE position IN (SELECT position FROM {table})"
                (rows,) = self._execute(both).fetchone()
                if rows:
                    yield f"{rows} positions are in `{table}` and in `{other}`"
        if last and count != last - first + 1:
            yield f"{count} rows have the positions from {first} to {last}"


def _signature(row: EpochRow, run: RunRow) -> Iterator[str]:
    if row.key == NO_KEY or (not run.signature and row.bound is not None and run.last == row.seq):
        return
    if not is_signed(row.key, signed_name(row.epoch), run.last, run.head, run.signature):
        yield f"the entries of the epoch {row.epoch} up to {run.last} are not what their writer signed"


def _end(row: EpochRow, run: RunRow) -> Iterator[str]:
    if (run.first, run.last, run.head) != (row.first, row.seq, row.head):
        yield f"the epoch {row.epoch} ends at {row.seq} with another head than its last run, from {run.first} to {run.last}"
