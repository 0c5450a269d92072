"""The newest changes in memory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from peers.events.entry import Entry, encode_event
from peers.events.version_vector import VersionVector
from peers.log import tail as tail_module
from peers.log.tail import Tail
from peers.stores.store import Page


def change(position: int, *, size: int = 0) -> Entry:
    body = encode_event({"type": "a", "text": "x" * size})
    return Entry((position, "home", 0), position, body, b"", ("e", position), position, position)


def filled(*positions: int, begin: int = 0, last: int | None = None) -> Tail:
    tail = Tail(begin)
    for position in positions:
        tail.add([change(position)], position)
    if last is not None:
        tail.add([], last)
    return tail


def positions(page: Page | None) -> list[int]:
    assert page is not None
    return [entry.position for entry in page.entries]


def test_serves_what_came_after_a_position() -> None:
    tail = filled(1, 2, 3)

    page = tail.page(1)

    assert positions(page) == [2, 3]
    assert page is not None and page.until == 3


def test_says_when_the_walk_is_further_back_than_it_reaches() -> None:
    tail = filled(8, 9, begin=7)

    assert tail.page(6) is None
    assert positions(tail.page(7)) == [8, 9]


def test_an_empty_tail_serves_only_a_walk_that_has_everything() -> None:
    tail = Tail(7)

    assert tail.page(6) is None
    assert tail.page(7) == Page((), 7)


def test_a_page_has_a_limit() -> None:
    page = filled(1, 2, 3).page(0, limit=2)

    assert positions(page) == [1, 2]
    assert page is not None and page.until == 2


def test_a_page_has_a_limit_in_bytes_but_at_least_one_entry() -> None:
    tail = Tail(0)
    tail.add([change(1, size=1_000), change(2, size=1_000), change(3)], 3)

    page = tail.page(0, max_bytes=10)

    assert positions(page) == [1]
    assert page is not None and page.until == 1


def test_leaves_out_what_the_other_has_and_goes_past_it() -> None:
    page = filled(1, 2, 3).page(0, lacking=VersionVector({"e": [(2, 3)]}))

    assert positions(page) == [1]
    assert page is not None and page.until == 3


def test_a_position_whose_change_is_gone_again_is_passed_over() -> None:
    tail = Tail(0)
    tail.add([change(1)], 1)
    tail.add([change(4)], 5)

    assert [positions(tail.page(after)) for after in range(6)] == [[1, 4], [4], [4], [4], [], []]
    page = tail.page(4)
    assert page is not None and page.until == 5


@pytest.mark.parametrize("position", [0, 3, 6])
def test_refuses_a_change_that_is_not_new_or_not_stored(position: int) -> None:
    tail = filled(1, 2, 3)

    with pytest.raises(ValueError, match=f"position {position} is not from 4 to 5"):
        tail.add([change(position)], 5)


def test_forgets_the_oldest_beyond_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "TAIL_CHANGES", 10)
    tail = filled(*range(1, 101))

    first = next(after for after in range(101) if tail.page(after) is not None)

    assert 90 <= first <= 95
    assert positions(tail.page(first)) == list(range(first + 1, 101))


def test_forgets_the_oldest_beyond_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "TAIL_BYTES", 10_000)
    tail = Tail(0)

    for position in range(1, 51):
        tail.add([change(position, size=1_000)], position)

    assert tail.page(30) is None
    assert positions(tail.page(45)) == list(range(46, 51))


def test_one_change_larger_than_the_limit_does_not_break_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "TAIL_BYTES", 100)
    tail = Tail(0)

    tail.add([change(1, size=1_000)], 1)
    tail.add([change(2, size=1_000)], 2)

    assert tail.page(2) == Page((), 2)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=40),
    st.integers(1, 5),
    st.sets(st.integers(1, 80)),
)
def test_a_walk_over_the_tail_sees_every_change_once(steps: list[tuple[int, int]], limit: int, known: set[int]) -> None:
    tail, last, there = Tail(0), 0, []
    for count, gap in steps:
        batch = [change(last + gap + number + 1) for number in range(count)]
        last += count + gap
        tail.add(batch, last)
        there += [entry.position for entry in batch]
    lacking = VersionVector().adds([("e", number) for number in known])

    seen: list[Any] = []
    walked = 0
    while walked < last:
        page = tail.page(walked, lacking=lacking, limit=limit)
        assert page is not None and page.until > walked
        seen += [entry.position for entry in page.entries]
        walked = page.until

    assert seen == [position for position in there if position not in known]


def test_a_change_that_is_revised_stands_in_its_place_and_one_that_is_dropped_is_gone() -> None:
    tail = filled(1, 2, 3)
    changed = structs.replace(change(2), local=b'{"k":1}')

    tail.revise([changed, change(7)], [1, 9])

    assert tail.page(0) == Page((changed, change(3)), 3)


def test_keeps_its_limit_of_bytes_after_one_commit_of_many_large_events() -> None:
    tail = Tail(0)

    tail.add([Entry((n, "a", 0), n, b"x" * 250_000, position=n) for n in range(1, 251)], 250)

    assert sum(entry.size for entry in tail._entries) <= tail_module.TAIL_BYTES  # no port shows it
