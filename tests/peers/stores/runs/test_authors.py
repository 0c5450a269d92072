"""What the events of one author do to those of others."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import count, permutations
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.events.entry import Entry
from peers.events.epoch import NO_HEAD, key_mark
from peers.events.piece import Piece
from peers.events.proof import Block
from peers.events.run import ADOPTED_FORK, ADOPTED_LEGACY, FURTHER, OWN
from peers.stores.run_store import Pen
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.taken import Taken
from tests.peers.stores.runs.test_hostile_pieces import signed
from tests.support.run_house import (
    CheckedStore,
    Writer,
    check,
    clean,
    event,
    fill,
    hollowed,
    leaf,
    put,
    shown_by,
    take,
    types,
)

ANNA = Pen(Writer(1).signer, lambda: b"n" * 16, f"~{key_mark(Writer(1).signer.public)}")
NAMES = ("ada", "ada:phone", "bob:desk", "adam")
REASONS = ("price", "shared/price")

kept = st.builds(
    lambda ms, node, reason, is_last: event(
        ms, node=node, extra=(b'{"keep_last":"%b"}' if is_last else b'{"reasons":["%b"]}') % reason.encode()
    ),
    st.integers(1, 9),
    st.sampled_from(NAMES),
    st.sampled_from(REASONS),
    st.booleans(),
)
unlike = {"unique_by": lambda each: each.created[:2]}


def vouched(number: int, *events: Entry) -> Piece:
    """Entries by which a node vouches for these events."""
    return signed(Writer(number), [[(ADOPTED_LEGACY, each, True) for each in events]], is_one_run=True)[0]


def own(number: int, *events: Entry) -> Piece:
    return signed(Writer(number), [[(OWN, each, True) for each in events]], is_one_run=True)[0]


def left_of(events: list[Entry]) -> set[tuple[int, str, int]]:
    """Those that keep their reason, by the rule alone."""

    def group(each: Entry) -> tuple[str, str]:
        (_, reason), *_ = each.labels
        return reason, "" if reason.startswith("shared/") else each.created[1].partition(":")[0]

    return {
        each.created
        for each in events
        if not any(
            group(other) == group(each) and other.keep_last and (other.time, other.created) > (each.time, each.created)
            for other in events
        )
    }


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(kept, min_size=1, max_size=8, **unlike), order=st.randoms(use_true_random=False))
def test_an_event_ends_those_of_its_author_in_whatever_order_they_come(
    make: Callable[[], CheckedStore], events: list[Entry], order: object
) -> None:
    store = make()
    store.open()
    pieces = [own(number, each) for number, each in zip(count(1), events, strict=False)]
    order.shuffle(pieces)  # type: ignore[attr-defined]
    for at, piece in enumerate(pieces):
        take(store, hollowed(piece) if at % 3 == 2 else piece)
    donor = MemoryRunStore()
    donor.open()
    take(donor, *[piece for at, piece in enumerate(pieces) if at % 3 == 2])
    fill(donor, store)

    assert set(shown_by(store)) == left_of(events)
    check(store)
    store.close()


def test_an_event_that_another_node_vouches_for_ends_nothing_until_it_comes_by_its_author(
    make: Callable[[], CheckedStore],
) -> None:
    older = event(1, "older", extra=b'{"reasons":["price"]}')
    last = event(2, "last", extra=b'{"keep_last":"price"}')
    store = make()
    store.open()
    take(store, own(1, older))

    take(store, vouched(2, last))
    assert types(store.each()) == ["older", "last"]

    take(store, own(3, last))
    assert types(store.each()) == ["last"]
    check(store)
    store.close()


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("is_hollow", [False, True])
def test_the_order_of_an_event_and_of_who_vouches_for_it_changes_nothing(
    make: Callable[[], CheckedStore], order: tuple[int, ...], *, is_hollow: bool
) -> None:
    older = event(1, "older", extra=b'{"reasons":["price"]}')
    last = event(2, "last", extra=b'{"keep_last":"price"}')
    by_author = own(3, last)
    pieces = [own(1, older), vouched(2, last), hollowed(by_author) if is_hollow else by_author]
    store = make()
    store.open()

    for at in order:
        take(store, pieces[at])

    assert types(store.each()) == ["last"]
    check(store)
    store.close()


def test_what_a_file_of_an_earlier_release_has_kept_last_is_that_of_the_author(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    store = SqliteRunStore(path, synchronous="OFF")
    store.open()
    put(store, Writer(1), event(5, "new", node="ada:desk", extra=b'{"keep_last":"price"}'))
    store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE last_kept SET reason = 'price'")
        connection.execute("DROP INDEX reasons_by_node")

    store.open()
    late = [event(1, "old", node=node, extra=b'{"keep_last":"price"}') for node in ("ada:phone", "bob")]
    put(store, Writer(1), *late)

    assert [each.created[1] for each in store.each()] == ["bob", "ada:desk"]
    store.close()


# Whose events stand where


def name(number: int) -> str:
    """The node id of a writer without a name."""
    return f"~{key_mark(Writer(number).signer.public)}"


class Said(NamedTuple):
    """What one writer's entry says, of whose event."""

    writer: int
    kind: int
    author: str
    type_: str
    is_hollow: bool


said = st.builds(
    Said,
    st.integers(1, 3),
    st.sampled_from([OWN, OWN, FURTHER, ADOPTED_FORK, ADOPTED_LEGACY]),
    st.sampled_from([name(1), name(2), "ada:phone"]),
    st.sampled_from("abc"),
    st.booleans(),
)


def expected(all_said: list[Said]) -> dict[str, bytes]:
    """Which copy of each author's event is shown, by the rule alone."""
    found: dict[str, tuple[bool, int, bytes]] = {}
    for each in all_said:
        is_node = "~" in each.author
        is_vouched = each.kind in (ADOPTED_FORK, ADOPTED_LEGACY)
        if is_node and not is_vouched and each.author != name(each.writer):
            continue
        rank = is_node and is_vouched, 1, leaf(event(1, each.type_, node=each.author))
        found[each.author] = min(rank, found.get(each.author, rank))
    return {author: rank[2] for author, rank in found.items()}


def is_forged(each: Said) -> bool:
    return "~" in each.author and each.kind in (OWN, FURTHER) and each.author != name(each.writer)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(all_said=st.lists(said, min_size=1, max_size=7), order=st.randoms(use_true_random=False))
def test_of_a_nodes_event_only_its_own_copy_counts_in_whatever_order_they_come(
    make: Callable[[], CheckedStore], all_said: list[Said], order: object
) -> None:
    items = [(each, event(1, each.type_, node=each.author)) for each in all_said]
    writers = {number: Writer(number) for number in (1, 2, 3)}
    pieces = [signed(writers[each.writer], [[(each.kind, item, True)]], is_one_run=True)[0] for each, item in items]
    arriving = [(each, piece) for (each, _), piece in zip(items, pieces, strict=True)]
    order.shuffle(arriving)  # type: ignore[attr-defined]
    store = make()
    store.open()

    for each, piece in arriving:
        assert take(store, hollowed(piece) if each.is_hollow else piece).outcomes == ("taken",)
    events = [((piece.epoch, 1), item) for (_, item), piece in zip(items, pieces, strict=True)]
    order.shuffle(events)  # type: ignore[attr-defined]
    with store.transaction():
        store.fill(events)

    assert {created[1]: found for created, found in shown_by(store).items()} == expected(all_said)
    for (each, _), piece in zip(items, pieces, strict=True):
        (standing,) = store.entries(piece.epoch)
        assert (standing.state == "refused") == is_forged(each)
        assert store.ends()[piece.epoch].seq == 1
    for entry in store.each():
        is_own = any(
            each.kind in (OWN, FURTHER) and not is_forged(each) for each in all_said if entry.created[1] == each.author
        )
        if "~" in entry.created[1]:
            assert (entry.origin == entry.created[1] and not entry.vouched) or not is_own
    check(store)
    store.close()
    store.open()
    assert {created[1]: found for created, found in shown_by(store).items()} == expected(all_said)
    store.close()


def written(store: CheckedStore, *events: Entry, is_each_alone: bool = False) -> Taken:
    """By a node that has its id."""
    with store.transaction():
        return store.append(events, ANNA, is_each_alone=is_each_alone)


def test_a_node_signs_no_event_of_another_one_and_says_so(store: CheckedStore) -> None:
    with pytest.raises(ValueError, match=f"is one of the node {name(2)}, which alone can write it"):
        written(store, event(1, node=name(1)), event(2, node=name(2)))
    assert store.state.last_position == 0


def test_a_node_vouches_for_events_of_other_nodes_that_come_from_outside(store: CheckedStore) -> None:
    mixed = written(store, event(1, node=name(1)), event(2, node=name(2)), event(3, node="ada"), is_each_alone=True)

    assert [type(each) for each in mixed.results] == [Entry, Entry, Entry]
    assert [(each.created[1], each.vouched) for each in store.each()] == [
        (name(1), ""),
        (name(2), "outside"),
        ("ada", ""),
    ]
    assert {each.origin for each in store.each()} == {name(1)}


def test_what_another_node_wrote_and_comes_back_is_known_and_no_conflict(store: CheckedStore) -> None:
    theirs = event(1, node=name(2))
    take(store, own(2, theirs))

    again = written(store, theirs)
    with store.transaction():
        store.offer_further([theirs.created], ANNA)

    assert again.results == (None,)
    assert (store.state.last_position, store.state.conflicts) == (1, 0)


def test_what_a_node_adopts_of_its_own_forked_epoch_it_vouches_for_if_it_is_of_another_node(
    store: CheckedStore,
) -> None:
    """Else no node would take it: it had vouched for it there, too."""
    mine, other = signed(Writer(1), [[(OWN, event(1, node=name(1)), True)]], is_one_run=True)[0], event(2, node=name(2))
    branches = [
        signed(Writer(1), [[(OWN, event(1, type_, node=name(1)), True), (ADOPTED_FORK, other, True)]], is_one_run=True)[
            0
        ]
        for type_ in "ab"
    ]
    assert mine.epoch == branches[0].epoch
    take(store, branches[0])
    with store.transaction():
        store.compare(
            branches[1].birth,
            [Block(1, NO_HEAD, piece.kinds, tuple(piece.leaves), piece.signature) for piece in branches],
        )
        store.adopt(ANNA)

    assert {each.created[1]: (each.origin, each.vouched) for each in store.each()} == {
        name(1): (name(1), ""),
        name(2): (name(1), "fork"),
    }


def test_a_copy_that_was_cleaned_while_others_vouched_for_it_keeps_no_event_of_the_node_out(
    store: CheckedStore,
) -> None:
    take(store, vouched(3, event(1, "forged", node=name(2))))
    clean(store, (1, name(2), 0))

    taken = take(store, own(2, event(1, "real", node=name(2))))

    assert types(store.each()) == types(taken.shown) == ["real"]
    clean(store, (1, name(2), 0))
    take(store, vouched(4, event(1, "forged", node=name(2))))
    assert types(store.each()) == []
