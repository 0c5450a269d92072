"""Fold: one state of a view, folded in log order; a late event takes back what comes after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

import msgspec

from mesh.views.layers import Layers
from mesh.views.state import Apply, Changes, ViewState
from mesh.views.store import Flush, Olds, ViewProgress, ViewStore
from mesh.views.undo import Rewinder
from peers.events.columns import EventTable
from peers.events.created import Created
from peers.events.entry import Entry
from peers.stores.store import Place, StoreError
from peers.stores.undo import UNDO


class _Typed(msgspec.Struct):
    type: str


_decode_type = msgspec.json.Decoder(_Typed).decode
_decode_events = msgspec.json.Decoder(list[dict[str, Any]]).decode
_type_of = itemgetter("type")


class Fold:
    """Used by one actor, in its turns.

    All events with an `added` up to `added` are folded, but for those that are `waiting`, which come next, and while it
    `is_walking` those after `walked` in log order.
    """

    def __init__(self, number: int, progress: ViewProgress, store: ViewStore, apply: Apply) -> None:
        self.number = number
        self.layers = Layers(store, number, keys=progress.keys, size=progress.bytes, digest=progress.digest)
        self.rewinder = Rewinder(progress.segments, progress.place)
        self._todo, self._at = EventTable.of(), 0
        """What is to be folded next, in log order, from this row on."""
        self.place = progress.place
        """Of the last event that is folded."""
        self.added, self.mark = progress.added, progress.mark
        self.is_walking = progress.is_walking
        self.walked = progress.place
        self.folded, self.without = progress.folded, progress.without
        self.copies = dict(progress.copies)
        self.changed = progress.changed
        """Events that became undone or are shown in another way, which is not applied yet."""
        self.is_changed = False
        """Whether anything is another than in the file, and in what is on its way to it."""
        self.is_going_back = False
        """Whether `go_back` is to follow."""
        self._goal: Place | None = None
        """What readers see was folded up to here, while a rewind is folded again."""
        self._progress = progress
        self.types = None if progress.types is None else frozenset(progress.types)
        """Those of this view; None: all but UNDO."""
        self._apply = apply
        self._state = ViewState(self.layers.read_for_fold, self.layers.all_keys)
        self._due = max(progress.due, progress.folded)
        """How many events are to be folded by now, and those that are waiting or ahead of a walk."""

    # What comes

    def is_wanted(self, kind: str) -> bool:
        """Whether this view folds events of a type."""
        return kind in self.types if self.types is not None else kind != UNDO

    def wanted(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those of the types of this view."""
        return [entry for entry in entries if self.is_wanted(_decode_type(entry.body).type)]

    @property
    def waiting(self) -> int:
        """How many events are to be folded next."""
        return len(self._todo) - self._at

    @property
    def next_entry(self) -> Entry:
        """The first of them, while there are `waiting` ones."""
        return self._todo.entry(self._at)

    @property
    def last_key(self) -> Any:
        """The key that the last call of `apply` came to last; None: there is none."""
        return self._state.last_key

    @property
    def unread(self) -> StoreError | None:
        """Why the file could not be read in the last call of `apply`; None: it could."""
        return self._state.unread

    @property
    def next_place(self) -> Place | None:
        """That of the first of them; of the last event that is folded while none waits."""
        return self._todo.place(self._at) if self.waiting else self.place

    def take(self, table: EventTable, until: int, mark: Created | None) -> Place | None:
        """New events of any type, with an `added` up to `until`; `mark` is the `created` of that. Nothing is to be done before.

        If memory does not reach back to the first late one, its place: then `go_back` must follow.
        """
        self.added, self.mark = until, mark
        self.is_changed = True
        new = table.in_order()
        is_late = bool(new) and self.place is not None and new.place(0) <= self.place
        if not is_late and not self.is_walking:  # nearly always; fold_some leaves out those of other types
            self._todo, self._at = new, 0
            return None
        is_wanted = [self.is_wanted(_decode_type(body).type) for body in new.bodies]
        wanted = new.at([row for row, is_one in enumerate(is_wanted) if is_one])
        self._due += len(wanted)
        new = wanted.at([row for row in range(len(wanted)) if not self.is_ahead(wanted.place(row))])
        if not new:
            return None
        place = new.place(0)
        if self.place is None or place > self.place:
            self._todo, self._at = new, 0
            return None
        return self.rewind(place, new)

    def rewind(
        self, place: Place, new: EventTable | None = None, *, without: frozenset[Created] = frozenset()
    ) -> Place | None:
        """Take back what was folded from a place on, and fold it again with these, and without some.

        If memory does not reach back so far, the place: then `go_back` must follow.
        """
        if not self.rewinder.is_recent(place):
            return place
        self._begin_rewind()
        assert self.layers.shadow is not None
        gone = self.rewinder.take_back(place, self.layers.shadow)
        self.place = self.rewinder.last_place
        self.folded -= len(gone)
        gone += self._todo[self._at :]
        if new is not None:
            gone += new
        self._due -= len(without)
        self._todo, self._at = gone.without(without).in_order(), 0
        return None

    def is_ahead(self, place: Place) -> bool:
        """Whether a walk comes to this place."""
        return self.is_walking and (self.walked is None or place > self.walked)

    def doubt(self) -> None:
        """It is not known how many events are to be folded, since some became undone."""
        self._due = 0

    def go_back(self, segment: int, in_file: Olds) -> None:
        """Go back to the begin of a segment; what the file has of old values since then. A walk follows."""
        self._begin_rewind()
        self.is_going_back = False
        assert self.layers.shadow is not None
        gone = self.rewinder.events
        self.place = self.rewinder.go_back(segment, self.layers.shadow, in_file)
        self.folded -= gone - self.rewinder.events
        self._todo, self._at = EventTable.of(), 0
        self.is_walking, self.walked = True, self.place

    def walk(self, table: EventTable, end: Place | None) -> None:
        """Events of any type in log order after `walked`, up to `end`; None: these are all."""
        self.is_changed = True
        self._todo, self._at = table, 0
        self.walked = end if end is not None else self.walked
        if end is None:
            self.is_walking = False

    # Folding

    def fold_some(self, most: int, keys: dict[str, None] | None) -> None:
        """Fold up to so many of the events that wait; `keys`, if it is given, gets the keys that changed.

        Raises what `apply` raises, or StoreError with `unread`; then that event is the next one, and those before it are
        folded.
        """
        changes, start = Changes(), self._at
        table = self._todo[start : start + most]
        end = start + len(table)
        events = _events_of(table.bodies)
        rows: Sequence[int] = range(len(table))
        if not all(map(self.is_wanted, set(map(_type_of, events)))):
            rows = [row for row, event in enumerate(events) if self.is_wanted(event["type"])]
            table, events = table.at(rows), [events[row] for row in rows]
        layers = self.layers
        with layers.lock:
            try:
                self._state.fold(table, events, self._apply, layers.news, layers.before, changes)
                self._at = end
            except BaseException:
                self._at = start + rows[len(changes.counts)]
                table = table[: len(changes.counts)]
                raise
            finally:
                if table:
                    self.place = table.place(-1)
                    self.folded += len(table)
                    self.is_changed = True
                    if keys is not None:
                        keys.update(dict.fromkeys(changes.keys))
                    layers.commit(changes)
                    self.rewinder.add(table, changes)
        if self._at == len(self._todo):
            self._todo, self._at = EventTable.of(), 0

    def settle(self, *, is_sure: bool) -> list[str]:
        """To be called when none waits, or from time to time: show what was folded again, once it is whole.

        The keys that readers see changed by it. `is_sure`: what was folded once, and is not there any more, was cleaned.
        Raises StoreError; it may be called again then.
        """
        is_done = not self.waiting and not self.is_walking
        if is_done:
            missing = max(0, self._due - self.folded) if is_sure else 0
            self.without += missing
            self.is_changed = self.is_changed or missing > 0
            self._due = self.folded
        is_whole = is_done or self._goal is None or (self.place is not None and self.place >= self._goal)
        if self.layers.shadow is None or not is_whole:
            return []
        changed = self.layers.publish()
        self._goal = None
        return changed

    @property
    def is_rewound(self) -> bool:
        """Whether readers see an older state, until what was rewound is folded again."""
        return self.is_going_back or self.layers.shadow is not None

    def has(self, added: int, place: Place | None) -> bool:
        """Whether readers see the event with this `added`, and this place if it is known."""
        if self.added < added or self.is_rewound:
            return False
        is_done = not self.waiting and not self.is_walking
        return is_done or (place is not None and self.place is not None and self.place >= place)

    def shown(self) -> dict[str, Any]:
        """What the status says of it."""
        place = None if self.place is None else [self.place[0], list(self.place[1])]
        return {
            "events": self.folded,
            "place": place,
            "keys": self.layers.keys,
            "bytes": self.layers.bytes,
            "folded_without": self.without,
            "digest": self.layers.cheap_digest,
        }

    # The file

    def progress(self) -> ViewProgress:
        """How far it has come."""
        return msgspec.structs.replace(
            self._progress,
            place=self.place,
            added=self.added,
            mark=self.mark,
            is_walking=self.is_walking or self.waiting > 0,
            folded=self.folded,
            due=self._due,
            without=self.without,
            keys=self.layers.keys,
            copies=dict(self.copies),
            changed=self.changed,
            segments=[msgspec.structs.replace(segment) for segment in self.rewinder.segments],
        )

    def begin_flush(self, *, is_complete: bool) -> Flush:
        """What the file lacks. Not while it `is_rewound`. `end_flush` must follow before the next one."""
        olds, last_kept = self.rewinder.flushed()
        merges = self.rewinder.merges()
        first_kept = self.rewinder.first_kept()
        layer = self.layers.begin_flush()
        self.is_changed = False
        return Flush(
            self.number,
            self.progress(),
            layer.news,
            layer.before,
            olds,
            last_kept,
            merges,
            first_kept,
            is_complete=is_complete,
        )

    def end_flush(self, written: ViewProgress) -> None:
        """The file has it."""
        self._progress = written
        self.layers.end_flush(written.digest, written.bytes)

    def _begin_rewind(self) -> None:
        self.is_changed = True
        if self.layers.shadow is None:
            self.layers.shadow = {}
            self._goal = self.place


def _events_of(bodies: Sequence[bytes]) -> list[dict[str, Any]]:
    return _decode_events(b"[%b]" % b",".join(bodies))
