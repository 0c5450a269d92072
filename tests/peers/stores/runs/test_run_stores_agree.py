"""The stores of runs in memory and in SQLite do the same, whatever is asked of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from peers.events.created import Created
from peers.events.entry import Entry, encode_diff, encode_event
from peers.events.piece import Piece
from peers.events.run import ADOPTED_CERTIFICATE, FURTHER
from peers.stores.event_types import EventTypes
from peers.stores.run_store import RunStore
from peers.stores.runs import writing
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.checks.verifying import verify_log
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.store import Criteria
from peers.stores.taken import Taken
from peers.stores.undo import undo_event
from tests.peers.stores.runs.test_hostile_pieces import commits, signed
from tests.support.run_house import ALL, Writer, check, event, hollowed, pieces_for, put

A = {"type": "a"}
MS = st.integers(1, 3)
NODES = st.sampled_from(["kitchen", "Ä-room"])
LABELS = st.sampled_from(["one", "two"])
EXTRAS = st.one_of(
    st.just(b""),
    LABELS.map(lambda name: json.dumps({"reasons": [name]}).encode()),
    LABELS.map(lambda name: json.dumps({"keep_last": name}).encode()),
    LABELS.map(lambda name: json.dumps({"indexes": [name], "reasons": ["one"]}).encode()),
)
EVENTS = st.lists(
    st.builds(
        lambda ms, node, n, time, kind, extra: structs.replace(
            event(ms, "a", node=node, time=time, extra=extra, n=n), body=encode_event(kind)
        ),
        MS,
        NODES,
        st.integers(0, 1),
        st.sampled_from([0, 0, 0, 1, 9]),
        st.sampled_from([A, A, {"type": "b"}, undo_event((2, "kitchen", 0)), undo_event((1, "Ä-room", 1))]),
        EXTRAS,
    ),
    min_size=1,
    max_size=12,
)
CREATEDS = st.lists(st.tuples(MS, NODES, st.integers(0, 1)), min_size=1, max_size=6)
PLACES = st.one_of(st.none(), st.tuples(st.integers(0, 9), st.tuples(MS, NODES, st.integers(0, 1))))
CRITERIA = st.builds(
    lambda low, high, older, younger, index: Criteria(
        min_added=low, max_added=high, older_than=older, younger_than=younger, index=index
    ),
    st.one_of(st.none(), st.integers(1, 20)),
    st.one_of(st.none(), st.integers(1, 20)),
    PLACES,
    PLACES,
    st.one_of(st.none(), LABELS),
)
WALKS = st.fixed_dictionaries(
    {
        "order": st.sampled_from(["created", "added"]),
        "reverse": st.booleans(),
        "limit": st.integers(1, 8),
        "since": st.sampled_from([0, 0, 3, 10]),
        "younger_than": PLACES,
        "older_than": PLACES,
        "index": st.one_of(st.none(), st.none(), LABELS),
        "types": st.sampled_from([None, None, EventTypes("a"), EventTypes("b"), EventTypes("xa"), EventTypes("")]),
    }
)
SOURCES = st.integers(0, 3)
"""The last two have one key and one epoch, and fork it."""
HOLLOW = st.one_of(st.none(), st.sets(st.integers(1, 12), min_size=1))
TAKING = st.one_of(
    st.tuples(st.just("take"), SOURCES, EVENTS, HOLLOW),
    st.tuples(st.just("many"), SOURCES, st.integers(8, 30), HOLLOW),
    st.tuples(st.just("fill"), SOURCES),
    st.tuples(st.just("signed"), commits, st.booleans()),
    st.tuples(st.just("fork"), EVENTS, EVENTS),
)
CHANGING = st.one_of(
    st.tuples(st.just("append"), EVENTS, st.booleans()),
    st.tuples(st.just("further"), CREATEDS),
    st.tuples(st.just("adopt"), st.integers(1, 5)),
    st.tuples(st.just("clean"), CREATEDS, st.sampled_from([frozenset({"log"}), frozenset({"log", "one", "two"})])),
    st.tuples(st.just("remove_reason"), st.sampled_from(["log", "one", "two"]), CRITERIA, st.integers(1, 9)),
    st.tuples(st.just("add_reason"), st.sampled_from(["one", "two"]), CRITERIA, st.integers(1, 9)),
    st.tuples(
        st.just("change"),
        st.tuples(MS, NODES, st.integers(0, 1)),
        st.sampled_from([{"reasons": ["two"]}, {"reasons": []}, {"x": 1}, {"reasons": ["one", "two"]}]),
    ),
    st.tuples(st.just("fail"), EVENTS, CREATEDS),
)
OPERATIONS = st.lists(
    st.one_of(TAKING, TAKING, CHANGING, st.tuples(st.just("walk"), WALKS), st.tuples(st.just("reopen"))),
    min_size=4,
    max_size=24,
)


class Refused(Exception):
    """Takes a transaction back."""


class Two:
    """Both stores, and four writers elsewhere: the last two have the same key and epoch, and so fork it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stores: list[MemoryRunStore | SqliteRunStore] = [
            MemoryRunStore(),
            SqliteRunStore(path, synchronous="OFF"),
        ]
        self.own = [Writer(1), Writer(1)]
        self.made = 0
        self.sources = [MemoryRunStore() for _ in range(4)]
        self.writers = [Writer(2), Writer(3), Writer(4), Writer(4)]
        for store in (*self.stores, *self.sources):
            store.open()

    def both(self, work: Callable[[MemoryRunStore | SqliteRunStore, Writer], Any]) -> None:
        """The same result, or the same error, of both."""
        results: list[Any] = []
        for store, writer in zip(self.stores, self.own, strict=True):
            try:
                with store.transaction():
                    results.append(_plain(work(store, writer)))
            except (ValueError, Refused) as error:
                results.append((type(error), str(error)))
        assert results[0] == results[1]

    def act(self, name: str, *values: Any) -> None:
        if name == "walk":
            self.walk(values[0])
        elif name == "reopen":
            for store in self.stores:
                store.close()
                store.open()
        elif name in ("take", "many"):
            at, events, seqs = values
            self.write(at, self.fresh(events) if name == "many" else events)
            self.take(at, seqs)
        elif name == "signed":
            self.made += 1
            pieces = signed(Writer(50 + self.made), values[0], is_one_run=values[1])
            self.both(lambda store, _: store.take(pieces))
        elif name == "fill":
            wanted = self.sources[values[0]].events_at(list(self.stores[0].hollow()))
            self.both(lambda store, _: store.fill(wanted))
        elif name == "fork":
            for at, events in zip((2, 3), values, strict=True):
                self.write(at, events)
                self.take(at, None)
            for at in (2, 3):
                self.compare_with(at)
        elif name == "fail":
            self.both(lambda store, writer: _fail(store, writer, *values))
        else:
            self.both(lambda store, writer: _work(store, writer, name, values))

    def fresh(self, count: int) -> list[Entry]:
        """Plain events of one node."""
        self.made += count
        return [event(100 + self.made - at, node="Ä-room") for at in range(count, 0, -1)]

    def write(self, at: int, events: Sequence[Entry]) -> None:
        put(self.sources[at], self.writers[at], *events, is_each_alone=True)

    def take(self, at: int, seqs: set[int] | None) -> None:
        """All that the source has, known or new."""
        pieces = pieces_for(self.sources[at], {})
        if seqs is not None:
            pieces = [hollowed(piece, *seqs) for piece in pieces]
        self.both(lambda store, _: store.take(pieces))

    def compare_with(self, at: int) -> None:
        for epoch in self.sources[at].ends():
            birth, blocks = self.sources[at].birth(epoch), self.sources[at].blocks(epoch)
            assert birth is not None
            self.both(lambda store, _, birth=birth, blocks=blocks: store.compare(birth, blocks))

    def walk(self, options: Any) -> None:
        """All pages, and the same in looks at two events."""
        pages: list[list[Entry]] = []
        for store in self.stores:
            found: list[Entry] = []
            after = None
            while page := store.each(after=after, **options):
                found += page
                after = page[-1]
            pages.append(found)
            looked = [(looked := store.look(2, **options))]
            while looked[-1].rest is not None:
                looked.append(store.look(2, after=looked[-1].rest, **options))
            assert [entry for look in looked for entry in look.entries] == found
        assert pages[0] == pages[1]
        plain = {**options, "types": None, "limit": ALL}
        types = options.get("types")
        assert pages[0] == [each for each in self.stores[0].each(**plain) if types is None or types.fit(each.body)]

    def compare(self) -> None:
        """Everything that can be read."""
        one, other = self.stores
        assert one.state == other.state
        assert one.ends() == other.ends()
        assert _steps(one) == _steps(other)
        assert _by_position(one.copies()) == _by_position(other.copies())
        assert one.aside() == other.aside()
        assert list(one.hollow()) == list(other.hollow())
        for epoch, end in one.ends().items():
            assert list(one.entries(epoch)) == list(other.entries(epoch))
            assert one.birth(epoch) == other.birth(epoch)
            assert one.proof(epoch) == other.proof(epoch)
            assert one.blocks(epoch) == other.blocks(epoch)
            assert one.signature(epoch) == other.signature(epoch)
            for seq in {*range(end.seq + 2)}:
                assert one.head(epoch, seq) == other.head(epoch, seq)
                assert _as_sent(one.piece(epoch, seq)) == _as_sent(other.piece(epoch, seq))
                assert one.events_at([(epoch, seq)]) == other.events_at([(epoch, seq)])
        assert one.newest(2) == other.newest(2)
        every = [(ms, node, n) for ms in (1, 2, 3) for node in ("kitchen", "Ä-room") for n in (0, 1)]
        assert one.undone(every) == other.undone(every)
        for order in ("created", "added"):
            for reverse in (False, True):
                for index in (None, "one", "two"):
                    self.walk({"order": order, "reverse": reverse, "limit": 3, "index": index})


def _work(store: MemoryRunStore | SqliteRunStore, writer: Writer, name: str, values: Sequence[Any]) -> Any:
    if name == "append":
        return store.append(values[0], writer.pen, is_each_alone=values[1])
    if name == "further":
        return store.offer_further(values[0], writer.pen)
    if name == "adopt":
        return store.adopt(writer.pen, values[0])
    if name == "clean":
        return store.clean(*values)
    if name == "remove_reason":
        return store.remove_reason(values[0], values[1], limit=values[2])
    if name == "add_reason":
        return store.add_reason(values[0], values[1], limit=values[2])
    assert name == "change"
    return store.change_meta(values[0], encode_diff(values[1]))


def _fail(store: RunStore, writer: Writer, events: Sequence[Entry], createds: Sequence[Created]) -> None:
    """Write, and take it back."""
    store.append(events, Writer(9).pen, is_each_alone=True)
    store.clean(createds)
    del writer
    raise Refused


def _plain(result: Any) -> Any:
    """A result that can be compared: errors are equal if they say the same."""
    if isinstance(result, Taken):
        errors = [str(each) if isinstance(each, ValueError) else each for each in result.results]
        fields = (result.outcomes, result.shown, result.changes, result.hollow, result.proven, result.is_unfinished)
        undone = result.undone, result.restored, result.revised
        return errors, fields, dict(result.ends), result.is_revised, undone, result.cleaning
    return result


def _as_sent(piece: Piece | None) -> Piece | None:
    """Without what is not sent: where its events are here."""
    if piece is None:
        return None
    items = [
        Entry(item.created, item.time, item.body, item.extra) if isinstance(item, Entry) else item
        for item in piece.items
    ]
    return structs.replace(piece, items=tuple(items))


def _steps(store: RunStore) -> list[tuple[int, Any, bool]]:
    found: list[tuple[int, Any, bool]] = []
    after = 0
    while changes := store.changes(after, 3):
        for position, (epoch, seq), length, is_fill in changes:
            found += [(position + at, (epoch, seq + at), is_fill) for at in range(length)]
        after = found[-1][0]
    return found


def _by_position(copies: Any) -> dict[int, Entry]:
    return {copy.position: copy for copy in copies}


OWN_LEAF_BEFORE_A_BETTER_COPY: list[tuple[Any, ...]] = [
    ("signed", [[(ADOPTED_CERTIFICATE, Entry((2, "y", 0), 2, b'{"type":"b"}'), True)]], True),
    (
        "signed",
        [
            [
                (FURTHER, Entry((2, "y", 0), 2, b'{"type":"b"}'), False),
                (FURTHER, Entry((2, "y", 0), 1, b'{"type":"b"}'), True),
            ]
        ],
        False,
    ),
]
"""An event that others vouched for gets an entry of its own node, of which the leaf came, before a better copy of it comes."""


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@example(operations=OWN_LEAF_BEFORE_A_BETTER_COPY)
@given(operations=OPERATIONS)
def test_both_stores_do_the_same_and_show_the_same(operations: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "RUN_ENTRIES", 9)  # many runs of few entries
        two = Two(Path(folder) / "log.db")
        for operation in operations:
            two.act(*operation)
            assert two.stores[0].state == two.stores[1].state
        two.compare()
        two.act("reopen")
        two.compare()
        for store in two.stores:
            check(store)
            assert len(store.each(limit=ALL)) == store.state.events
            store.close()
        assert list(verify_log(two.path, is_in_use=False, is_deep=True, on_entries=lambda *_: None)) == []
