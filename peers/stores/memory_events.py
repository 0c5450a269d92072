"""The events of a store in memory: in their orders, with their labels, and how to take back what a transaction did."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import TypeVar, Unpack

from msgspec import structs

from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.reasons import Kept, Label, kept_by
from peers.stores.event_rows import EventRows
from peers.stores.memory_walk import walk_by_added, walk_by_place
from peers.stores.store import MAX_ADD_KEYS, MAX_CURSORS, KeyRow, Looked, Place, StoreError, Walk, WalkOptions

K = TypeVar("K")
V = TypeVar("V")
_Undo = Callable[[], object]
_NUMBER = itemgetter(0)


class MemoryEvents(EventRows):
    """Keeps everything for as long as the object lives: `close` and `open` it as often as you like."""

    def __init__(self) -> None:
        super().__init__()
        self._is_open = False
        self._undo: list[_Undo] | None = None
        """How to take back what the transaction did, None outside of one."""
        self._events: dict[Created, Entry] = {}
        """Each event with its first dot and the position of its own row."""
        self._by_created: list[tuple[int, Created]] = []
        self._by_added: list[tuple[int, Created]] = []
        self._by_position: list[tuple[int, Created]] = []
        self._by_label: dict[Label, dict[Created, None]] = {}
        """Events that have a reason or an index."""
        self._kept_last: dict[Kept, Place] = {}
        self._cursors: dict[str, tuple[int, int]] = {}
        """Those that were kept longest ago come first."""
        self._keys: dict[bytes, KeyRow] = {}
        """The same."""

    def close(self) -> None:
        """Take back the open transaction, if there is one."""
        if self._undo is not None:
            self._take_back(0)
            self._undo = None
        self._is_open = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._require_open()
        if self._undo is not None:
            raise RuntimeError("a transaction is open already: they do not nest")
        undo: list[_Undo] = [partial(setattr, self, "_numbers", self._numbers.copy())]
        self._undo = undo
        try:
            yield
            if self._undo is not undo:
                raise StoreError("the store in memory was closed in a transaction, which is taken back")
        except BaseException:
            if self._undo is undo:
                self._take_back(0)
            raise
        finally:
            if self._undo is undo:
                self._undo = None

    def find(self, created: Created) -> Entry | None:
        self._require_open()
        event = self._events.get(created)
        return None if event is None or event.tombstone else event

    def look(self, most: int | None, **options: Unpack[WalkOptions]) -> Looked:
        self._require_open()
        walk = Walk(**options)
        if walk.index is None:
            places, numbers = self._by_created, self._by_added
        else:
            labelled = self._having(("index", walk.index))
            places = sorted([_place(event) for event in labelled])
            numbers = sorted([(event.added, event.created) for event in labelled])
        if walk.order == "added":
            return walk_by_added(walk, most, numbers, self._events)
        return walk_by_place(walk, most, places, self._events)

    def cursors(self, other_node_id: str) -> tuple[int, int]:
        self._require_open()
        return self._cursors.get(other_node_id, (0, 0))

    def keep_cursors(self, other_node_id: str, synced: int, other_synced: int) -> None:
        with self._piece():
            self._on_undo(partial(setattr, self, "_cursors", self._cursors))
            others = [item for item in self._cursors.items() if item[0] != other_node_id]
            others.append((other_node_id, (synced, other_synced)))
            self._cursors = dict(others[-MAX_CURSORS:])

    def keyed(self, keys: Sequence[bytes]) -> dict[bytes, KeyRow]:
        self._require_open()
        return {key: self._keys[key] for key in keys if key in self._keys}

    def keep_keys(self, rows: Sequence[KeyRow]) -> None:
        with self._piece():
            for row in rows:
                self._set(self._keys, row.key, row)
            gone = dict(islice(self._keys.items(), max(0, len(self._keys) - MAX_ADD_KEYS)))
            if gone:
                for key in gone:
                    del self._keys[key]
                self._on_undo(partial(self._put_first, gone))

    def _put_first(self, keys: dict[bytes, KeyRow]) -> None:
        later = dict(self._keys)
        self._keys.clear()
        self._keys.update(keys | later)

    def probe(self) -> None:
        self._on_undo(lambda: None)

    def all_cursors(self) -> Iterator[tuple[str, tuple[int, int]]]:
        return iter(self._cursors.items())

    def writes(self) -> int:
        return len(self._undo or ())

    def _set_local(self, event: Entry, local: bytes) -> None:
        self._put_event(event.created, structs.replace(self._events[event.created], local=local))

    def _living(self, after: int, limit: int) -> list[Entry]:
        start = bisect_right(self._by_position, after, key=_NUMBER)
        return [self._events[created] for _, created in self._by_position[start : start + limit]]

    def _labelled(self, label: Label, after: int, limit: int) -> list[Entry]:
        events = sorted(self._having(label), key=_position)
        return [event for event in events if event.position > after][:limit]

    def _with_older_reason(self, kept: Kept, place: Place) -> list[Entry]:
        having = self._having(("reason", kept[1]))
        own = [event for event in having if _place(event) < place and kept_by(event.created[1], kept[1]) == kept]
        return sorted(own, key=_place)

    def _last_kept(self, kept: Kept) -> Place | None:
        return self._kept_last.get(kept)

    def _set_last_kept(self, kept: Kept, place: Place) -> None:
        self._set(self._kept_last, kept, place)

    def _having(self, label: Label) -> list[Entry]:
        return [self._events[created] for created in self._by_label.get(label, ())]

    # One step each, with the way back

    @contextmanager
    def _piece(self) -> Iterator[None]:
        self._require_open()
        if self._undo is None:
            raise RuntimeError("a store is written inside a transaction only")
        mark = len(self._undo)
        before = self._numbers.copy()
        try:
            yield
        except BaseException:
            self._take_back(mark)
            self._numbers = before
            raise

    def _take_back(self, mark: int) -> None:
        steps = self._undo or []
        while len(steps) > mark:
            steps.pop()()

    def _on_undo(self, step: _Undo) -> None:
        if self._undo is not None:
            self._undo.append(step)

    def _set(self, table: dict[K, V], key: K, value: V | None) -> None:
        """Put the value there, or remove what is there for None."""
        self._on_undo(partial(_put, table, key, table.get(key)))
        _put(table, key, value)

    def _add_event(self, event: Entry) -> None:
        self._link(event)
        self._on_undo(partial(self._unlink, event))

    def _remove_event(self, event: Entry) -> None:
        self._unlink(event)
        self._on_undo(partial(self._link, event))

    def _put_event(self, created: Created, event: Entry) -> None:
        self._remove_event(self._events[created])
        self._add_event(event)

    def _link(self, event: Entry) -> None:
        self._events[event.created] = event
        if event.tombstone:
            return
        for label in event.labels:
            self._by_label.setdefault(label, {})[event.created] = None
        insort(self._by_created, (event.time, event.created))
        insort(self._by_added, (event.added, event.created))
        insort(self._by_position, (event.position, event.created))

    def _unlink(self, event: Entry) -> None:
        del self._events[event.created]
        if event.tombstone:
            return
        for label in event.labels:
            del self._by_label[label][event.created]
            if not self._by_label[label]:
                del self._by_label[label]
        del self._by_created[bisect_left(self._by_created, (event.time, event.created))]
        del self._by_added[bisect_left(self._by_added, (event.added, event.created))]
        del self._by_position[bisect_left(self._by_position, (event.position, event.created))]

    def _require_open(self) -> None:
        if not self._is_open:
            raise StoreError("the store in memory is closed: open it first")


def _put(table: dict[K, V], key: K, value: V | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


def _place(event: Entry) -> Place:
    return event.time, event.created


def _position(event: Entry) -> int:
    return event.position
