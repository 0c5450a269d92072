"""Walks over the events that a store shows: their order, their pages, their bounds."""

from __future__ import annotations

import pytest

from peers.events.columns import EventTable
from peers.events.entry import Entry
from peers.stores.event_types import EventTypes
from peers.stores.store import Order, Place, WalkOptions
from tests.support.run_house import ALL, CheckedStore, Writer, clean, event, fresh, put, send


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
    while page := store.each(order=order, after=pages[-1] if pages else None, limit=4, reverse=True):
        pages += page

    assert tuple(pages) == whole[::-1]
    later = [each for each in pages if each.added > 6]
    assert store.each(order=order, since=6, reverse=True) == tuple(later)


@pytest.mark.parametrize("order", ["created", "added"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_walk_stays_between_two_places(store: CheckedStore, anna: Writer, order: Order, reverse: bool) -> None:
    put(store, anna, *(event((ms * 7) % 11 + 1) for ms in range(11)))
    whole = store.each(order=order, reverse=reverse)

    def walk(after: Entry | None = None) -> tuple[Entry, ...]:
        bounds = (3, (3, "kitchen", 0)), (9, (0, "", 0))
        return store.each(order=order, after=after, younger_than=bounds[0], older_than=bounds[1], reverse=reverse)

    assert walk() == tuple([each for each in whole if 3 < each.time < 9])
    assert walk(whole[5]) == tuple([each for each in whole[6:] if 3 < each.time < 9])


@pytest.mark.parametrize("reverse", [False, True])
def test_a_walk_by_added_goes_on_after_an_event_that_was_cleaned_or_is_known_by_its_numbers(
    store: CheckedStore, anna: Writer, bert: Writer, reverse: bool
) -> None:
    put(store, anna, event(3), event(1), event(2))
    send(fresh(bert, event(1), event(4))[0], store)
    middle = store.each(order="added")[1]
    clean(store, middle.created)
    rest = {False: [3, 4], True: [1]}[reverse]

    for after in (middle, Entry(middle.created, middle.time, b"", added=2), Entry((9, "gone", 0), 9, b"", added=2)):
        assert [each.added for each in store.each(order="added", after=after, reverse=reverse)] == rest


@pytest.mark.parametrize("order", ["created", "added"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("index", [None, "red"])
def test_a_walk_over_some_types_is_the_walk_without_the_others(
    store: CheckedStore, anna: Writer, order: Order, reverse: bool, index: str | None
) -> None:
    red = b'{"indexes":["red"]}'
    kinds = ["a", "b", "a/b", "c"]
    put(store, anna, *(event((ms * 7) % 500, kinds[ms % 4], extra=red * (ms % 3 > 0)) for ms in range(500)))
    put(store, anna, *(event(7, "a", n=n) for n in range(1, 300)), event(600, "rare", time=3, extra=red))
    whole = store.each(order=order, reverse=reverse, index=index, limit=ALL)

    for names in (["b"], ["a", "c"], ["rare"], ["a/b", "none"], ["none"], []):
        found: list[Entry] = []
        options: WalkOptions = {"order": order, "reverse": reverse, "index": index, "types": EventTypes(names)}
        while page := store.each(after=found[-1] if found else None, limit=60, **options):
            found += page
        assert found == [each for each in whole if each.event["type"] in names]


@pytest.mark.parametrize("order", ["created", "added"])
def test_a_look_ends_after_so_many_events_and_says_where_it_goes_on(
    store: CheckedStore, anna: Writer, order: Order
) -> None:
    put(store, anna, *(event(ms) for ms in range(1, 11)), event(11, "b"))

    looks = [store.look(4, order=order, types=EventTypes("b"))]
    while (rest := looks[-1].rest) is not None:
        looks.append(store.look(4, order=order, types=EventTypes("b"), after=rest))

    assert [[each.added for each in look.entries] for look in looks] == [[], [], [11]]
    assert [look.rest and look.rest.added for look in looks] == [4, 8, None]


def test_finds_nothing_where_there_is_nothing(store: CheckedStore) -> None:
    assert store.find((1, "kitchen", 0)) is None
    assert store.each() == store.aside() == store.changes(0, 10) == ()
    assert store.ends() == {}


def test_a_table_has_the_events_of_a_walk_without_what_only_this_log_knows(
    store: CheckedStore, anna: Writer, bert: Writer
) -> None:
    fill(store, anna, bert)
    put(store, anna, event(7, n=1, extra=b'{"color":"red"}'), event(8, n=1, time=3))

    whole = store.each()
    assert list_of(store.table(None, until=ALL, limit=ALL, max_bytes=ALL)[0]) == [of_all(each) for each in whole]
    first, end = store.table(None, until=12, limit=4, max_bytes=ALL)
    assert (list_of(first), end) == ([of_all(each) for each in whole[:4] if each.added <= 12], place_of(whole[3]))
    rest, end = store.table(end, until=12, limit=ALL, max_bytes=ALL)
    assert (list_of(rest), end) == ([of_all(each) for each in whole[4:] if each.added <= 12], None)


def of_all(entry: Entry) -> Entry:
    """What is the same on every node."""
    same = entry.created, entry.time, entry.body, entry.extra
    return Entry(*same, origin=entry.origin, vouched=entry.vouched)


def list_of(table: EventTable) -> list[Entry]:
    return [table.entry(row) for row in range(len(table))]


def place_of(entry: Entry) -> Place:
    return entry.time, entry.created
