"""The newest events in memory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from peers.clock import ManualClock
from peers.events.columns import size_of
from peers.events.entry import Entry, encode_event
from peers.log import shown_tail as tail_module
from peers.log.shown_tail import STEP_EVENTS, ShownTail, page_of
from peers.stores.store import Page
from tests.support.elsewhere import Elsewhere
from tests.support.pair import NOW_MS, open_log
from tests.support.run_house import Writer, clean, fresh, put
from tests.support.run_house import event as written


def shown(added: int, *, size: int = 0) -> Entry:
    body = encode_event({"type": "a", "text": "x" * size})
    return Entry((added, "home", 0), added, body, added=added)


def filled(*numbers: int, begin: int = 0) -> ShownTail:
    tail = ShownTail(begin)
    for added in numbers:
        tail.add([shown(added)], added)
    return tail


def numbers(page: Page | None) -> list[int]:
    assert page is not None
    return [entry.added for entry in page.entries]


def test_serves_what_came_after_a_number() -> None:
    tail = filled(1, 2, 3)

    page = tail.page(1)

    assert numbers(page) == [2, 3]
    assert page is not None and page.until == 3


def test_says_when_the_walk_is_further_back_than_it_reaches() -> None:
    tail = filled(8, 9, begin=7)

    assert tail.page(6) is None
    assert numbers(tail.page(7)) == [8, 9]


def test_an_empty_tail_serves_only_a_walk_that_has_everything() -> None:
    tail = ShownTail(7)

    assert tail.page(6) is None
    assert tail.page(7) == Page((), 7)


def test_a_page_has_a_limit() -> None:
    page = filled(1, 2, 3).page(0, limit=2)

    assert numbers(page) == [1, 2]
    assert page is not None and page.until == 2


def test_a_page_has_a_limit_in_bytes_but_at_least_one_entry() -> None:
    tail = ShownTail(0)
    tail.add([shown(1, size=1_000), shown(2, size=1_000), shown(3)], 3)

    page = tail.page(0, max_bytes=10)

    assert numbers(page) == [1]
    assert page is not None and page.until == 1


def test_a_number_whose_event_is_gone_again_is_passed_over() -> None:
    tail = ShownTail(0)
    tail.add([shown(1)], 1)
    tail.add([shown(4)], 5)

    assert [numbers(tail.page(after)) for after in range(6)] == [[1, 4], [4], [4], [4], [], []]
    page = tail.page(4)
    assert page is not None and page.until == 5


@pytest.mark.parametrize("added", [0, 3, 6])
def test_refuses_an_event_that_is_not_new_or_not_stored(added: int) -> None:
    tail = filled(1, 2, 3)

    with pytest.raises(ValueError, match=f"`added` {added} is not from 4 to 5"):
        tail.add([shown(added)], 5)


def test_forgets_the_oldest_beyond_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "TAIL_CHANGES", 10)
    tail = filled(*range(1, 101))

    first = next(after for after in range(101) if tail.page(after) is not None)

    assert 90 <= first <= 95
    assert numbers(tail.page(first)) == list(range(first + 1, 101))


def test_forgets_the_oldest_beyond_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "TAIL_BYTES", 10_000)
    tail = ShownTail(0)

    for added in range(1, 51):
        tail.add([shown(added, size=1_000)], added)

    assert tail.page(30) is None
    assert numbers(tail.page(45)) == list(range(46, 51))


def test_one_event_larger_than_the_limit_does_not_break_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "TAIL_BYTES", 100)
    tail = ShownTail(0)

    tail.add([shown(1, size=1_000)], 1)
    tail.add([shown(2, size=1_000)], 2)

    assert tail.page(2) == Page((), 2)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=40),
    st.integers(1, 5),
)
def test_a_walk_over_the_tail_sees_every_event_once(steps: list[tuple[int, int]], limit: int) -> None:
    tail, last, there = ShownTail(0), 0, []
    for count, gap in steps:
        batch = [shown(last + gap + number + 1) for number in range(count)]
        last += count + gap
        tail.add(batch, last)
        there += [entry.added for entry in batch]

    seen: list[Any] = []
    walked = 0
    while walked < last:
        page = tail.page(walked, limit=limit)
        assert page is not None and page.until > walked
        seen += [entry.added for entry in page.entries]
        walked = page.until

    assert seen == there


def test_an_event_that_is_revised_stands_in_its_place_and_one_that_was_cleaned_is_gone() -> None:
    tail = filled(1, 2, 3)
    changed = structs.replace(shown(2), local=b'{"k":1}')

    tail.revise([changed, shown(7)], [shown(1), shown(9)])

    assert tail.page(0) == Page((changed, shown(3)), 3)


def test_an_event_with_other_meta_keeps_its_first_dot() -> None:
    log = open_log("home", ManualClock(NOW_MS))
    Elsewhere(1).bring(log, written(1))
    Elsewhere(2).bring(log, written(1))
    page = log.recent(0)
    assert page is not None
    (before,) = page.entries

    log.change_meta(before.created, {"k": 1}).get()

    page = log.recent(0)
    assert page is not None and page == page_of(log.store, 0)
    assert [(entry.dot, entry.meta["k"]) for entry in page.entries] == [(before.dot, 1)]


def test_keeps_its_limit_of_bytes_after_one_commit_of_many_large_events() -> None:
    tail = ShownTail(0)

    tail.add([Entry((n, "a", 0), n, b"x" * 250_000, added=n) for n in range(1, 251)], 250)

    assert 0 < sum(map(size_of, tail._parts)) <= tail_module.TAIL_BYTES  # no port shows it


# Pages of a store


@given(
    st.integers(0, 3 * STEP_EVENTS), st.integers(1, 2 * STEP_EVENTS), st.integers(0, 8_000), st.sets(st.integers(1, 40))
)
def test_pages_of_a_store_are_those_of_a_tail_that_has_all(count: int, limit: int, room: int, gone: set[int]) -> None:
    events = [written(n, "x" * (n * 37 % 200)) for n in range(1, count + 1)]
    store, _ = fresh(Writer(1), *events) if events else fresh(Writer(1), written(1))
    clean(store, *[event.created for event in events if event.created[0] in gone])
    tail = ShownTail(0)
    tail.add(store.each(order="added", limit=count + 1), store.state.last_added)

    walked = 0
    while walked < store.state.last_added:
        page, other = page_of(store, walked, limit, room), tail.page(walked, limit=limit, max_bytes=room)
        assert other is not None and page.entries == other.entries
        assert walked < page.until <= other.until and (page.until == other.until or len(page.entries) == limit)
        walked = page.until


def test_a_page_of_a_store_goes_past_what_was_cleaned_at_its_end() -> None:
    writer = Writer(1)
    store, _ = fresh(writer, written(1), written(2))
    clean(store, (2, "kitchen", 0))

    assert page_of(store, 1) == Page((), 2)

    put(store, writer, written(3))
    assert numbers(page_of(store, 0)) == [1, 3]
