"""Nodes that write runs into stores and take each other's pieces, without a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from msgspec import structs

from peers.events.created import Created
from peers.events.dot import Dot, Epoch
from peers.events.entry import WAITS, Entry, encode_event
from peers.events.epoch import NO_HEAD, NO_KEY, NOTHING, EpochEnd
from peers.events.leaf import leaf_of
from peers.events.piece import Piece
from peers.events.proof import Way
from peers.events.signature import KeySigner
from peers.stores.run_store import Pen, RunStore
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.rows import Standing
from peers.stores.taken import Taken, Taking
from peers.stores.undo import undo_event, undone_among

ALL = 10**9


class CheckedStore(RunStore, Protocol):
    """What a store of runs is to these tests: the port, and what checks read."""

    def copies(self) -> Iterator[Entry]: ...

    def entries(self, epoch: Epoch) -> Iterator[Standing]: ...

    def orphans(self) -> Iterator[Entry]: ...


def event(ms: int, type_: str = "a", *, node: str = "kitchen", time: int = 0, extra: bytes = b"", n: int = 0) -> Entry:
    """An event without a dot."""
    return Entry((ms, node, n), time or ms, encode_event({"type": type_}), extra)


def undo(ms: int, target: Created, *, node: str = "kitchen", extra: bytes = b"", n: int = 0) -> Entry:
    """An event that undoes the target."""
    return Entry((ms, node, n), ms, encode_event(undo_event(target)), extra)


def two_that_differ(ms: int = 1) -> tuple[Entry, Entry]:
    """(winner, loser) under one `created`."""
    one, two = event(ms, "one"), event(ms, "two")
    return (one, two) if leaf(one) < leaf(two) else (two, one)


def leaf(entry: Entry) -> bytes:
    return leaf_of(entry.created, entry.time, entry.extra, entry.body)


def types(entries: Iterable[Entry]) -> list[str]:
    return [each.event["type"] for each in entries]


class Writer:
    """A key, and the random bytes for the births of its epochs."""

    def __init__(self, number: int) -> None:
        self.signer = KeySigner.from_seed(bytes([number]) * 32)
        self._births = 0

    def nonce(self) -> bytes:
        self._births += 1
        return self._births.to_bytes(16, "big")

    @property
    def pen(self) -> Pen:
        return Pen(self.signer, self.nonce)


def put(store: RunStore, writer: Writer, *events: Entry, is_each_alone: bool = False) -> Taken:
    """Own events, in a commit of their own."""
    with store.transaction():
        return store.append(events, writer.pen, is_each_alone=is_each_alone)


def take(store: RunStore, *pieces: Piece) -> Taken:
    with store.transaction():
        return store.take(pieces)


def outcomes(store: RunStore, *pieces: Piece) -> list[Taking]:
    return list(take(store, *pieces).outcomes)


def pieces_for(store: RunStore, ends: dict[Epoch, EpochEnd]) -> list[Piece]:
    """What one who has `ends` lacks, in the order of the walk."""
    sent = {epoch: end.seq for epoch, end in ends.items()}
    pieces: list[Piece] = []
    after = 0
    while changes := store.changes(after, 50):
        for change in changes:
            epoch, seq = change.dot
            while not change.is_fill and sent.get(epoch, 0) < seq + change.length - 1:
                piece = store.piece(epoch, sent.get(epoch, 0) + 1)
                assert piece is not None, "what a store took can be sent"
                pieces.append(piece)
                sent[epoch] = piece.last
        after = changes[-1].position + changes[-1].length - 1
    return pieces


def send(source: RunStore, target: RunStore) -> Taken:
    """All that the target lacks, and what it calls hollow."""
    taken = take(target, *pieces_for(source, target.ends()))
    fill(source, target)
    return taken


def fill(source: RunStore, target: RunStore) -> Taken:
    wanted = list(target.hollow())
    with target.transaction():
        return target.fill(source.events_at(wanted))


def adopt(store: RunStore, writer: Writer) -> list[Taken]:
    """All steps."""
    steps: list[Taken] = []
    while not steps or steps[-1].is_unfinished:
        with store.transaction():
            steps.append(store.adopt(writer.pen, 3))
    return steps


def clean(store: RunStore, *createds: Created) -> None:
    with store.transaction():
        store.clean(createds)


def exchange(one: RunStore, other: RunStore, writers: Sequence[Writer]) -> None:
    """What two that meet do, until nothing is left to be done."""
    for _ in range(20):
        before = one.state, one.ends(), other.state, other.ends()
        for source, target in ((one, other), (other, one)):
            for epoch in source.ends():
                proof = source.proof(epoch)
                if proof is not None:
                    with target.transaction():
                        target.prove(proof)
            _show(source, target)
            _lead(source, target)
            send(source, target)
        for store, writer in zip((one, other), writers, strict=True):
            adopt(store, writer)
        if (one.state, one.ends(), other.state, other.ends()) == before:
            return
    raise AssertionError("two that meet do not come to an end")


def _show(source: RunStore, target: RunStore) -> None:
    """Where the histories of an epoch part, its blocks are shown."""
    ends = target.ends()
    for epoch, end in source.ends().items():
        birth = source.birth(epoch)
        seq = min(end.seq, ends.get(epoch, end).seq)
        if birth is not None and epoch in ends and source.head(epoch, seq) != target.head(epoch, seq):
            with target.transaction():
                target.compare(birth, source.blocks(epoch, limit=1000))


def _lead(source: RunStore, target: RunStore) -> None:
    """Where a fork cuts an epoch of which the source has what the facts of the mesh name, or it waits, the way is shown."""
    ends = target.ends()
    for epoch in source.ends():
        end = ends.get(epoch, NOTHING)
        way = source.way(epoch, end.seq) if end.mark else source.needed_way(epoch, end.seq)
        if way is not None:
            with target.transaction():
                births = [source.birth(each) for each in [*source.heirs(epoch), epoch]]
                target.meet([birth for birth in births if birth is not None])
            follow(target, way)


def follow(store: RunStore, way: Way) -> None:
    """Each step in a transaction of its own."""
    with store.transaction():
        over = store.follow(way).over
    while over:
        with store.transaction():
            over = store.take_over(*over).over


def hollowed(piece: Piece, *seqs: int) -> Piece:
    """A piece whose sender has no events for these entries."""
    items = zip(range(piece.start, piece.last + 1), piece.items, piece.leaves, strict=True)
    return structs.replace(piece, items=tuple(leaf if not seqs or seq in seqs else item for seq, item, leaf in items))


def piece_of(store: RunStore, epoch: Epoch, start: int = 1) -> Piece:
    piece = store.piece(epoch, start)
    assert piece is not None
    return piece


def own_epoch(store: RunStore) -> Epoch:
    epoch = store.state.epoch
    assert epoch is not None
    return epoch


def fresh(writer: Writer, *events: Entry) -> tuple[MemoryRunStore, Epoch]:
    """A new node that wrote these in one commit, and its epoch."""
    store = MemoryRunStore()
    store.open()
    put(store, writer, *events)
    return store, own_epoch(store)


def check(store: CheckedStore) -> None:
    """Whether all that a store says of itself is true."""
    changes = store.changes(0, ALL)
    state, ends = store.state, store.ends()
    by_position = {change.position: change for change in changes}
    steps = sorted((c.position + at, (c.dot[0], c.dot[1] + at), c.is_fill) for c in changes for at in range(c.length))
    assert len({position for position, _, _ in steps}) == len(steps), "one change a position"
    assert all(position <= state.last_position for position, _, _ in steps) and len(by_position) == len(changes)
    places = {dot: position for position, dot, is_fill in steps if not is_fill}
    copies = {copy.position: copy for copy in store.copies()}
    counts = {"hollow": 0, "refused": 0}
    for epoch, end in ends.items():
        birth = store.birth(epoch)
        assert birth is not None and birth.epoch == epoch
        standings = list(store.entries(epoch))
        assert len(standings) >= end.seq, "each entry that counts has a place"
        assert [s.position for s in standings] == sorted({s.position for s in standings}), "in order in each epoch"
        for seq, standing in enumerate(standings, 1):
            dot: Dot = (epoch, seq)
            assert places.get(dot) == (standing.position if seq <= end.seq else None)
            is_here = isinstance(standing.item, Entry)
            assert is_here == (standing.state == "held")
            assert store.is_held(dot) == (is_here and seq <= end.seq)
            if seq <= end.seq and standing.state in counts:
                counts[standing.state] += 1
            if isinstance(standing.item, Entry):
                assert copies[standing.item.position] == standing.item
        _check_heads(store, epoch, end)
    assert counts == {"hollow": state.hollow, "refused": state.refused}
    assert len(list(store.hollow())) == state.hollow
    _check_copies(store, copies)


def _check_heads(store: CheckedStore, epoch: Epoch, end: EpochEnd) -> None:
    """The pieces of an epoch, taken by a new store, give the same end."""
    assert store.head(epoch, 0) == NO_HEAD
    assert store.head(epoch, end.seq + ALL) is None
    twin = MemoryRunStore()
    twin.open()
    proof = store.proof(epoch) if end.mark else None
    if proof is not None:
        with twin.transaction():
            twin.prove(proof)
    start = 1
    while start <= end.seq:
        piece = piece_of(store, epoch, start)
        if not (piece.signature or end.mark or piece.birth.key == NO_KEY):
            assert piece.last == end.seq and piece.head == store.head(epoch, end.seq), "it ends at a limit"
            return
        assert outcomes(twin, piece) == ["taken"], (epoch, start, end)
        assert store.head(epoch, piece.last) == piece.head
        start = piece.last + 1
    if end.mark and proof is None and end.seq:  # of a legacy epoch
        with twin.transaction():
            twin.part(epoch, end.seq)
    if proof is not None or end.seq:
        assert twin.ends().get(epoch, EpochEnd()) == end


def _check_copies(store: CheckedStore, copies: dict[int, Entry]) -> None:
    state, shown = store.state, store.each(order="added", limit=ALL)
    living = {copy.created: copy for copy in copies.values() if copy.added > 0 and not copy.tombstone}
    assert {entry.created: entry for entry in shown} == living
    assert sorted(store.each(limit=ALL), key=_created) == sorted(shown, key=_created)
    assert [entry.added for entry in shown] == sorted({entry.added for entry in shown})
    assert all(entry.added <= min(state.last_added, entry.position) for entry in shown)
    assert len(shown) == state.events
    aside = [copy for copy in copies.values() if not copy.added and not copy.tombstone]
    assert list(store.aside()) == sorted(aside, key=_position)
    assert len(aside) == state.conflicts
    assert len([copy for copy in copies.values() if copy.added == WAITS]) == state.waiting
    targets = {target for _, target in undone_among(shown)}
    assert store.undone(targets) == targets
    for entry in shown:
        assert store.find(entry.created) == entry
        others = [copy for copy in aside if copy.created == entry.created]
        assert all(rank(entry) < rank(other) for other in others)


def rank(entry: Entry) -> tuple[bool, int, bytes]:
    """Of a node's event, what the node signed itself comes first; then the smaller (time, leaf)."""
    is_weak = "~" in entry.created[1] and (bool(entry.vouched) or entry.origin is None)
    return is_weak, entry.time, leaf(entry)


def shown_by(store: RunStore) -> dict[Created, bytes]:
    """What a reader sees, whatever the numbers are."""
    return {entry.created: leaf(entry) for entry in store.each(limit=ALL)}


def _created(entry: Entry) -> Created:
    return entry.created


def _position(entry: Entry) -> int:
    return entry.position
