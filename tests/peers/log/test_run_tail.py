"""The newest changes and pieces of a log in memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from peers.events.entry import Entry
from peers.events.epoch import Birth
from peers.events.piece import Piece, joined_pieces
from peers.log.run_tail import TAIL_BYTES, TAIL_CHANGES, TAIL_ENTRIES, RunTail
from peers.stores.taken import Change

BIRTH = Birth(bytes(32), bytes(16))
EPOCH = BIRTH.epoch


def piece(start: int, count: int = 1, *, size: int = 10) -> Piece:
    items = tuple([Entry((n, "kitchen", 0), n, b"x" * size) for n in range(start, start + count)])
    return Piece(EPOCH, BIRTH, 1, start, bytes(count), items, bytes(32), bytes(64))


def change(start: int, length: int = 1) -> Change:
    return Change(start, (EPOCH, start), length)


def entries(changes: tuple[Change, ...] | None) -> list[tuple[int, int]]:
    """(position, seq) of each entry."""
    assert changes is not None
    return [(each.position + n, each.dot[1] + n) for each in changes for n in range(each.length)]


@given(st.lists(st.integers(1, 7), max_size=12), st.integers(0, 90), st.integers(1, 5))
def test_changes_after_a_position_begin_right_behind_it(lengths: list[int], after: int, limit: int) -> None:
    tail, last = RunTail(0), 0
    for length in lengths:
        tail.add([change(last + 1, length)], [])
        last += length

    found = tail.changes(after, limit)

    assert found is not None and len(found) <= limit
    expected = [(n, n) for n in range(after + 1, last + 1)]
    assert entries(found) == expected[: len(entries(found))]
    assert bool(found) == bool(expected)
    assert entries(tail.changes(after, 100)) == expected


def test_what_one_writer_commits_alone_is_one_change() -> None:
    tail = RunTail(0)
    for n in range(1, 4):
        tail.add([change(n)], [])
    tail.add([change(4), Change(5, ("other", 5)), Change(6, (EPOCH, 2), is_fill=True)], [])
    tail.add([Change(7, (EPOCH, 3))], [])

    assert tail.changes(0, 10) == (
        change(1, 4),
        Change(5, ("other", 5)),
        Change(6, (EPOCH, 2), is_fill=True),
        Change(7, (EPOCH, 3)),
    )


def test_what_was_committed_before_the_tail_began_is_not_in_it() -> None:
    tail = RunTail(10)
    tail.add([change(11, 2)], [])

    assert tail.changes(9, 10) is None
    assert entries(tail.changes(10, 10)) == [(11, 11), (12, 12)]
    assert tail.changes(12, 10) == ()


def test_a_piece_is_found_by_its_first_entry() -> None:
    tail = RunTail(0)
    first, second = piece(1, 2), piece(3)
    tail.add([change(1, 2)], [first])
    tail.add([change(3)], [second])

    assert tail.piece(EPOCH, 1) is first
    assert tail.piece(EPOCH, 2) is None
    assert tail.piece(EPOCH, 3) is second

    tail.forget_pieces()

    assert tail.piece(EPOCH, 3) is None
    assert entries(tail.changes(0, 10)) == [(1, 1), (2, 2), (3, 3)]


def test_pieces_that_follow_each_other_in_a_run_are_given_as_one_up_to_the_entry_asked_for() -> None:
    tail = RunTail(0)
    parts = [piece(1, 2), piece(3), piece(4, 3), piece(8)]
    next_run = structs.replace(piece(9), first=9)
    tail.add([change(1, 6), change(8, 2)], [*parts, next_run])

    found = tail.piece(EPOCH, 1, 5)

    assert found is not None and (found.start, found.last, found.leaves) == (1, 6, piece(1, 6).leaves)
    assert (found.kinds, found.head, found.signature) == (bytes(6), parts[2].head, parts[2].signature)
    assert tail.piece(EPOCH, 1, 3) == structs.replace(piece(1, 3), items=found.items[:3])
    assert tail.piece(EPOCH, 1, 2) is parts[0]
    assert tail.piece(EPOCH, 1, 10) == found  # the next one is missing
    assert tail.piece(EPOCH, 8, 10) is parts[3]  # the next one is of another run


def test_pieces_that_were_given_as_one_are_given_with_those_that_came_since() -> None:
    tail = RunTail(0)
    parts = [piece(n) for n in range(1, 6)]
    tail.add([change(1, 3)], parts[:3])
    first = tail.piece(EPOCH, 1, 3)
    assert tail.piece(EPOCH, 1, 3) is first

    tail.add([change(4, 2)], parts[3:])

    for last in range(2, 6):
        found = tail.piece(EPOCH, 1, last)
        assert found is not None and found.items == joined_pieces(parts[:last]).items
        assert (found.kinds, found.last) == (bytes(last), last)
    tail.forget_pieces()
    assert tail.piece(EPOCH, 1, 5) is None


def test_the_oldest_changes_and_pieces_are_dropped() -> None:
    tail = RunTail(0)
    for n in range(1, TAIL_ENTRIES + 100):
        tail.add([Change(n, (str(n % 2), n))], [piece(n)])

    assert TAIL_CHANGES // 2 <= len(tail) <= TAIL_CHANGES  # one entry a change: two writers take turns
    assert tail.changes(0, 10) is None
    newest = TAIL_ENTRIES + 99
    assert entries(tail.changes(newest - len(tail), 2 * TAIL_CHANGES))[-1] == (newest, newest)
    assert tail.changes(newest - len(tail) - 1, 10) is None
    assert tail.piece(EPOCH, newest) is not None
    assert tail.piece(EPOCH, newest - TAIL_ENTRIES) is None


def test_a_piece_larger_than_the_tail_is_kept_whole_until_the_next() -> None:
    tail, many = RunTail(0), 3 * TAIL_ENTRIES
    tail.add([change(1, many)], [piece(1, many)])
    assert tail.piece(EPOCH, 1) is not None

    tail.add([change(many + 1)], [piece(many + 1)])
    assert tail.piece(EPOCH, 1) is None
    assert len(entries(tail.changes(0, 2))) == many + 1  # two changes take little room


def test_large_events_fill_the_tail_sooner() -> None:
    tail = RunTail(0)
    size = TAIL_BYTES // 10
    for n in range(1, 40):
        tail.add([change(n)], [piece(n, size=size)])

    kept = [n for n in range(1, 40) if tail.piece(EPOCH, n) is not None]
    assert 5 < len(kept) < 12
    assert kept[-1] == 39
