"""Walks over the events that a store shows: their order, their pages, their bounds."""

from __future__ import annotations

import pytest

from peers.events.entry import Entry
from peers.stores.store import Order
from tests.support.run_house import CheckedStore, Writer, clean, event, fresh, put, send


def fill(store: CheckedStore, writer: Writer, other: Writer) -> None:
    """11 own events in no order of time; entries of another node for 10 of these; two more own ones."""
    put(store, writer, *(event((ms * 7) % 11 + 1) for ms in range(11)))
    send(fresh(other, *(event(ms) for ms in range(1, 11)))[0], store)
    put(store, writer, event(99), event(50))


def test_shows_events_by_time_then_created(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, event(3), event(1), event(2, time=9), event(2, node="attic"))

    assert [each.created for each in store.each()] == [
        (1, "kitchen", 0),
        (2, "attic", 0),
        (3, "kitchen", 0),
        (2, "kitchen", 0),
    ]
    assert [each.added for each in store.each(order="added")] == [1, 2, 3, 4]


@pytest.mark.parametrize("order", ["created", "added"])
def test_shows_events_page_by_page(store: CheckedStore, anna: Writer, bert: Writer, order: Order) -> None:
    fill(store, anna, bert)
    whole = store.each(order=order)

    pages, after = [], None
    while page := store.each(order=order, after=after, limit=4):
        pages.append(page)
        after = page[-1]

    assert sum(pages, ()) == whole
    assert [len(page) for page in pages] == [4, 4, 4, 1]
    assert {each.added for each in store.each(order=order, since=6)} == set(range(7, 14))


@pytest.mark.parametrize("order", ["created", "added"])
def test_a_walk_backward_is_the_same_walk_from_its_end(
    store: CheckedStore, anna: Writer, bert: Writer, order: Order
) -> None:
    fill(store, anna, bert)
    clean(store, (4, "kitchen", 0))
    whole = store.each(order=order)

    pages: list[Entry] = []
    while page := store.each(order=order, after=pages[-1] if pages else None, limit=4, is_backward=True):
        pages += page

    assert tuple(pages) == whole[::-1]
    later = [each for each in pages if each.added > 6]
    assert store.each(order=order, since=6, is_backward=True) == tuple(later)


@pytest.mark.parametrize("order", ["created", "added"])
@pytest.mark.parametrize("is_backward", [False, True])
def test_a_walk_stays_between_two_places(store: CheckedStore, anna: Writer, order: Order, is_backward: bool) -> None:
    put(store, anna, *(event((ms * 7) % 11 + 1) for ms in range(11)))
    whole = store.each(order=order, is_backward=is_backward)

    def walk(after: Entry | None = None) -> tuple[Entry, ...]:
        bounds = (3, (3, "kitchen", 0)), (9, (0, "", 0))
        return store.each(
            order=order, after=after, younger_than=bounds[0], older_than=bounds[1], is_backward=is_backward
        )

    assert walk() == tuple([each for each in whole if 3 < each.time < 9])
    assert walk(whole[5]) == tuple([each for each in whole[6:] if 3 < each.time < 9])


@pytest.mark.parametrize("is_backward", [False, True])
def test_a_walk_by_added_goes_on_after_an_event_that_was_cleaned_or_is_known_by_its_numbers(
    store: CheckedStore, anna: Writer, bert: Writer, is_backward: bool
) -> None:
    put(store, anna, event(3), event(1), event(2))
    send(fresh(bert, event(1), event(4))[0], store)
    middle = store.each(order="added")[1]
    clean(store, middle.created)
    rest = {False: [3, 4], True: [1]}[is_backward]

    for after in (middle, Entry(middle.created, middle.time, b"", added=2), Entry((9, "gone", 0), 9, b"", added=2)):
        assert [each.added for each in store.each(order="added", after=after, is_backward=is_backward)] == rest


def test_finds_nothing_where_there_is_nothing(store: CheckedStore) -> None:
    assert store.find((1, "kitchen", 0)) is None
    assert store.each() == store.aside() == store.changes(0, 10) == ()
    assert store.ends() == {}
