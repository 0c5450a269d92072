"""What the events of one author do to those of others."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import count, permutations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.events.entry import Entry
from peers.events.piece import Piece
from peers.events.run import ADOPTED_LEGACY, OWN
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.store import SqliteRunStore
from tests.peers.stores.runs.test_hostile_pieces import signed
from tests.support.run_house import CheckedStore, Writer, check, event, fill, hollowed, put, shown_by, take, types

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
