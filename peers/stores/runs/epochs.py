"""What a store of runs knows of its epochs: kept in memory, and read from the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from peers.events.columns import EventColumns, Items, bytes_of, events_of
from peers.events.dot import MAX_SEQ, Dot, Epoch
from peers.events.entry import Entry
from peers.events.epoch import NO_HEAD, NO_KEY, NOTHING, Birth, EpochEnd
from peers.events.leaf import leaf_of, leaves_of
from peers.events.piece import Piece
from peers.events.proof import Block, Proof
from peers.events.run import OWN, VOUCHED, Content, RunHash
from peers.facts.fact import MAX_TIPS, Tip
from peers.stores.run_store import RunState
from peers.stores.runs.rows import NOTHING_COUNTS, EpochRow, RunRow, RunRows, Standing, signed_name
from peers.stores.taken import Change

T = TypeVar("T")

MAX_OPEN_RUNS = 256
"""Runs whose hashes are kept in memory; others are read again when they grow."""
_CHECKED_ENTRIES = 500
"""Entries read at once by a check."""


class OpenRun(NamedTuple):
    """The last run of an epoch. Never changed in place."""

    hash: RunHash
    kinds: bytes
    content: Content | None = None
    """None if not all of its events are plain, or it was read again."""

    def grown(self, longer: RunHash, kinds: bytes, items: Items) -> OpenRun:
        """The run with these entries too, and so with this hash."""
        return OpenRun(longer, self.kinds + kinds, None if self.content is None else self.content.after(items))


class EpochRules(RunRows):
    """Keeps one row of each epoch in memory, and the hashes of runs that grow."""

    def __init__(self) -> None:
        super().__init__()
        self._epochs: dict[Epoch, EpochRow] = {}
        self._open_runs: dict[Epoch, OpenRun] = {}
        """The last runs of the epochs that grew last, in that order."""
        self._unadopted: dict[Epoch, int] = {}
        """Epochs that have entries which do not count: from this seq on they have not been looked at."""
        self._forks: dict[bytes, int] = {}
        """How many epochs of each key are proven to have forked."""
        self._origins: dict[Epoch, str | None] = {}
        self._vouching: set[Epoch] = set()
        """Epochs with entries by which their node vouches for others; or those that were taken back."""
        self._journal: list[tuple[Any, Any, Any]] = []
        """What was in these tables before the transaction, in the order of its changes."""

    @property
    def state(self) -> RunState:
        numbers = self._numbers
        return RunState(
            last_added=numbers.last_added,
            last_position=numbers.last_position,
            events=numbers.events,
            clock_ms=numbers.clock_ms,
            conflicts=numbers.conflicts,
            hollow=numbers.hollow,
            refused=numbers.refused,
            waiting=numbers.waiting,
            epoch=numbers.epoch,
            has_unadopted=bool(self._unadopted),
        )

    def _begin(self) -> None:
        """Read what is kept in memory: a store that opens calls it. The next own entry begins a new epoch."""
        self._journal.clear()
        self._open_runs.clear()
        self._origins.clear()
        self._epochs = {row.epoch: without_limit(row) for row in self._read_epochs()}
        self._vouching = set(self._read_vouching())
        self._find_unadopted()
        self._forks = dict(
            Counter(row.key for row in self._epochs.values() if row.cut is not None and row.key != NO_KEY)
        )
        self._numbers.epoch = None

    def _find_unadopted(self) -> None:
        self._unadopted = {row.epoch: row.last + 1 for row in self._epochs.values() if row.last < row.seq}

    def _give_back(self, mark: int) -> None:
        """Make these tables as they were when the journal had so many items: what came since was taken back."""
        while len(self._journal) > mark:
            put_back(*self._journal.pop())

    def _remember(self, table: dict[T, Any], key: T, value: Any) -> None:
        """Put the value there as the newest, or remove what is there for None."""
        self._journal.append((table, key, table.pop(key, None)))
        put_back(table, key, value)

    def _keep_run(self, run: OpenRun) -> None:
        self._remember(self._open_runs, run.hash.epoch, run)
        if len(self._open_runs) > MAX_OPEN_RUNS:
            del self._open_runs[next(iter(self._open_runs))]

    def _last_run(self, row: EpochRow) -> OpenRun:
        """The last run of an epoch that has entries."""
        known = self._open_runs.get(row.epoch)
        if known is not None:
            return known
        run = self._run_row(row.epoch, row.seq)
        return OpenRun(self._hash_up_to(run, run.last), run.kinds)

    def _hash_up_to(self, run: RunRow, last: int) -> RunHash:
        """A run as far as the entry `last`, read from its rows."""
        items = self._items(run.epoch, run.first, last)
        of_run = RunHash(signed_name(run.epoch), run.first, run.before)
        of_run.add(run.kinds[: len(items)], leaves_at(items), bytes_of(events_of(items)))
        return of_run

    def _run_row(self, epoch: Epoch, seq: int) -> RunRow:
        run = self._run_with(epoch, seq)
        assert run is not None, "every entry is in a run"
        return run

    def _stamp(self, dot: Dot) -> tuple[str | None, str]:
        """What `Entry.origin` and `Entry.vouched` say of an event that is known by this dot."""
        return self._stamp_of(dot)[:2]

    def _stamp_of(self, dot: Dot) -> tuple[str | None, str, bool]:
        epoch, seq = dot
        is_mixed = epoch in self._vouching
        if epoch not in self._origins and epoch in self._epochs:  # of another one it is not known yet
            self._origins[epoch] = self._epochs[epoch].birth.origin
        run = self._run_with(epoch, seq) if seq and is_mixed else None
        kind = run.kinds[seq - run.first] if run is not None and seq <= run.last else OWN
        return self._origins.get(epoch), VOUCHED.get(kind, ""), is_mixed

    def _counts(self, dot: Dot) -> bool:
        row = self._epochs.get(dot[0])
        return row is not None and row.counts(dot[1])

    # Reading

    def ends(self) -> dict[Epoch, EpochEnd]:
        """As in the port."""
        return {epoch: end for epoch, row in self._epochs.items() if (end := row.end) != NOTHING}

    def birth(self, epoch: Epoch) -> Birth | None:
        """As in the port."""
        row = self._epochs.get(epoch)
        return row.birth if row else None

    def proof(self, epoch: Epoch) -> Proof | None:
        """As in the port."""
        row = self._epochs.get(epoch)
        return self._proof_of(epoch) if row and row.cut else None

    def forks(self) -> Mapping[bytes, int]:
        """As in the port."""
        return dict(self._forks)

    def head(self, epoch: Epoch, seq: int) -> bytes | None:
        """As in the port."""
        row = self._epochs.get(epoch)
        if seq == 0:
            return NO_HEAD
        if row is None or not 0 < seq <= row.seq:
            return None
        if seq == row.seq:
            return row.head
        run = self._run_row(epoch, seq)
        return run.head if seq == run.last else self._hash_up_to(run, seq).head

    def _head_of(self, epoch: Epoch, seq: int) -> bytes:
        head = self.head(epoch, seq)
        assert head is not None, "the entry is here"
        return head

    def newest(self, limit: int) -> list[Epoch]:
        """As in the port."""
        of_key: dict[bytes, EpochRow] = {}
        for row in self._epochs.values():
            known = of_key.get(row.key)
            if row.seq and (known is None or row.grown > known.grown) and row.end != NOTHING:
                of_key[row.key] = row
        newest = sorted(of_key.values(), key=_grown)
        return [row.epoch for row in newest[max(0, len(newest) - limit) :]]

    def newest_of(self, key: bytes) -> Epoch | None:
        """As in the port."""
        rows = [row for row in self._epochs.values() if row.key == key and row.seq and not row.is_aside]
        return max(rows, key=_grown).epoch if rows else None

    def tips(self, key: bytes) -> tuple[Tip, ...]:
        """As in the port."""
        # What waits came before its key left: no more of it is taken since then.
        ends = {row.epoch: row.seq if row.waits else row.last for row in self._epochs.values() if row.key == key}
        rows = self._with_ancestors([self._epochs[epoch] for epoch, last in ends.items() if last])
        parents = [row.birth.parent for row in rows.values()]
        for parent in parents:
            before = rows.get(parent.epoch)
            if before is not None and ends[before.epoch] <= parent.seq:
                del rows[parent.epoch]
        newest = sorted(sorted(rows.values(), key=_grown)[-MAX_TIPS:], key=_name)
        return tuple([Tip(row.epoch, (last := ends[row.epoch]), self._head_of(row.epoch, last)) for row in newest])

    def _with_ancestors(self, rows: Sequence[EpochRow]) -> dict[Epoch, EpochRow]:
        """These epochs, by name. Left out are those with ancestors that are not all here: their key could still write the rest.

        A birth says itself which entry that is, and it counts up to there where the epoch counts that was born.
        """
        are_whole: dict[Epoch, bool] = {}
        for row in rows:
            path: list[Epoch] = []
            at = row
            while at.epoch not in are_whole and self._has_parent(at):
                path.append(at.epoch)
                parent = at.birth.parent
                if not parent.seq:
                    break
                at = self._epochs[parent.epoch]
            is_whole = are_whole.get(at.epoch, at.epoch in path)
            are_whole |= dict.fromkeys([*path, at.epoch], is_whole)
        return {row.epoch: row for row in rows if are_whole[row.epoch]}

    def _has_parent(self, row: EpochRow) -> bool:
        """Whether the entry that an epoch went on from is here, or all up to where the fork of its epoch is proven."""
        parent = row.birth.parent
        before = self._epochs.get(parent.epoch)
        if not parent.seq:
            return True
        if before is None or before.key != row.key:
            return False
        if before.cut is not None and before.cut.seq < parent.seq:
            return before.seq >= before.cut.seq
        return self.head(parent.epoch, parent.seq) == parent.head

    def signature(self, epoch: Epoch) -> tuple[int, bytes]:
        """As in the port."""
        row = self._epochs.get(epoch)
        before = row.last + 1 if row else 0
        while row and (runs := self._runs_before(epoch, before, 1)):
            if runs[0].signature and row.counts(runs[0].last):
                return runs[0].last, runs[0].signature
            before = runs[0].first
        return 0, b""

    def blocks(self, epoch: Epoch, *, before: int | None = None, limit: int = 16) -> list[Block]:
        """As in the port."""
        runs = self._runs_before(epoch, MAX_SEQ if before is None else before, limit) if epoch in self._epochs else []
        return [self._block(run) for run in runs if run.signature]

    def _block(self, run: RunRow) -> Block:
        leaves = tuple(leaves_at(self._items(run.epoch, run.first, run.last)))
        return Block(run.first, run.before, run.kinds, leaves, run.signature)

    def begins(self, epoch: Epoch, before: int, limit: int) -> list[tuple[int, bytes]]:
        """As in the port."""
        runs = self._runs_before(epoch, before, limit) if epoch in self._epochs else []
        return [(run.first, run.before) for run in runs]

    def position(self, dot: Dot) -> int | None:
        """As in the port."""
        epoch, seq = dot
        row = self._epochs.get(epoch)
        return self._read(epoch, seq, seq)[0].position if row and 0 < seq <= row.seq else None

    def changes(self, after: int, limit: int) -> tuple[Change, ...]:
        """As in the port."""
        found: list[Change] = []
        while not found and (spans := self._spans(after, limit)):
            for span in spans:
                epoch, seq = span.dot
                row = self._epochs[epoch]
                length = span.length if row.counts(seq + span.length - 1) else row.last - seq + 1
                if length > 0:
                    found.append(Change(span.position, span.dot, length, span.is_fill))
            after = spans[-1].position + spans[-1].length - 1
        return tuple(found)

    def piece(self, epoch: Epoch, start: int, last: int = MAX_SEQ) -> Piece | None:
        """As in the port."""
        row = self._epochs.get(epoch)
        if row is None or not 0 < start <= row.last:
            return None
        run = self._run_row(epoch, start)
        end, head, signature = run.last, run.head, run.signature
        bound = row.bound
        if bound is not None and end > bound.seq:
            end, head, signature = bound.seq, bound.head, b""
        items = self._items(epoch, start, end)
        kinds = run.kinds[start - run.first : end - run.first + 1]
        return Piece(epoch, row.birth, run.first, start, kinds, items, head, signature)

    def is_held(self, dot: Dot) -> bool:
        """As in the port."""
        return bool(self.events_at([dot]))

    def events_at(self, dots: Sequence[Dot]) -> list[tuple[Dot, Entry]]:
        """As in the port."""
        found: list[tuple[Dot, Entry]] = []
        for epoch, first, end in _ranges(dots):
            row = self._epochs.get(epoch)
            last = min(end, row.last) if row else 0
            standings = self._read(epoch, first, last) if 0 < first <= last else []
            for seq, standing in enumerate(standings, first):
                if isinstance(standing.item, Entry):
                    found.append(((epoch, seq), standing.item))
        return found

    def hollow(self, epoch: Epoch | None = None) -> Iterator[Dot]:
        """As in the port."""
        for each in self._hollow_epochs() if epoch is None else [epoch]:
            row = self._epochs.get(each)
            rows = self._hollow_in(each, 1, row.last) if row else []
            yield from (hollow.dot for hollow in rows if not hollow.is_refused)

    # For checks from outside

    def beyond(self) -> dict[Epoch, int]:
        """The epochs that have entries which do not count, and the seq of the last one that does."""
        return {row.epoch: row.last for row in self._epochs.values() if row.last < row.seq}

    def entries(self, epoch: Epoch, first: int = 1) -> Iterator[Standing]:
        """Where all entries of an epoch from `first` on stand, those after a cut too."""
        row = self._epochs.get(epoch)
        last = row.seq if row else 0
        for start in range(first, last + 1, _CHECKED_ENTRIES):
            yield from self._read(epoch, start, min(start + _CHECKED_ENTRIES - 1, last))

    def orphans(self) -> Iterator[Entry]:
        """Held events of which no entry counts, as `adopt` would find them; one may come several times."""
        for epoch, last in self.beyond().items():
            for _, _, item in self.entries(epoch, last + 1):
                if isinstance(item, Entry) and not any(self._counts(change.dot) for change in self._dots_of(item)):
                    yield item


def leaf_at(item: Entry | bytes) -> bytes:
    """The leaf of a copy, which may be a tombstone, or of an entry without one."""
    if isinstance(item, bytes):
        return item
    return item.tombstone or leaf_of(item.created, item.time, item.extra, item.body)


def leaves_at(items: Items) -> list[bytes]:
    """The same of several."""
    return leaves_of(items) if isinstance(items, EventColumns) else list(map(leaf_at, items))


def without_limit(row: EpochRow) -> EpochRow:
    """A row as it is on disk; one that is aside never counts."""
    limit = NOTHING_COUNTS if row.is_aside else None
    is_without = row.limit == limit and not row.is_led and not row.waits
    return row if is_without else replace(row, limit=limit, is_led=False, waits=False)


def _ranges(dots: Sequence[Dot]) -> Iterator[tuple[Epoch, int, int]]:
    """These dots, joined where they follow each other."""
    start, last = 0, -1
    for at, (epoch, seq) in enumerate(dots):
        is_next = at and (epoch, seq) == (dots[at - 1][0], last + 1)
        if at and not is_next:
            yield (*dots[start], last)
            start = at
        last = seq
    if dots:
        yield (*dots[start], last)


def put_back(table: dict[T, Any], key: T, value: Any) -> None:
    """Put the value there, or remove what is there for None."""
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


def _grown(row: EpochRow) -> int:
    return row.grown


def _name(row: EpochRow) -> Epoch:
    return row.epoch
