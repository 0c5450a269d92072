"""Checks of the epochs in a store's file: their runs, heads, signatures and proofs, and where their entries are.

Each check gives a sentence for each thing that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from peers.events.epoch import NO_HEAD, NO_KEY
from peers.events.signature import is_signed
from peers.stores.runs.rows import EpochRow, RunRow, signed_name
from peers.stores.runs.sqlite.reader import FileParts, SqliteRunReader
from peers.stores.store import StoreError
from peers.stores.taken import Change

_CHANGES = 500
_PLACES = 10_000
"""Positions that are looked at together: one writer alone has all in one change."""
_FIRSTS = "SELECT first FROM runs WHERE epoch = ? ORDER BY first"
_LAST = "SELECT max(first) FROM runs WHERE epoch = ?"
_ORPHAN_RUNS = "SELECT count(*) FROM runs WHERE epoch NOT IN (SELECT number FROM epochs)"


def check_ends(file: FileParts) -> Iterator[str]:
    """The end of each epoch, and its signature, without its entries."""
    for row in file.epochs.values():
        if row.seq:
            (first,) = file.execute(_LAST, (file.number_of(row.epoch),)).fetchone()
            run = _run_at(file, row, first)
            yield from [run] if isinstance(run, str) else [*_signature(row, run), *_end(row, run)]


def check_chains(reader: SqliteRunReader, on_entries: Callable[[int], None]) -> Iterator[str]:
    """All runs of all epochs, by their entries. `on_entries` gets how many were looked at."""
    file = reader.parts
    done = 0
    for row in file.epochs.values():
        if row.birth.epoch != signed_name(row.epoch):
            yield f"the epoch {row.epoch} is not the one of its birth"
        run: RunRow | None = None
        seq, head = 0, NO_HEAD
        firsts = file.execute(_FIRSTS, (file.number_of(row.epoch),)).fetchall()
        for (first,) in firsts:
            found = _run_at(file, row, first)
            if isinstance(found, str):
                yield found
                continue
            if first != seq + 1 or found.before != head:
                yield f"the run of the epoch {row.epoch} that begins with {first} does not continue the one before it"
            run, seq, head = found, found.last, found.head
            yield from _entries(reader, run)
            yield from _signature(row, run)
            done += run.last - run.first + 1
            on_entries(done)
        if run is not None:
            yield from _end(row, run)
        elif row.seq:
            yield f"the epoch {row.epoch} has {row.seq} entries, and none of its runs is here"
        yield from _cut(reader, row)
    (orphans,) = file.execute(_ORPHAN_RUNS).fetchone()
    if orphans:
        yield f"{orphans} runs are of no epoch"


def _run_at(file: FileParts, row: EpochRow, first: int | None) -> RunRow | str:
    """The run that begins there, or what is wrong with it."""
    try:
        run = None if first is None else file.tables.run_with(row.epoch, file.number_of(row.epoch), first)
    except StoreError as error:
        return str(error)
    return run if run is not None else f"the epoch {row.epoch} has {row.seq} entries, and its last run is missing"


def _entries(reader: SqliteRunReader, run: RunRow) -> Iterator[str]:
    try:
        reader.check_run(run)
    except StoreError as error:
        yield str(error)


def _cut(reader: SqliteRunReader, row: EpochRow) -> Iterator[str]:
    cut = row.cut
    if cut is None:
        return
    try:
        proof = reader.proof(row.epoch)
        is_known = 0 < cut.seq <= row.seq
        head = reader.head(row.epoch, cut.seq) if is_known else cut.head
    except StoreError as error:
        yield str(error)
        return
    if head != cut.head:
        yield f"the epoch {row.epoch} was cut at the entry {cut.seq}, where its head is another one"
    if proof is not None and (proof.mark != row.mark or proof.birth != row.birth):
        yield f"the proof that the epoch {row.epoch} forked is of another fork"
    if proof is None and row.key != NO_KEY:
        yield f"the proof that the epoch {row.epoch} forked is missing"


def _signature(row: EpochRow, run: RunRow) -> Iterator[str]:
    if row.key == NO_KEY or (not run.signature and row.bound is not None and run.last == row.seq):
        return
    if not is_signed(row.key, signed_name(row.epoch), run.last, run.head, run.signature):
        yield f"the entries of the epoch {row.epoch} up to {run.last} are not what their writer signed"


def _end(row: EpochRow, run: RunRow) -> Iterator[str]:
    if (run.first, run.last, run.head) != (row.first, row.seq, row.head):
        yield f"the epoch {row.epoch} ends at {row.seq} with another head than its last run, from {run.first} to {run.last}"


def check_places(file: FileParts) -> Iterator[str]:
    """The positions of all entries, without gaps, and what is there."""
    counts: dict[str, int] = {}
    first = after = 0
    while changes := file.places.changes(after, _CHANGES, file.numbers.last_position):
        first = first or changes[0].position
        for change in changes:
            if change.position != after + 1 and after:
                yield f"nothing is known of the positions from {after + 1} to {change.position - 1}"
            after = change.position + change.length - 1
            yield from _place(file, change, counts)
    for row in file.epochs.values():
        if counts.get(row.epoch, 0) != row.seq:
            yield f"the epoch {row.epoch} has {row.seq} entries, and {counts.get(row.epoch, 0)} have a position"
    yield from _rows(file, first, after)


def _place(file: FileParts, change: Change, counts: dict[str, int]) -> Iterator[str]:
    epoch, seq = change.dot
    number = file.number_of(epoch)
    if change.is_fill:
        if file.places.positions(number, seq, seq)[0] >= change.position:
            yield f"the entry {seq} of the epoch {epoch} got its event before it came"
        return
    if seq != counts.get(epoch, 0) + 1:
        yield f"the entries of the epoch {epoch} are not in order at the position {change.position}"
    counts[epoch] = counts.get(epoch, 0) + change.length
    for start in range(0, change.length, _PLACES):
        count = min(_PLACES, change.length - start)
        places = file.places.positions(number, seq + start, seq + start + count - 1)
        if places != list(range(change.position + start, change.position + start + count)):
            yield f"the entries from {seq + start} on of the epoch {epoch} are at two positions"


def _rows(file: FileParts, first: int, last: int) -> Iterator[str]:
    """Each position has one row."""
    for number, seq, position in file.execute("SELECT epoch, seq, position FROM hollow"):
        if file.places.positions(number, seq, seq) != [position]:
            yield f"the hollow entry {seq} of the epoch {file.name_of(number)} is not at its position"
    count = 0
    for table, others in (("events", ("further", "hollow")), ("further", ("hollow",)), ("hollow", ())):
        of_table = f"SELECT count(*) FROM {table} WHERE position BETWEEN ? AND ?"
        count += file.execute(of_table, (first, last)).fetchone()[0]
        for other in others:
            both = f"SELECT count(*) FROM {other} WHERE position IN (SELECT position FROM {table})"
            (rows,) = file.execute(both).fetchone()
            if rows:
                yield f"{rows} positions are in `{table}` and in `{other}`"
    if last and count != last - first + 1:
        yield f"{count} rows have the positions from {first} to {last}"
