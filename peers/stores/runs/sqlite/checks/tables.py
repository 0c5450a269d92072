"""Checks of what a store's file has beside the entries: counters, `added`, labels, marks of undo, keys, leaves, facts.

Each check gives a sentence for each thing that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from peers.events.created import created_from_key, created_key
from peers.events.entry import Entry
from peers.facts.fact import checked_fact
from peers.stores.keys import value_hash
from peers.stores.runs.epochs import leaf_at
from peers.stores.runs.sqlite.copies import COPY_COLUMNS
from peers.stores.runs.sqlite.key_rows import KEY_COLUMNS, key_row
from peers.stores.runs.sqlite.layout import ASIDE, BURIED, BURIED_EXCHANGED, EXCHANGED, SHOWN, WAITING
from peers.stores.runs.sqlite.reader import FileParts, SqliteRunReader
from peers.stores.store import KeyRow
from peers.stores.undo import undone_by

_AT_ONCE = 500
_SHOWN_FINDINGS = 100
_COUNTERS = {
    "events": f"SELECT count(*) FROM events WHERE state < {BURIED}",
    "conflicts": f"SELECT count(*) FROM events WHERE state = {ASIDE}",
    "waiting": f"SELECT count(*) FROM events WHERE state = {WAITING}",
    "last_added": f"SELECT ifnull(max(position - lag), 0) FROM events WHERE state < {ASIDE}",
    "last_position": """
        SELECT max(ifnull((SELECT max(position) FROM events), 0), ifnull((SELECT max(position) FROM further), 0),
        ifnull((SELECT max(position) FROM hollow), 0))
    """,
}
_EXCHANGED = f"SELECT position - lag FROM events WHERE state IN ({EXCHANGED}, {BURIED_EXCHANGED})"
_ADDED = f"SELECT position - lag, state FROM events WHERE state IN ({SHOWN}, {BURIED}) ORDER BY position"
_WITH_LABELS = f"""
    SELECT {COPY_COLUMNS} FROM events
    WHERE state < {BURIED} AND (extra IS NOT NULL OR local IS NOT NULL) ORDER BY position
"""
_HOLLOW = "SELECT is_refused, count(*) FROM hollow WHERE epoch = ? AND seq BETWEEN 1 AND ? GROUP BY is_refused"
_LABEL = "SELECT time, created FROM labels WHERE kind = ? AND name = ? AND position = ?"


def check_file(file: FileParts) -> Iterator[str]:
    """What SQLite says: pages, rows and indexes."""
    for (found,) in file.execute(f"PRAGMA integrity_check({_SHOWN_FINDINGS})"):
        if found != "ok":
            yield " ".join(str(found).split())


def check_counters(file: FileParts) -> Iterator[str]:
    """The numbers that are kept of all events."""
    numbers = file.numbers
    kept = {
        "events": numbers.events,
        "conflicts": numbers.conflicts,
        "waiting": numbers.waiting,
        "last_added": numbers.last_added,
        "last_position": numbers.last_position,
        "hollow": numbers.hollow,
        "refused": numbers.refused,
    }
    found = {name: file.execute(select).fetchone()[0] for name, select in _COUNTERS.items()}
    found |= {"hollow": 0, "refused": 0}
    for (number,) in file.execute("SELECT DISTINCT epoch FROM hollow").fetchall():
        last = file.epochs[file.name_of(number)].last
        for is_refused, count in file.execute(_HOLLOW, (number, last)):
            found["refused" if is_refused else "hollow"] += count
    for name, number in kept.items():
        if found[name] != number:
            yield f"`{name}` is {number}, and {found[name]} by the rows"
    if not 0 <= numbers.marked <= numbers.last_position:
        yield f"`marked` is {numbers.marked}, and the last position is {numbers.last_position}"


def check_added(file: FileParts) -> Iterator[str]:
    """`added` of all events that are or were shown: 1, 2, 3 ... in the order in which they came.

    A log of an earlier release may have gaps, where events were cleaned then: there it only rises.
    """
    (first,) = file.execute("SELECT min(position) FROM steps").fetchone()
    is_old = first != 1  # before it are the tombstones of that release
    others = {added for (added,) in file.execute(_EXCHANGED)}
    last = 0
    for added, state in file.execute(_ADDED):
        if is_old and state == BURIED:
            continue
        while last + 1 in others and not is_old:
            last += 1
        if added <= last or (not is_old and (added in others or added > last + 1)):
            yield f"the event with `added` {added} comes after the one with {last}"
            return
        last = added
    while last + 1 in others:
        last += 1
    if last != file.numbers.last_added and not is_old:
        yield f"`added` ends at {last}, and at {file.numbers.last_added} by the counter"


def check_labels(file: FileParts) -> Iterator[str]:
    """Reasons and indexes of events, by their metas."""
    expected = 0
    for event in _entries_of(file, _WITH_LABELS):
        for label in event.labels:
            expected += 1
            found = file.execute(_LABEL, (*label, event.position)).fetchone()
            if found != (event.time, created_key(event.created)):
                yield f"the {label[0]} {label[1]!r} of the event {list(event.created)} is not noted"
    (count,) = file.execute("SELECT count(*) FROM labels").fetchone()
    if count != expected:
        yield f"{count} reasons and indexes are noted, and events have {expected}"
    for (created,) in file.execute("SELECT created FROM last_kept"):
        created_from_key(created)


def check_marks(file: FileParts) -> Iterator[str]:
    """What is undone, by the events that undo it."""
    if not file.has_table("undo_marks"):
        return
    for undo_key, target_key in file.execute("SELECT undo, target FROM undo_marks"):
        undo = created_from_key(undo_key)
        event = file.copies.shown(undo)
        if event is None or (not event.tombstone and undone_by(event.body) != created_from_key(target_key)):
            yield f"an event is marked as undone by {list(undo)}, which does not undo it"
    last = file.numbers.last_position
    for start in range(0, last, 50_000):
        likely = file.undo_marks.likely(start, min(start + 50_000, last))
        for event in _entries_at(file, likely):
            target = undone_by(event.body)
            if target is not None and file.undo_marks.by([event.created]).get(event.created) != target:
                yield f"{list(event.created)} undoes {list(target)}, which is not marked"


def check_keys(reader: SqliteRunReader) -> Iterator[str]:
    """Keys of adds, by the entries that these wrote."""
    file = reader.parts
    if not file.has_table("keys"):
        return
    rows = file.execute(f"SELECT {KEY_COLUMNS} FROM keys ORDER BY number")
    while some := rows.fetchmany(_AT_ONCE):
        keyed = [key_row(row, file.nodes, file.name_of) for row in some]
        held = dict(reader.events_at([row.dot for row in keyed]))
        for row in keyed:
            if why := _why_no_key(file, row, held.get(row.dot)):
                yield f"the key of an add names the event {list(row.created)}, and {why}"


def _why_no_key(file: FileParts, row: KeyRow, event: Entry | None) -> str:
    epoch, seq = row.dot
    known = file.epochs.get(epoch)
    if known is None or not 1 <= seq <= known.seq:
        return "its entry is not here"
    if event is None:  # it was cleaned
        return "" if file.copies.shown(row.created) is not None else "that was never here"
    if (event.created, event.time) != (row.created, row.time) or event.added not in (row.added, 0):
        return "its entry has another one"
    return "" if value_hash(event) == row.event else "that has another value"


def check_leaves(file: FileParts) -> Iterator[str]:
    """Leaves that are noted, by the copies of which they are."""
    rows = file.execute("SELECT leaf, copy FROM leaves")
    while some := rows.fetchmany(_AT_ONCE):
        copies = {copy.position: copy for copy in _entries_at(file, sorted({copy for _, copy in some}))}
        for leaf, position in some:
            if position not in copies or leaf_at(copies[position]) != leaf:
                yield f"the copy at the position {position} has another leaf than the one that is noted"


def check_facts(file: FileParts) -> Iterator[str]:
    """The facts of the mesh and their signatures."""
    if file.has_table("mesh_facts"):
        for number, data in file.execute("SELECT number, fact FROM mesh_facts ORDER BY number"):
            try:
                checked_fact(data)
            except (TypeError, ValueError) as error:
                yield f"the fact number {number} of the mesh does not hold: {error}"


def check_order(reader: SqliteRunReader, on_events: Callable[[int], None]) -> Iterator[str]:
    """That a walk gives all events, each later than the one before."""
    count = 0
    last: Entry | None = None
    while page := reader.each(after=last, limit=_AT_ONCE):
        places = [(event.time, event.created) for event in ([last] if last is not None else []) + list(page)]
        if any(one >= other for one, other in zip(places, islice(places, 1, None), strict=False)):
            yield f"the events after {list(places[0][1])} are not in the order of time"
        last = page[-1]
        count += len(page)
        on_events(count)
    if count != reader.parts.numbers.events:
        yield f"a walk in the order of time finds {count} events of {reader.parts.numbers.events}"


def _entries_of(file: FileParts, select: str) -> Iterator[Entry]:
    rows = file.execute(select)
    while some := rows.fetchmany(_AT_ONCE):
        yield from file.copies.entries(some)


def _entries_at(file: FileParts, positions: list[int]) -> Iterator[Entry]:
    for start in range(0, len(positions), _AT_ONCE):
        rows: list[Any] = file.copies.at(positions[start : start + _AT_ONCE])
        yield from file.copies.entries(rows)
