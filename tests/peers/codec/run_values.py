"""Values of wire 2 for property tests: ends, blocks, events, pieces, and all messages."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from peers.codec.messages import Custom, Debug, Error, Headers, Ping, Pong, Synced
from peers.codec.pieces import raw_piece
from peers.codec.run_messages import (
    LINK_BYTES,
    MAX_RELEASE,
    MAX_WHY,
    AskReach,
    Decline,
    Facts,
    Fill,
    Greeting,
    Heads,
    Pieces,
    Prove,
    Reached,
    RunConnect,
    RunConnected,
    RunHave,
    RunOptions,
    ShowBlocks,
    ShowWay,
    WantedEvents,
    Yours,
    spans_of,
)
from peers.events.created import MAX_MS
from peers.events.dot import MAX_FOREIGN_SEQ
from peers.events.ends import Fingerprint
from peers.events.entry import Entry, encode_event, encode_extra
from peers.events.epoch import Birth, EpochEnd, Parent
from peers.events.piece import Piece
from peers.events.proof import Block, Way
from peers.events.reconcile import Differ, Division, Part, Same
from peers.events.run import KINDS, RUN_ENTRIES

labels = st.text(st.sampled_from("abcXYZ019_.:~-"), min_size=1, max_size=64)
names = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Zs", "Co", "Cn"]), min_size=1, max_size=100
)
counts = st.integers(0, MAX_MS)
seqs = st.integers(1, MAX_FOREIGN_SEQ)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=5,
)
hashes, halves, full_signatures = (
    st.integers(0, 255).map(lambda byte, size=size: bytes([byte]) * size)  # many bytes take long to draw
    for size in (32, 16, 64)
)
signatures = st.just(b"") | full_signatures
epochs = halves.map(bytes.hex)
ends = st.builds(EpochEnd, st.integers(0, MAX_FOREIGN_SEQ), halves, st.just(b"") | halves)
births = st.builds(
    Birth, hashes, halves, st.builds(Parent, epochs, st.integers(0, MAX_MS), hashes), st.just("") | names
)
link_names = st.integers(0, 255).map(lambda byte: bytes([byte]) * LINK_BYTES)
dots = st.tuples(epochs, seqs)
spans = st.lists(dots, max_size=5).map(spans_of).map(tuple)
fingerprints = st.builds(Fingerprint, counts, hashes)
yours = st.builds(Yours, ends, hashes, signatures)


def by_epoch(values: st.SearchStrategy[Any], most: int = 5) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(epochs, values, max_size=most)


greetings = st.builds(
    Greeting,
    boot=labels,
    connection=labels,
    held=st.lists(labels, max_size=5).map(tuple),
    newest=by_epoch(ends),
    rest=fingerprints,
    yours=by_epoch(yours, 4),
    hollow=st.none() | st.lists(dots, max_size=5).map(WantedEvents.of),
    last_position=counts,
    release=st.just("") | st.text(max_size=MAX_RELEASE),
)
options = st.builds(RunOptions, subprotocol=json_values, token=json_values, runs=st.none() | greetings)
events = st.builds(
    lambda ms, node_id, n, time, event, extra: Entry(
        (ms, node_id, n), ms if time is None else time, encode_event({**event, "type": "a"}), encode_extra(extra)
    ),
    counts,
    st.sampled_from(["attic", "kitchen"]) | names,
    st.just(0) | counts,
    st.none() | counts,
    st.dictionaries(st.text("abc", max_size=3), json_values, max_size=3),
    st.just({}) | st.dictionaries(st.text("xyz", min_size=1, max_size=3), json_values, max_size=3),
)
items = st.lists(events | hashes, min_size=1, max_size=5) | st.lists(events, min_size=1, max_size=5)


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    """Entries of one run: events and leaves, own ones and others."""
    birth, own = draw(births), draw(items)
    first = draw(st.integers(1, MAX_FOREIGN_SEQ - RUN_ENTRIES))
    start = first + draw(st.integers(0, RUN_ENTRIES - len(own)))
    kinds = draw(st.just(bytes(len(own))) | st.lists(st.integers(0, KINDS - 1), min_size=len(own), max_size=len(own)))
    return Piece(birth.epoch, birth, first, start, bytes(kinds), tuple(own), draw(hashes), draw(signatures))


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    leaves = draw(st.lists(hashes, min_size=1, max_size=4))
    kinds = bytes([draw(st.integers(0, KINDS - 1)) for _ in leaves])
    return Block(draw(seqs), draw(hashes), kinds, tuple(leaves), draw(full_signatures))


borders = epochs | st.sampled_from(["", "~", "7"])
divisions = st.builds(Division, st.lists(borders, max_size=3).map(tuple), st.binary(max_size=64))
parts = st.builds(Part, borders, borders, divisions | by_epoch(ends, 3))
others = by_epoch(st.none() | ends)
messages = st.one_of(
    st.builds(RunConnect, protocol=st.just(2), node_id=names, synced=counts, options=options),
    st.builds(RunConnected, protocol=st.just(2), node_id=names, times=st.tuples(counts, counts), options=options),
    st.builds(Same, others),
    st.builds(Differ, others, st.lists(parts, max_size=4).map(tuple), st.booleans()),
    st.builds(
        RunHave,
        by_epoch(ends),
        spans,
        spans,
        st.none() | st.lists(link_names, max_size=3).map(tuple),
        st.lists(epochs, max_size=3).map(tuple),
    ),
    st.builds(
        Pieces,
        counts,
        st.lists(births, max_size=3).map(tuple),
        st.lists(pieces().map(raw_piece), min_size=1, max_size=3).map(tuple),
    ),
    st.builds(Fill, counts, st.lists(st.tuples(dots, events), max_size=4).map(tuple)),
    st.builds(Heads, epochs, seqs, st.lists(st.tuples(seqs, halves), max_size=4).map(tuple), st.booleans()),
    st.builds(ShowBlocks, births, st.lists(blocks(), max_size=3).map(tuple)),
    st.builds(Prove, st.binary(max_size=100)),
    st.builds(
        ShowWay,
        st.builds(Way, epochs, seqs, hashes, st.binary(min_size=34, max_size=100)),
        st.lists(births.map(Birth.encode), max_size=2).map(tuple),
    ),
    st.builds(Decline, st.lists(hashes, max_size=4).map(tuple)),
    st.builds(AskReach, st.integers(1, 65_535)),
    st.builds(Reached, st.text(max_size=MAX_WHY), st.booleans()),
    st.builds(
        Facts,
        st.lists(st.binary(max_size=20), max_size=4).map(tuple),
        st.lists(st.binary(min_size=16, max_size=16), max_size=4).map(tuple),
        st.booleans(),
    ),
    st.builds(Synced, counts),
    st.builds(Ping, counts),
    st.builds(Pong, counts, counts),
    st.builds(Error, names.filter(lambda name: name != "wrong-protocol"), json_values),
    st.builds(Headers, st.dictionaries(names, json_values, max_size=4)),
    st.builds(Debug, names, json_values),
    st.builds(Custom, st.sampled_from(["wave", "own/name", "a-b"]), st.lists(json_values, max_size=4).map(tuple)),
)
