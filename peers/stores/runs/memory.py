"""The store of runs in memory: for tests, for nodes that keep nothing, and as the lab's simulated disk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

from msgspec import structs

from peers.events.created import Created
from peers.events.dot import Dot, Epoch
from peers.events.entry import WAITS, Entry
from peers.events.proof import Proof
from peers.events.run import VOUCHED
from peers.facts.fact import Fact
from peers.stores.arrivals import MAX_ARRIVALS, Arrival, counted, extended, found_in, paired
from peers.stores.event_rows import AlreadyKnown
from peers.stores.memory_events import MemoryEvents
from peers.stores.run_store import RunState
from peers.stores.runs.epochs import put_back
from peers.stores.runs.forks import RunRules
from peers.stores.runs.rows import EpochRow, Hollow, RunRow, Standing
from peers.stores.runs.undoing import UndoTable
from peers.stores.taken import Change

T = TypeVar("T")

_FIRST = attrgetter("first")


class MemoryUndoMarks(UndoTable):
    """`put` sets or removes a value of a table, which is taken back with the transaction."""

    def __init__(self, put: Callable[[dict[Created, Any], Created, Any], None]) -> None:
        self._put = put
        self._marks: dict[Created, Created] = {}
        """What is undone, by the event that undoes it."""
        self._times: dict[Created, int] = {}
        """By how many events each of these is undone."""

    def by(self, undos: Collection[Created]) -> dict[Created, Created]:
        return {undo: self._marks[undo] for undo in undos if undo in self._marks}

    def marked(self, targets: Collection[Created]) -> set[Created]:
        return {target for target in targets if target in self._times}

    def are_any(self) -> bool:
        return bool(self._marks)

    def put(self, marks: Mapping[Created, Created]) -> None:
        for undo, target in marks.items():
            if undo not in self._marks:
                self._put(self._marks, undo, target)
                self._put(self._times, target, self._times.get(target, 0) + 1)

    def remove(self, undos: Collection[Created]) -> None:
        for undo, target in self.by(undos).items():
            self._put(self._marks, undo, None)
            self._put(self._times, target, self._times[target] - 1 or None)


class MemoryRunStore(MemoryEvents, RunRules):
    """Keeps everything for as long as the object lives: `close` and `open` it as often as you like."""

    def __init__(self) -> None:
        super().__init__()
        self._copies: dict[int, Entry] = {}
        """Shown ones, those aside and tombstones, by the position of their row."""
        self._aside_places: dict[Created, list[int]] = {}
        self._waiting: dict[int, int] = {}
        """The positions of copies that wait."""
        self._places: dict[Epoch, list[int]] = {}
        """The position of the entry with seq i + 1."""
        self._steps: list[tuple[Dot, bool]] = []
        """What has the position i + 1, and whether it is a fill."""
        self._further: dict[int, int] = {}
        self._further_of: dict[int, list[int]] = {}
        """The positions whose further rows say this one."""
        self._hollow: dict[Dot, Hollow] = {}
        self._hollow_leaves: dict[bytes, list[Hollow]] = {}
        self._on_record: dict[bytes, int] = {}
        self._epoch_rows: dict[Epoch, EpochRow] = {}
        self._runs: dict[Epoch, list[RunRow]] = {}
        self._proofs: dict[Epoch, Proof] = {}
        self._arrivals: list[Arrival] = []
        self._fact_rows: list[bytes] = []
        self._undo_marks = MemoryUndoMarks(self._set)

    def open(self) -> RunState:
        if not self._is_open:
            self._is_open = True
            self._begin()
        return self.state

    def _remember(self, table: dict[T, Any], key: T, value: Any) -> None:
        self._on_undo(partial(put_back, table, key, table.pop(key, None)))
        put_back(table, key, value)

    def aside(self, last: int | None = None) -> tuple[Entry, ...]:
        self._require_open()
        places = sorted(place for places in self._aside_places.values() for place in places)
        copies = [self._copies[place] for place in places]
        lost = [copy for copy in copies if not copy.added and not copy.tombstone]
        return tuple(lost if last is None else lost[max(0, len(lost) - last) :])

    def _buried_between(self, after: int, until: int) -> list[Created]:
        return [copy.created for at, copy in self._copies.items() if after < at <= until and copy.tombstone]

    def copies(self) -> Iterator[Entry]:
        return iter(self._copies.values())

    # Copies

    def _shown(self, created: Created) -> Entry | None:
        return self._events.get(created)

    def _known_among(self, createds: Sequence[Created]) -> dict[Created, Entry]:
        events = self._events
        return {created: events[created] for created in createds if created in events}

    def _insert(self, events: Sequence[Entry]) -> None:
        for event in events:
            if event.created in self._events:
                raise AlreadyKnown
            self._add_event(event)
            self._set(self._copies, event.position, event)

    def _insert_aside(self, copy: Entry) -> None:
        self._set(self._copies, copy.position, copy)
        if copy.added == WAITS:
            self._set(self._waiting, copy.position, copy.position)
        self._set_places(copy.created, [*self._aside_places.get(copy.created, ()), copy.position])

    def _set_places(self, created: Created, places: list[int]) -> None:
        self._set(self._aside_places, created, sorted(places))

    def _exchange(self, shown: Entry, better: Entry) -> None:
        self._remove_event(shown)
        self._insert_aside(structs.replace(shown, added=0, local=b""))
        self._insert([better])

    def _has_waiting(self, createds: Sequence[Created]) -> bool:
        return any(
            self._copies[place].added == WAITS for each in createds for place in self._aside_places.get(each, ())
        )

    def _due(self, until_ms: int, limit: int) -> list[Entry]:
        due = [copy for place in self._waiting if (copy := self._copies[place]).time <= until_ms]
        return sorted(due, key=lambda copy: (copy.time, copy.position))[:limit]

    def _move_copy(self, waiting: Entry, leaf: bytes, position: int) -> None:
        before = waiting.position
        self._set(self._waiting, before, None)
        self._set(self._copies, before, None)
        left = [place for place in self._aside_places[waiting.created] if place != before]
        self._set(self._aside_places, waiting.created, left or None)
        further = self._further_of.get(before, [])
        self._set(self._further_of, before, None)
        self._insert_further([(place, position) for place in [before, *further]])
        if self._on_record.get(leaf) == before:
            self._set(self._on_record, leaf, position)

    def _swap(self, shown: Entry, better: Entry) -> None:
        places = self._aside_places[better.created]
        self._set_places(better.created, [place for place in places if place != better.position])
        self._exchange(shown, better)

    def _put_copy(self, copy: Entry) -> None:
        """Put a copy in place of that with the same position."""
        self._set(self._copies, copy.position, copy)
        if copy.position not in self._aside_places.get(copy.created, ()):
            self._put_event(copy.created, copy)

    def _bury_copy(self, copy: Entry, leaf: bytes) -> None:
        self._put_copy(structs.replace(copy, body=b"", extra=b"", local=b"", tombstone=leaf))

    def _set_local(self, event: Entry, local: bytes) -> None:
        self._put_copy(structs.replace(self._events[event.created], local=local))

    def _set_dot(self, copy: Entry, dot: Dot) -> None:
        origin, vouched = self._stamp(dot)
        self._put_copy(structs.replace(self._copies[copy.position], dot=dot, origin=origin, vouched=vouched))

    def _aside_of(self, created: Created) -> list[Entry]:
        return [self._copies[place] for place in self._aside_places.get(created, ())]

    def _dots_of(self, copy: Entry) -> list[Change]:
        places = sorted([copy.position, *self._further_of.get(copy.position, ())])
        return [Change(place, *self._step(place)) for place in places]

    def _step(self, position: int) -> tuple[Dot, int, bool]:
        dot, is_fill = self._steps[position - 1]
        return dot, 1, is_fill

    def _note(self, leaf: bytes, position: int) -> None:
        if leaf not in self._on_record:
            self._set(self._on_record, leaf, position)

    def _noted(self, leaves: Sequence[bytes]) -> dict[bytes, Entry]:
        return {leaf: self._copies[self._on_record[leaf]] for leaf in leaves if leaf in self._on_record}

    # Entries

    def _insert_span(self, epoch: Epoch, seq: int, position: int, count: int) -> None:
        places = self._places.setdefault(epoch, [])
        assert (len(places), len(self._steps)) == (seq - 1, position - 1), "entries come in order"
        places += range(position, position + count)
        self._steps += [((epoch, seq + at), False) for at in range(count)]
        self._on_undo(partial(self._shorten, epoch, count))

    def _shorten(self, epoch: Epoch, count: int) -> None:
        del self._places[epoch][-count:]
        del self._steps[-count:]

    def _insert_fills(self, fills: Sequence[tuple[int, Dot]]) -> None:
        assert fills[0][0] == len(self._steps) + 1, "fills come in order"
        self._steps += [(dot, True) for _, dot in fills]
        self._on_undo(partial(self._steps.__delitem__, slice(len(self._steps) - len(fills), None)))

    def _insert_further(self, pairs: Sequence[tuple[int, int]]) -> None:
        for position, of in pairs:
            self._set(self._further, position, of)
            self._set(self._further_of, of, [*self._further_of.get(of, ()), position])

    def _insert_hollow(self, rows: Sequence[Hollow]) -> None:
        for row in rows:
            self._set(self._hollow, row.dot, row)
            self._set(self._hollow_leaves, row.leaf, [*self._hollow_leaves.get(row.leaf, ()), row])

    def _remove_hollow(self, rows: Sequence[Hollow]) -> None:
        for row in rows:
            self._set(self._hollow, row.dot, None)
            left = [other for other in self._hollow_leaves[row.leaf] if other != row]
            self._set(self._hollow_leaves, row.leaf, left or None)

    def _read(self, epoch: Epoch, first: int, last: int) -> list[Standing]:
        places = self._places[epoch][first - 1 : last]
        return [self._standing((epoch, seq), place) for seq, place in enumerate(places, first)]

    def _standing(self, dot: Dot, position: int) -> Standing:
        row = self._hollow.get(dot)
        if row is not None:
            return Standing(position, "refused" if row.is_refused else "hollow", row.leaf)
        copy = self._copies[self._further.get(position, position)]
        return Standing(position, "cleaned", copy.tombstone) if copy.tombstone else Standing(position, "held", copy)

    def _spans(self, after: int, limit: int) -> list[Change]:
        spans: list[Change] = []
        for position in range(after + 1, len(self._steps) + 1):
            dot, is_fill = self._steps[position - 1]
            last = spans[-1] if spans else None
            if last and not is_fill and not last.is_fill and dot == (last.dot[0], last.dot[1] + last.length):
                spans[-1] = Change(last.position, last.dot, last.length + 1)
            elif len(spans) == limit:
                break
            else:
                spans.append(Change(position, dot, is_fill=is_fill))
        return spans

    def _hollow_with(self, leaves: Sequence[bytes]) -> dict[bytes, list[Hollow]]:
        return {leaf: list(self._hollow_leaves[leaf]) for leaf in leaves if leaf in self._hollow_leaves}

    def _hollow_in(self, epoch: Epoch, first: int, last: int) -> list[Hollow]:
        if last - first < len(self._hollow):
            return [row for seq in range(first, last + 1) if (row := self._hollow.get((epoch, seq)))]
        return sorted(row for dot, row in self._hollow.items() if dot[0] == epoch and first <= dot[1] <= last)

    def _hollow_epochs(self) -> list[Epoch]:
        return sorted({epoch for epoch, _ in self._hollow})

    # Epochs and runs

    def _read_epochs(self) -> Iterable[EpochRow]:
        return self._epoch_rows.values()

    def _read_vouching(self) -> Iterable[Epoch]:
        return [epoch for epoch, runs in self._runs.items() if any(VOUCHED.keys() & set(run.kinds) for run in runs)]

    def _rename_epoch(self, epoch: Epoch, name: Epoch) -> None:
        of_epoch = [copy for copy in self._copies.values() if copy.dot is not None and copy.dot[0] == epoch]
        hollow = [row for row in self._hollow.values() if row.dot[0] == epoch]
        self._remove_hollow(hollow)
        self._move_epoch(epoch, name)
        self._on_undo(partial(self._move_epoch, name, epoch))
        self._set(self._epoch_rows, epoch, None)
        self._insert_hollow([Hollow((name, row.dot[1]), *row[1:]) for row in hollow])
        for copy in of_epoch:
            assert copy.dot is not None
            self._put_copy(structs.replace(copy, dot=(name, copy.dot[1])))

    def _move_epoch(self, epoch: Epoch, name: Epoch) -> None:
        self._places[name], self._runs[name] = self._places.pop(epoch), self._runs.pop(epoch)
        self._runs[name][:] = [RunRow(name, *run[1:]) for run in self._runs[name]]
        for at, ((of, seq), is_fill) in enumerate(self._steps):
            if of == epoch:
                self._steps[at] = (name, seq), is_fill

    def _put_epochs(self, rows: Sequence[EpochRow]) -> None:
        for row in rows:
            self._set(self._epoch_rows, row.epoch, row)

    def _put_runs(self, rows: Sequence[RunRow]) -> None:
        for row in rows:
            runs = self._runs.setdefault(row.epoch, [])
            at = bisect_left(runs, row.first, key=_FIRST)
            before = runs[at : at + 1]
            runs[at : at + 1] = [row]
            self._on_undo(partial(runs.__setitem__, slice(at, at + 1), before))

    def _run_with(self, epoch: Epoch, seq: int) -> RunRow | None:
        runs = self._runs.get(epoch, [])
        at = bisect_right(runs, seq, key=_FIRST) - 1
        return runs[at] if at >= 0 and seq <= runs[at].last else None

    def _runs_before(self, epoch: Epoch, before: int, limit: int) -> list[RunRow]:
        runs = self._runs.get(epoch, [])
        at = bisect_left(runs, before, key=_FIRST)
        return runs[max(0, at - limit) : at][::-1]

    def _read_facts(self) -> Iterable[bytes]:
        return self._fact_rows

    def _put_facts(self, facts: Sequence[Fact]) -> None:
        self._fact_rows += [fact.data for fact in facts]
        self._on_undo(partial(self._fact_rows.__delitem__, slice(len(self._fact_rows) - len(facts), None)))

    def undone(self, createds: Collection[Created]) -> set[Created]:
        self._require_open()
        return super().undone(createds)

    # Arrivals

    def arrive(self, first: int, ms: int, via: str) -> None:
        before, rows = self._arrivals, self._arrivals
        last = rows[-1] if rows else None
        arrival = extended(last, first, self._numbers.last_position, ms, via)
        if last is not None and arrival.first == last.first:
            rows[-1] = arrival
            self._on_undo(partial(rows.__setitem__, -1, last))
            return
        if len(rows) >= MAX_ARRIVALS:
            self._arrivals = rows = [*paired(rows[: len(rows) // 2]), *rows[len(rows) // 2 :]]
            self._on_undo(partial(self._put_arrivals, before))
        rows.append(arrival)
        self._on_undo(rows.pop)

    def _put_arrivals(self, rows: list[Arrival]) -> None:
        self._arrivals = rows

    def arrival(self, position: int) -> Arrival | None:
        self._require_open()
        return found_in(self._arrivals, position)

    def came_since(self, ms: int) -> tuple[int, int] | None:
        self._require_open()
        before = next((row for row in reversed(self._arrivals) if row.until_ms < ms), None)
        first = self._arrivals[0] if self._arrivals else None
        return counted(before, first, self._numbers.last_position, ms)

    # Proofs

    def _proof_of(self, epoch: Epoch) -> Proof | None:
        return self._proofs.get(epoch)

    def _put_proof(self, proof: Proof) -> None:
        self._set(self._proofs, proof.birth.epoch, proof)
