"""Layout 3 of a store's file: copies of events, where their entries are, and epochs as runs.

- `facts`: the numbers of RunState, but `epoch`, and what a probe wrote.
- `nodes`: node ids, by numbers that count from 1; `epochs` has such numbers too, which all other tables use.
- `epochs`: see EpochRow; `name` in 16 bytes, `birth` as Birth.encode, and NULL where no proof gave a cut. `runs`: see RunRow;
  `kinds` is NULL where all are OWN. `checksum` is a CRC-32 of the row. `proofs` has Proof.encode.
- `events`: the copies, at the position of the entry or fill that they came with. `epoch` and `seq` are where one was first
  seen; `body` is the leaf of one that was cleaned; `extra` and `local` are NULL where they are empty.
- `further`: entries and fills whose copy is at another position, `copy`. `hollow`: entries without an event, refused ones too.
- `leaves`: the leaves on record, and the positions of their copies.
- `spans`: from an entry of an epoch on, where the entries are; `steps`: from a position on, what is there. Both are lists of
  numbers in MessagePack; see EntryPlaces. Both go on to the next row, so they grow only where writers take turns.
- `labels` and `cursors` as in layout 2; so is `last_kept`, but that `reason` is what `kept_key` makes: files of earlier
  releases have the reason alone there until they are opened.
- `mesh_facts`: see Fact; `number` gives the order in which they came. `keys`: see KeyRow; the same, and `time` is NULL where it
  is `ms`.
- `undo_marks`: the `created` of each `logux/undo` that is shown, or was cleaned, and of the event that it undoes, as
  `created_key` makes them. The fact `marked` is the position up to which they are complete; the file may have more of them.
- `arrivals`: see Arrival and ArrivalRows.
- `contents`: Content of the run of an epoch that begins at `first`, as it was when its events were all plain.

Files of earlier releases get the last five when they are opened.
"""

from __future__ import annotations

from peers.events.created import created_from_key
from peers.events.reasons import Kept, kept_by
from peers.stores.sqlite.layout import LIVES_AND_CURSORS, NEWEST_LAYOUT, Layout

SHOWN = 0
"""`events.state` of a copy that is shown. So is an EXCHANGED one."""
EXCHANGED = 1
"""Shown in place of another: its `added` is not in the order of positions."""
BURIED = 2
"""The tombstone of a copy that was shown, whose leaf is its `body`."""
BURIED_EXCHANGED = 3
ASIDE = 4
ASIDE_BURIED = 5
WAITING = 6
"""Of a copy that is not shown before its time comes."""

# `time` is NULL where it is `ms` and the copy is shown: nearly always. So one index finds an event and gives the order of all
# of these, and what was cleaned or has another time is not in its way. `lag` is `position` without `added`.
_SCHEMA = f"""
CREATE TABLE facts (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE nodes (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE epochs (
    number INTEGER PRIMARY KEY,
    name BLOB NOT NULL,
    birth BLOB NOT NULL,
    seq INTEGER NOT NULL,
    head BLOB NOT NULL,
    first INTEGER NOT NULL,
    grown INTEGER NOT NULL,
    cut INTEGER,
    cut_head BLOB,
    mark BLOB,
    checksum INTEGER NOT NULL
);
CREATE TABLE runs (
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    before BLOB NOT NULL,
    head BLOB NOT NULL,
    kinds BLOB,
    signature BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (epoch, first)
) WITHOUT ROWID;
CREATE TABLE proofs (epoch INTEGER PRIMARY KEY, proof BLOB NOT NULL);
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    ms INTEGER NOT NULL,
    node INTEGER NOT NULL,
    n INTEGER NOT NULL,
    time INTEGER,
    lag INTEGER NOT NULL DEFAULT 0,
    body BLOB NOT NULL,
    extra BLOB,
    local BLOB,
    state INTEGER NOT NULL DEFAULT {SHOWN}
);
CREATE UNIQUE INDEX events_by_created ON events (ms, node, n) WHERE time IS NULL;
CREATE UNIQUE INDEX others_by_created ON events (ms, node, n) WHERE time IS NOT NULL AND state < {ASIDE};
CREATE INDEX others_by_order ON events (time, ms, node, n) WHERE time IS NOT NULL AND state < {BURIED};
CREATE INDEX exchanged_by_added ON events (position - lag) WHERE state = {EXCHANGED};
CREATE INDEX aside_by_created ON events (ms, node, n) WHERE state >= {ASIDE};
CREATE TABLE further (position INTEGER PRIMARY KEY, copy INTEGER NOT NULL);
CREATE INDEX further_by_copy ON further (copy);
CREATE TABLE hollow (
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    position INTEGER NOT NULL,
    leaf BLOB NOT NULL,
    is_refused INTEGER NOT NULL,
    PRIMARY KEY (epoch, seq)
) WITHOUT ROWID;
CREATE INDEX hollow_by_leaf ON hollow (leaf);
CREATE TABLE leaves (leaf BLOB PRIMARY KEY, copy INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE spans (epoch INTEGER NOT NULL, seq INTEGER NOT NULL, places BLOB NOT NULL, PRIMARY KEY (epoch, seq)) WITHOUT ROWID;
CREATE TABLE steps (position INTEGER PRIMARY KEY, steps BLOB NOT NULL);
{LIVES_AND_CURSORS}"""

_TABLES = (
    "facts",
    "nodes",
    "epochs",
    "runs",
    "proofs",
    "events",
    "further",
    "hollow",
    "leaves",
    "spans",
    "steps",
    "labels",
    "last_kept",
    "cursors",
)

NODE_OF_LABEL = "substr(created, 9, length(created) - 17)"
"""The node id in `labels.created`, as bytes: see `created_key`."""

_LATER = f"""
CREATE TABLE IF NOT EXISTS mesh_facts (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, fact BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS undo_marks (undo BLOB PRIMARY KEY, target BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS arrivals (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    ms INTEGER NOT NULL,
    until INTEGER NOT NULL,
    node INTEGER
);
CREATE TABLE IF NOT EXISTS contents (
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    ms INTEGER NOT NULL,
    n INTEGER NOT NULL,
    bodies INTEGER NOT NULL,
    PRIMARY KEY (epoch, first)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS undo_marks_by_target ON undo_marks (target);
CREATE TABLE IF NOT EXISTS keys (
    number INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    event BLOB NOT NULL,
    ms INTEGER NOT NULL,
    node INTEGER NOT NULL,
    n INTEGER NOT NULL,
    time INTEGER,
    added INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS reasons_by_node ON labels (name, {NODE_OF_LABEL}, time, created) WHERE kind = 'reason';
CREATE INDEX IF NOT EXISTS waiting_by_time ON events (time, position) WHERE state = {WAITING}
"""

LAYOUT_3 = Layout(NEWEST_LAYOUT, _TABLES, _SCHEMA, _LATER)


def kept_key(kept: Kept) -> str:
    """What `last_kept` calls an author and a reason. No author has a line break."""
    return "\n".join(kept)


def with_author(reason: str, created: bytes) -> str:
    """The same of a row that has the reason alone, or has it already."""
    return reason if "\n" in reason else kept_key(kept_by(created_from_key(created)[1], reason))
