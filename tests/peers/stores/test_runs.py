"""Long batches, plain runs with hard entries between them: every store, and one that takes each entry by itself, agree."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.events.entry import Entry
from peers.events.version_vector import MAX_RANGES, VersionVector, successor
from peers.stores.memory import MemoryStore
from peers.stores.plain import Batch, Outcome
from peers.stores.sqlite.store import SqliteStore
from peers.stores.store import Appended, Store

MOST = 600
A, B = b'{"type":"a"}', b'{"type":"b"}'
EXTRAS = [b"", b"", b'{"k":1}', b'{"indexes":["i"]}', b'{"keep_last":"r"}']
epochs = st.sampled_from(["e1", "e2", "e3", "own"])
renewing = st.sampled_from(["e1.1.x", "e2.1.y"])
starts, counts = st.integers(1, 250), st.integers(1, 12) | st.integers(1, 250)
bodies = st.sampled_from([A, A, A, B])


class OneByOne(MemoryStore):
    """Takes nothing for plain."""

    def _take_plain(self, rest: Iterator[Entry], batch: Batch, results: list[Outcome]) -> Entry | None:
        return next(rest, None)


def event(epoch: str, seq: int, body: bytes = A, extra: bytes = b"") -> Entry:
    """The event that has this dot first, or a copy of it."""
    return Entry((seq, epoch, 0), seq, body, extra, (epoch, seq))


def run(epoch: str, start: int, count: int, step: int, extra: bytes) -> list[Entry]:
    return [event(epoch, start + step * number, extra=extra) for number in range(count)]


def in_turns(start: int, count: int, some: Sequence[str]) -> list[Entry]:
    return [event(epoch, seq) for seq in range(start, start + count) for epoch in some]


def own(start: int, count: int, body: bytes) -> list[Entry]:
    return [Entry((ms, "kitchen", 0), ms, body) for ms in range(start, start + count)]


def own_and_foreign(epoch: str, start: int, count: int) -> list[Entry]:
    return [*chain(*zip(run(epoch, start, count, 1, b""), own(start, count, A), strict=True))]


def second_dots(epoch: str, start: int, count: int) -> list[Entry]:
    seqs = range(start, start + count)
    return [Entry((seq, epoch, 0), seq, A, b"", ("second", seq)) for seq in seqs]


def hard(epoch: str, seq: int, body: bytes) -> list[Entry]:
    """Another copy, and another event under the same dot."""
    return [event(epoch, seq, body), Entry((seq, "hall", 0), seq, body, b"", (epoch, seq))]


segments = st.one_of(
    st.tuples(st.just(run), epochs, starts, counts, st.sampled_from([1, 1, 1, 2, 3]), st.sampled_from(EXTRAS)),
    st.tuples(st.just(in_turns), starts, st.integers(1, 100), st.lists(epochs, min_size=2, max_size=3)),
    st.tuples(st.just(own), starts, counts, bodies),
    st.tuples(st.just(own_and_foreign), epochs, starts, st.integers(1, 100)),
    st.tuples(st.just(second_dots), epochs, starts, st.integers(1, 20)),
    st.tuples(st.just(hard), epochs, starts, bodies),
    st.tuples(st.just(run), renewing, st.integers(1, 5), st.integers(1, 3), st.just(1), st.just(b"")),
)
repeats = st.sampled_from([slice(0), slice(None), slice(0, None, 2), slice(10, 300), slice(None, None, -1)])
scripts = st.tuples(st.lists(segments, min_size=1, max_size=6), repeats)
"""Segments, and which of their entries come again: the entries themselves would be too long to show."""


def written(script: tuple[list[Any], slice]) -> list[Entry]:
    entries = [*chain(*[make(*options) for make, *options in script[0]])]
    return [*entries, *entries[script[1]]][:MOST]


vectors = st.builds(
    lambda runs: VersionVector().joins(VersionVector({epoch: [(first, first + more)] for epoch, first, more in runs})),
    st.lists(st.tuples(epochs, starts, st.integers(0, 300)), max_size=3, unique_by=lambda item: item[0]),
)


@contextmanager
def stores() -> Iterator[tuple[Store, ...]]:
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        them = (MemoryStore(), OneByOne(), SqliteStore(Path(directory) / "log.db", synchronous="OFF"))
        for store in them:
            store.open()
            stack.callback(store.close)
        yield them


def outcome(store: Store, batch: list[Entry], epoch: str, *, is_each_alone: bool) -> object:
    try:
        with store.transaction():
            done = store.append(batch, epoch=epoch, clock_ms=7, is_each_alone=is_each_alone)
    except ValueError as error:
        return str(error)
    check_dots(done, store)
    results = [str(each) if isinstance(each, ValueError) else each for each in done.results]
    return results, done.changes, done.dots, done.is_revised, done.is_forked, done.cleaning


def check_dots(done: Appended, store: Store) -> None:
    held, ranges = store.state.vector, done.dots.ranges
    whole = [change.dot for change in done.changes if change.dot and len(ranges.get(change.dot[0], ())) < MAX_RANGES]
    assert all(done.dots.covers(dot) or not held.covers(dot) for dot in whole)
    assert held.covers_all(done.dots) or any(len(some) == MAX_RANGES for some in held.ranges.values())


def visible(store: Store, lacking: VersionVector, limit: int) -> object:
    pages = [store.page(0, lacking=lacking, limit=limit)]
    while pages[-1].until < store.state.last_position:
        pages.append(store.page(pages[-1].until, lacking=lacking, limit=limit))
    return (
        store.state,
        pages,
        store.each(limit=10_000),
        store.each(order="added", limit=10_000),
        store.aside(),
    )


@given(
    some=st.lists(st.tuples(scripts, st.booleans(), st.booleans()), min_size=1, max_size=4),
    lacking=vectors,
    limit=st.integers(1, 700),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_long_batches_end_the_same_in_all_stores_whatever_is_among_them(
    some: list[tuple[Any, bool, bool]], lacking: VersionVector, limit: int
) -> None:
    with stores() as (memory, one_by_one, sqlite):
        epoch = "own"
        for script, is_each_alone, is_renewed in some:
            batch = written(script)
            outcomes = [
                outcome(each, batch, epoch, is_each_alone=is_each_alone) for each in (memory, one_by_one, sqlite)
            ]
            assert outcomes[0] == outcomes[1]
            assert outcomes[0] == outcomes[2]
            if is_renewed:
                old, epoch = epoch, successor(epoch, "own")
                for store in (memory, one_by_one, sqlite):
                    with store.transaction():
                        store.renew_epoch(old, epoch)

        assert visible(memory, lacking, limit) == visible(one_by_one, lacking, limit)
        assert visible(memory, lacking, limit) == visible(sqlite, lacking, limit)
        before = sqlite.state
        sqlite.close()
        assert sqlite.open() == before
