"""Pieces that were changed on their way, or that their signer made to confuse: stores take what is signed, and stay whole."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from peers.events.entry import Entry
from peers.events.epoch import Birth
from peers.events.leaf import leaves_of
from peers.events.piece import Piece
from peers.events.run import KINDS, RunHash
from peers.stores.runs.memory import MemoryRunStore
from tests.support.run_house import Writer, check, clean, event, fill, outcomes, pieces_for, put, shown_by, take

events = st.builds(event, st.integers(1, 4), st.sampled_from("abc"), node=st.sampled_from("xy"), time=st.integers(0, 2))
entries = st.tuples(st.integers(0, KINDS - 1), events, st.booleans())
"""Kind, event, and whether the event comes with its entry."""


def opened() -> MemoryRunStore:
    store = MemoryRunStore()
    store.open()
    return store


def signed(writer: Writer, commits: list[list[tuple[int, Entry, bool]]], *, is_one_run: bool) -> list[Piece]:
    """Pieces of an epoch with whatever entries, one for each commit."""
    birth = Birth(writer.signer.public, writer.nonce())
    run = RunHash(birth.epoch, 1)
    pieces: list[Piece] = []
    for commit in commits:
        if pieces and not is_one_run:
            run = RunHash(birth.epoch, run.last + 1, run.head)
        start = run.last + 1
        kinds = bytes(kind for kind, _, _ in commit)
        leaves = leaves_of([item for _, item, _ in commit])
        run.add(kinds, leaves)
        items = tuple(item if has_event else leaf for (_, item, has_event), leaf in zip(commit, leaves, strict=True))
        signature = writer.signer.sign(birth.epoch, run.last, run.head)
        pieces.append(Piece(birth.epoch, birth, run.first, start, kinds, items, run.head, signature))
    return pieces


commits = st.lists(st.lists(entries, min_size=1, max_size=6), min_size=1, max_size=5)


@given(st.lists(commits, min_size=1, max_size=3), st.booleans(), st.data())
def test_whatever_was_signed_is_taken_and_shown_alike_in_any_order(
    epochs: list[list[list[tuple[int, Entry, bool]]]], is_one_run: bool, data: st.DataObject
) -> None:
    pieces = [signed(Writer(number), each, is_one_run=is_one_run) for number, each in enumerate(epochs, 1)]
    one, other = opened(), opened()
    for each in pieces:
        assert outcomes(one, *each) == ["taken"] * len(each)
    if data.draw(st.booleans()):
        put(
            other,
            Writer(9),
            *{entry.created: entry for entry in data.draw(st.lists(events))}.values(),
            is_each_alone=True,
        )
        take(one, *pieces_for(other, {}))
    for each in reversed(pieces):
        for piece in each:
            assert outcomes(other, piece) == ["taken"]

    for source, target in ((one, other), (other, one)):
        fill(source, target)
    check(one)
    check(other)
    assert one.ends() == other.ends()
    assert shown_by(one) == shown_by(other)
    clean(one, *shown_by(one))
    check(one)
    assert (one.state.events, one.state.conflicts, one.each(), one.aside()) == (0, 0, (), ())


def changes_of(piece: Piece) -> st.SearchStrategy[dict[str, Any]]:
    numbers = st.integers(0, 8)
    flipped = st.integers(0, 31).map(lambda at: bytes([*piece.head[:at], piece.head[at] ^ 1, *piece.head[at + 1 :]]))
    items = st.lists(st.sampled_from([*piece.items, *piece.leaves]) | events, max_size=8).map(tuple)
    return st.fixed_dictionaries(
        {},
        optional={
            "first": numbers,
            "start": numbers,
            "kinds": st.binary(max_size=8),
            "items": items,
            "head": flipped,
            "signature": st.binary(min_size=64, max_size=64) | st.just(b""),
            "refused": st.frozensets(numbers),
        },
    )


@given(commits, st.integers(0, 4), st.integers(0, 4), st.data())
def test_a_changed_piece_is_taken_only_as_far_as_it_says_what_was_signed(
    epoch: list[list[tuple[int, Entry, bool]]], known: int, which: int, data: st.DataObject
) -> None:
    pieces = signed(Writer(1), epoch, is_one_run=data.draw(st.booleans()))
    piece = pieces[which % len(pieces)]
    source, target = opened(), opened()
    take(source, *pieces)
    take(target, *pieces[: known % len(pieces)])
    before = target.state, target.ends(), target.changes(0, 99)

    (outcome,) = outcomes(target, structs.replace(piece, **data.draw(changes_of(piece))))

    if outcome != "taken":
        assert (target.state, target.ends(), target.changes(0, 99)) == before
    end = target.ends().get(piece.epoch)
    assert end is None or (source.head(piece.epoch, end.seq) or b"")[:16] == end.head
    check(target)
