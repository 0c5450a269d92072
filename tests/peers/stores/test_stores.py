"""One contract, kept by every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.events.entry import Entry, encode_event
from peers.events.version_vector import MAX_RANGES, VersionVector
from peers.stores.memory import MemoryStore
from peers.stores.sqlite.store import SqliteStore
from peers.stores.store import PAGE_SCAN, Appended, Order, Store, StoreError

ALL = 1_000_000


def entry(
    ms: int, type_: str = "a", *, node: str = "kitchen", time: int = 0, dot: tuple[str, int] | None = None
) -> Entry:
    return Entry((ms, node, 0), time or ms, encode_event({"type": type_}), b"", dot)


def put(store: Store, *entries: Entry, epoch: str = "own", clock_ms: int = 0) -> Appended:
    with store.transaction():
        return store.append(entries, epoch=epoch, clock_ms=clock_ms)


def types(entries: tuple[Entry, ...]) -> list[str]:
    return [each.event["type"] for each in entries]


def two_that_differ(ms: int = 1) -> tuple[Entry, Entry]:
    """(winner, loser) under one `created`, without dots."""
    one, two = entry(ms, "one"), entry(ms, "two")
    return (one, two) if one.rank < two.rank else (two, one)


def dotted(event: Entry, epoch: str, seq: int) -> Entry:
    return Entry(event.created, event.time, event.body, event.extra, (epoch, seq))


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    make: dict[str, Callable[[], Store]] = {
        "memory": MemoryStore,
        "sqlite": lambda: SqliteStore(tmp_path / "log.db", synchronous="OFF"),
    }
    store = make[request.param]()
    store.open()
    yield store
    store.close()


# Appending


def test_numbers_own_events_in_the_order_they_come(store: Store) -> None:
    appended = put(store, entry(5), entry(3, "b"))

    assert [(each.added, each.position, each.dot) for each in appended.changes] == [
        (1, 1, ("own", 1)),
        (2, 2, ("own", 2)),
    ]
    assert appended.results == appended.changes
    assert store.state.vector == VersionVector({"own": [(1, 2)]})
    assert (store.state.last_added, store.state.last_position, store.state.events) == (2, 2, 2)


def test_a_repeated_own_event_is_ignored_and_consumes_no_number(store: Store) -> None:
    put(store, entry(1), entry(1))

    appended = put(store, entry(1), entry(2))

    assert appended.results[0] is None
    assert appended.results[1] is not None
    assert (appended.results[1].added, appended.results[1].dot) == (2, ("own", 2))


def test_refuses_an_own_event_that_differs_from_the_known_one(store: Store) -> None:
    put(store, entry(1))

    with store.transaction(), pytest.raises(ValueError, match="is known and differs"):
        store.append([entry(7), entry(1, "other")], epoch="own")

    assert types(store.each()) == ["a"]
    assert store.state.last_position == 1


def test_keeps_the_dot_of_an_event_from_elsewhere(store: Store) -> None:
    appended = put(store, entry(1, dot=("far", 9)))

    assert appended.changes[0].dot == ("far", 9)
    assert store.find((1, "kitchen", 0)) == appended.changes[0]
    assert store.state.vector == VersionVector({"far": [(9, 9)]})


def test_a_repeated_dot_is_ignored(store: Store) -> None:
    put(store, entry(1, dot=("far", 1)))

    appended = put(store, entry(1, dot=("far", 1)), entry(1, dot=("far", 1)))

    assert appended == Appended((None, None), ())
    assert store.state.last_position == 1


def test_a_second_dot_has_a_position_but_no_added(store: Store) -> None:
    put(store, entry(1, dot=("far", 1)))

    appended = put(store, entry(1, dot=("near", 4)), entry(2, dot=("near", 5)))

    assert appended.results[0] is None
    assert [(each.created[0], each.dot, each.position, each.added) for each in appended.changes] == [
        (1, ("near", 4), 2, 1),
        (2, ("near", 5), 3, 2),
    ]
    assert store.state.events == 2


def test_an_event_and_its_second_dot_may_come_together(store: Store) -> None:
    appended = put(store, entry(1, dot=("far", 1)), entry(1, dot=("near", 1)), entry(1, dot=("near", 1)))

    assert [(each.dot, each.position, each.added) for each in appended.changes] == [
        (("far", 1), 1, 1),
        (("near", 1), 2, 1),
    ]
    assert store.page(0).entries == appended.changes


def test_an_own_event_that_came_back_from_elsewhere_is_ignored(store: Store) -> None:
    put(store, entry(1, dot=("far", 1)))

    assert put(store, entry(1)).results == (None,)
    assert store.state.vector == VersionVector({"far": [(1, 1)]})


def test_goes_on_after_a_seq_of_its_epoch_that_came_from_elsewhere(store: Store) -> None:
    appended = put(store, entry(1), entry(2, dot=("own", 7)), entry(3))

    assert appended.changes[2].dot == ("own", 8)


def test_the_clock_mark_only_rises(store: Store) -> None:
    put(store, clock_ms=50)
    put(store, entry(1), clock_ms=40)

    assert store.state.clock_ms == 50


def test_writes_only_inside_a_transaction(store: Store) -> None:
    with pytest.raises(RuntimeError, match="inside a transaction"):
        store.append([entry(1)], epoch="own")
    with pytest.raises(RuntimeError, match="inside a transaction"):
        store.renew_epoch("own", "own.1.x")
    with store.transaction(), pytest.raises(RuntimeError, match="do not nest"), store.transaction():
        pass


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    winner, loser = two_that_differ()
    put(store, dotted(loser, "far", 1))
    before = seen(store)

    with pytest.raises(KeyError), store.transaction():
        store.append([entry(2), dotted(winner, "near", 1), entry(9, dot=("far", 1))], epoch="own", clock_ms=99)
        store.renew_epoch("far", "far.1.x")
        raise KeyError

    assert seen(store) == before
    assert put(store, entry(3)).changes[0].dot == ("own", 1)


def test_what_an_append_refused_is_taken_back_though_the_transaction_goes_on(store: Store) -> None:
    put(store, entry(1))

    with store.transaction():
        store.append([entry(2)], epoch="own")
        with pytest.raises(ValueError):
            store.append([entry(3), entry(1, "differs")], epoch="own")
        store.append([entry(4)], epoch="own")

    assert [(each.created[0], each.dot) for each in store.each()] == [(1, ("own", 1)), (2, ("own", 2)), (4, ("own", 3))]


def test_is_the_same_after_closing_and_opening(store: Store) -> None:
    winner, loser = two_that_differ()
    put(store, dotted(winner, "far", 1), dotted(loser, "near", 1), entry(5), clock_ms=77)
    before = seen(store)

    store.close()
    store.close()
    state = store.open()

    assert seen(store) == before
    assert state == store.state
    assert put(store, entry(6)).changes[0].added == 3


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()

    for use in (
        lambda: store.page(0),
        store.each,
        lambda: store.find((1, "a", 0)),
        lambda: put(store, entry(1)),
    ):
        with pytest.raises(StoreError, match="open"):
            use()


def test_closing_in_a_transaction_takes_it_back(store: Store) -> None:
    put(store, entry(1))

    with pytest.raises(StoreError), store.transaction():
        store.append([entry(2)], epoch="own")
        store.close()

    assert store.open().events == 1
    assert types(store.each()) == ["a"]


# Two copies, two events under one dot


@pytest.mark.parametrize("winner_first", [True, False])
def test_of_two_copies_the_smaller_is_shown_and_the_other_kept_aside(store: Store, winner_first: bool) -> None:
    winner, loser = two_that_differ()
    copies = [dotted(winner, "far", 1), dotted(loser, "near", 1)]

    for copy in copies if winner_first else reversed(copies):
        put(store, copy)

    (shown,) = store.each()
    assert shown.same_as(winner)
    assert shown.added == 1
    assert [each.body for each in store.aside()] == [loser.body]
    assert store.state.conflicts == 1
    assert [each.body for each in store.page(0).entries] == [winner.body, winner.body]


def test_a_loser_that_comes_again_is_kept_once(store: Store) -> None:
    winner, loser = two_that_differ()
    put(store, dotted(winner, "far", 1), dotted(loser, "near", 1))

    appended = put(store, dotted(loser, "near", 1), dotted(loser, "third", 1))

    assert appended.results == (None, None)
    assert [each.dot for each in appended.changes] == [("third", 1)]
    assert len(store.aside()) == store.state.conflicts == 1


def test_a_better_copy_under_a_known_dot_is_shown_in_place(store: Store) -> None:
    winner, loser = two_that_differ()
    put(store, dotted(loser, "far", 1), entry(5, dot=("far", 2)))

    appended = put(store, dotted(winner, "far", 1))

    assert appended == Appended((None,), (), is_revised=True)
    assert [(each.body, each.added, each.position) for each in store.page(0, limit=1).entries] == [(winner.body, 1, 1)]


def test_changes_show_the_winner_though_it_came_last_in_the_batch(store: Store) -> None:
    winner, loser = two_that_differ()

    appended = put(store, dotted(loser, "far", 1), dotted(winner, "near", 1))

    assert appended.changes == store.page(0).entries


def test_copies_that_differ_in_their_meta_alone_are_no_conflict_and_agree(store: Store) -> None:
    event = entry(1)
    small, large = (Entry(event.created, event.time, event.body, extra) for extra in (b'{"a":1}', b'{"b":1}'))
    put(store, dotted(large, "far", 1))

    put(store, dotted(small, "near", 1))
    put(store, dotted(large, "third", 1))

    assert [each.extra for each in store.each()] == [b'{"a":1}']
    assert store.state.conflicts == 0


@pytest.mark.parametrize("smaller_first", [True, False])
def test_of_two_events_under_one_dot_the_smaller_is_shown(store: Store, smaller_first: bool) -> None:
    small, large = entry(1, "small", dot=("far", 1)), entry(2, "large", dot=("far", 1))

    for each in (small, large) if smaller_first else (large, small):
        put(store, each)

    assert types(store.each()) == types(store.page(0).entries) == ["small"]
    assert types(store.aside()) == ["large"]
    assert (store.state.events, store.state.conflicts) == (1, 1)
    assert store.find((2, "kitchen", 0)) is None


def test_the_event_that_takes_a_dot_over_is_a_new_event_with_numbers_of_its_own(store: Store) -> None:
    put(store, entry(2, "large", dot=("far", 1)))

    appended = put(store, entry(1, "small", dot=("far", 1)))

    assert [(each.added, each.position, each.dot) for each in appended.changes] == [(2, 2, ("far", 1))]
    assert appended.results == appended.changes


def test_an_event_that_lost_a_dot_is_still_shown_with_another(store: Store) -> None:
    put(store, entry(2, "large", dot=("far", 1)), entry(2, "large", dot=("near", 1)))

    put(store, entry(1, "small", dot=("far", 1)))

    assert [(each.event["type"], each.added, each.dot) for each in store.each()] == [
        ("small", 2, ("far", 1)),
        ("large", 1, ("near", 1)),
    ]
    assert [(each.dot, each.position) for each in store.page(0).entries] == [(("near", 1), 2), (("far", 1), 3)]
    assert types(store.each(order="added")) == ["large", "small"]
    assert types(store.aside()) == ["large"]


def test_an_event_aside_is_shown_once_it_has_a_dot_of_its_own(store: Store) -> None:
    put(store, entry(1, "small", dot=("far", 1)), entry(2, "large", dot=("far", 1)))

    appended = put(store, entry(2, "large", dot=("near", 1)))

    assert types(appended.changes) == ["large"]
    assert types(store.each()) == ["small", "large"]


def test_an_event_aside_can_be_added_anew_as_our_own(store: Store) -> None:
    put(store, entry(1, "small", dot=("far", 1)), entry(2, "large", dot=("far", 1)))

    with pytest.raises(ValueError, match="differs"):
        put(store, entry(2, "something else"))
    appended = put(store, entry(2, "large"))

    assert [each.dot for each in appended.changes] == [("own", 1)]
    assert types(store.each()) == ["small", "large"]


def test_a_better_copy_wins_a_lost_dot_back(store: Store) -> None:
    put(store, entry(2, "late", dot=("far", 1)), entry(3, "x", time=1, dot=("far", 1)))
    assert types(store.each()) == ["x"]

    put(store, Entry((2, "kitchen", 0), 0, encode_event({"type": "early"}), b"", ("near", 1)))

    assert types(store.each()) == ["early"]
    assert {each.event["type"] for each in store.aside()} == {"late", "x"}
    assert sorted(str(each.dot) for each in store.page(0).entries) == ["('far', 1)", "('near', 1)"]


# Walking


def test_pages_through_all_changes(store: Store) -> None:
    put(store, *(entry(ms) for ms in range(1, 8)))

    first = store.page(0, limit=4)
    second = store.page(first.until, limit=4)

    assert [each.position for each in first.entries] == [1, 2, 3, 4]
    assert [each.position for each in second.entries] == [5, 6, 7]
    assert store.page(second.until) == store.page(7)
    assert store.page(7).entries == ()
    assert store.page(7).until == 7


def test_a_page_leaves_out_what_the_other_side_has(store: Store) -> None:
    put(store, *(entry(ms) for ms in range(1, 8)), entry(9, dot=("far", 1)))

    page = store.page(0, lacking=VersionVector({"own": [(1, 2), (4, 6)]}))

    assert [each.position for each in page.entries] == [3, 7, 8]
    assert page.until == 8


def test_a_page_ends_before_it_has_too_many_bytes_but_has_one_entry(store: Store) -> None:
    put(store, *(entry(ms, "x" * 1000) for ms in range(1, 6)))
    size = store.page(0, limit=1).entries[0].size

    assert [each.position for each in store.page(0, max_bytes=2 * size).entries] == [1, 2]
    assert store.page(0, max_bytes=2 * size).until == 2
    assert [each.position for each in store.page(2, max_bytes=1).entries] == [3]


def test_a_page_looks_at_no_more_than_its_limit(store: Store) -> None:
    put(store, *(entry(ms) for ms in range(1, PAGE_SCAN + 3)))

    page = store.page(0, lacking=store.state.vector)

    assert page.entries == ()
    assert page.until == PAGE_SCAN
    assert store.page(page.until, lacking=store.state.vector).until == PAGE_SCAN + 2


@pytest.mark.parametrize(
    ("vector", "position"),
    [
        ({}, 1),
        ({"own": [(1, 3)]}, 4),
        ({"own": [(1, 3), (5, 6)]}, 4),
        ({"own": [(2, 6)], "far": [(1, 9)]}, 1),
        ({"own": [(1, 6)]}, 7),
        ({"own": [(1, 6)], "far": [(2, 2)]}, 8),
        ({"own": [(1, 99)], "far": [(1, 99)], "other": [(1, 5)]}, 9),
    ],
)
def test_finds_the_first_change_that_a_vector_lacks(
    store: Store, vector: dict[str, list[tuple[int, int]]], position: int
) -> None:
    put(store, *(entry(ms) for ms in range(1, 7)), entry(10, dot=("far", 2)), entry(11, dot=("far", 1)))

    assert store.first_lacked(VersionVector(vector)) == position


def test_finds_the_first_lacked_far_down(store: Store) -> None:
    put(store, *(entry(ms) for ms in range(1, 3000)))

    assert store.first_lacked(VersionVector({"own": [(1, 2500), (2502, 9999)]})) == 2501
    assert store.first_lacked(VersionVector({"own": [(1, 2999)]})) == 3000


def test_nothing_is_withheld_though_the_own_vector_claims_less_than_is_held(store: Store) -> None:
    seqs = range(1, 2 * (MAX_RANGES + 5), 2)
    put(store, *(entry(seq, dot=("far", seq)) for seq in seqs))
    assert len(store.state.vector) == MAX_RANGES
    other = store.state.vector

    assert store.first_lacked(other) == MAX_RANGES + 1
    assert len(store.page(MAX_RANGES, lacking=other).entries) == 5
    assert store.first_lacked(other.adds([("far", seq) for seq in range(1, 9)])) == MAX_RANGES + 1


def test_a_dot_that_the_own_vector_no_longer_covers_is_still_known(store: Store) -> None:
    seqs = range(1, 2 * (MAX_RANGES + 5), 2)
    entries = [entry(seq, dot=("far", seq)) for seq in seqs]
    put(store, *entries)
    put(store, *(entry(seq, dot=("far", seq)) for seq in range(2, 40, 2)))  # now there is room for more ranges
    last = store.state.last_position

    store.close()
    store.open()
    appended = put(store, *entries)

    assert appended.changes == ()
    assert store.state.last_position == last
    assert store.first_lacked(VersionVector({"far": [(1, 2 * MAX_RANGES - 1)]})) == MAX_RANGES + 1


def test_own_numbers_never_repeat_though_the_vector_claims_less(store: Store) -> None:
    top = 2 * (MAX_RANGES + 5)
    put(store, *(entry(seq, dot=("own", seq)) for seq in range(1, top, 2)))

    assert put(store, entry(top + 9)).changes[0].dot == ("own", top)


def test_shows_events_by_time_then_created(store: Store) -> None:
    put(store, entry(3), entry(1), entry(2, time=9), entry(2, node="attic"))

    assert [each.created for each in store.each()] == [
        (1, "kitchen", 0),
        (2, "attic", 0),
        (3, "kitchen", 0),
        (2, "kitchen", 0),
    ]
    assert [each.added for each in store.each(order="added")] == [1, 2, 3, 4]


@pytest.mark.parametrize("order", ["created", "added"])
def test_shows_events_page_by_page(store: Store, order: Order) -> None:
    put(store, *(entry((ms * 7) % 11 + 1) for ms in range(11)))
    put(store, *(entry(ms, dot=("far", ms)) for ms in range(1, 11)), entry(99), entry(50))
    whole = store.each(order=order)

    pages, after = [], None
    while page := store.each(order=order, after=after, limit=4):
        pages.append(page)
        after = page[-1]

    assert sum(pages, ()) == whole
    assert [len(page) for page in pages] == [4, 4, 4, 1]
    assert {each.added for each in store.each(order=order, since=6)} == set(range(7, 14))


@pytest.mark.parametrize("order", ["created", "added"])
def test_a_walk_backward_is_the_same_walk_from_its_end(store: Store, order: Order) -> None:
    put(store, *(entry((ms * 7) % 11 + 1) for ms in range(11)))
    put(store, *(entry(ms, dot=("far", ms)) for ms in range(1, 11)), entry(99), entry(50))
    with store.transaction():
        store.clean([(4, "kitchen", 0)])
    whole = store.each(order=order)

    pages: list[Entry] = []
    while page := store.each(order=order, after=pages[-1] if pages else None, limit=4, is_backward=True):
        pages += page

    assert tuple(pages) == whole[::-1]
    later = [each for each in pages if each.added > 6]
    assert store.each(order=order, since=6, is_backward=True) == tuple(later)


@pytest.mark.parametrize("order", ["created", "added"])
@pytest.mark.parametrize("is_backward", [False, True])
def test_a_walk_stays_between_two_places(store: Store, order: Order, is_backward: bool) -> None:
    put(store, *(entry((ms * 7) % 11 + 1) for ms in range(11)))
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
    store: Store, is_backward: bool
) -> None:
    put(store, entry(3), entry(1), entry(2), entry(1, dot=("far", 1)), entry(4, dot=("far", 2)))
    middle = store.each(order="added")[1]
    with store.transaction():
        store.clean([middle.created])
    rest = {False: [3, 4], True: [1]}[is_backward]

    for after in (middle, Entry(middle.created, middle.time, b"", added=2), Entry((9, "gone", 0), 9, b"", added=2)):
        assert [each.added for each in store.each(order="added", after=after, is_backward=is_backward)] == rest


def test_pages_by_added_go_on_after_an_entry_that_was_read_as_a_further_dot(store: Store) -> None:
    put(store, entry(1), entry(2), entry(3))
    further = put(store, entry(1, dot=("far", 1))).changes[0]

    assert [each.added for each in store.each(order="added", after=further)] == [2, 3]


def test_finds_nothing_where_there_is_nothing(store: Store) -> None:
    assert store.find((1, "kitchen", 0)) is None
    assert store.each() == store.aside() == store.page(0).entries == ()
    assert store.page(0).until == 0
    assert store.first_lacked(VersionVector()) == 1


# Renewed epochs


def renew(store: Store, old: str, new: str) -> Appended:
    with store.transaction():
        return store.renew_epoch(old, new)


def test_a_new_epoch_replaces_the_dots_of_the_old_one(store: Store) -> None:
    put(store, entry(1), entry(2, dot=("far", 1)), entry(3))
    put(store, entry(9), epoch="own.1.x")

    appended = renew(store, "own", "own.1.x")

    assert [(each.created[0], each.dot, each.position, each.added) for each in appended.changes] == [
        (1, ("own.1.x", 2), 5, 1),
        (3, ("own.1.x", 3), 6, 3),
    ]
    assert appended.is_revised
    assert [each.position for each in store.page(0).entries] == [2, 4, 5, 6]
    assert store.page(4).entries == appended.changes
    assert store.state.vector == VersionVector({"far": [(1, 1)], "own.1.x": [(1, 3)]})
    assert [each.added for each in store.each()] == [1, 2, 3, 4]


def test_an_epoch_is_renewed_once(store: Store) -> None:
    put(store, entry(1))

    renew(store, "own", "own.1.x")

    assert renew(store, "own", "own.1.x").changes == ()
    for new in ("own", "far.1.x", "new"):
        with pytest.raises(ValueError, match="does not stand in"):
            renew(store, "own", new)
    with pytest.raises(ValueError, match="does not stand in"):
        renew(store, "own.1.x", "own.1.y")


def test_an_epoch_is_renewed_though_nothing_was_written_in_it(store: Store) -> None:
    put(store, entry(1, dot=("far", 1)))
    renew(store, "own", "own.1.x")

    offered = [entry(1, dot=("own", 1)), entry(1, dot=("own", 1)), entry(2, dot=("own", 2))]
    appended = put(store, *offered, epoch="own.1.x")

    assert [(each.created[0], each.dot) for each in appended.changes] == [(1, ("own.1.x", 1)), (2, ("own.1.x", 2))]


def test_a_renewal_that_no_other_node_knows_is_forgotten_with_its_run(store: Store) -> None:
    renew(store, "own", "own.1.x")

    store.close()
    store.open()
    put(store, entry(1, dot=("own", 1)), epoch="next")

    assert store.state.vector == VersionVector({"own": [(1, 1)]})


def test_what_comes_under_a_renewed_epoch_gets_a_dot_of_ours_and_is_not_claimed(store: Store) -> None:
    put(store, entry(1), entry(2, "since"))
    renew(store, "own", "own.1.x")

    lost = [entry(1, dot=("own", 1)), entry(3, "lost", dot=("own", 2)), entry(4, "lost too", dot=("own", 3))]
    appended = put(store, *lost, epoch="own.1.x")
    again = put(store, *lost, epoch="own.1.x")

    assert [each.dot for each in appended.changes] == [("own.1.x", 3), ("own.1.x", 4)]
    assert again.changes == ()
    assert types(store.each()) == ["a", "since", "lost", "lost too"]
    assert store.state.vector == VersionVector({"own.1.x": [(1, 4)]})
    assert store.state.conflicts == 0


def test_a_store_that_learns_of_a_renewal_claims_the_old_dots_no_more(store: Store) -> None:
    put(store, entry(1, dot=("far", 1)), entry(2, dot=("far", 2)), entry(3, dot=("near", 1)), epoch="own")

    appended = put(store, entry(1, dot=("far.1.x", 1)))

    assert appended.is_revised
    assert store.state.vector == VersionVector({"near": [(1, 1)], "far.1.x": [(1, 1)]})
    assert [each.dot for each in store.page(0).entries] == [("far", 2), ("near", 1), ("far.1.x", 1)]
    assert store.first_lacked(store.state.vector) == 2
    found = store.find((1, "kitchen", 0))
    assert found is not None and found.dot == ("far.1.x", 1)


def test_remembers_a_renewal_after_closing_and_opening(store: Store) -> None:
    put(store, entry(1, dot=("far", 1)), entry(2, dot=("far.1.x", 1)))

    store.close()
    store.open()
    appended = put(store, entry(3, "x", dot=("far", 1)))

    assert [each.dot for each in appended.changes] == [("own", 1)]
    assert store.first_lacked(store.state.vector) == 1
    assert store.state.conflicts == 0


def test_a_renewal_shows_what_was_hidden_for_the_sake_of_an_old_dot(store: Store) -> None:
    put(store, entry(1, "small", dot=("far", 1)), entry(2, "large", dot=("far", 1)))
    assert store.state.conflicts == 1

    appended = put(store, entry(5, dot=("far.1.x", 1)))

    assert types(store.each()) == ["small", "large", "a"]
    assert [each.dot for each in appended.changes] == [("far.1.x", 1), ("own", 1)]
    assert store.state.conflicts == len(store.aside()) == 0


def test_a_renewal_forgets_old_dots_that_were_lost_by_what_has_others(store: Store) -> None:
    put(store, entry(1, "small", dot=("far", 1)), entry(2, "large", dot=("far", 1)), entry(2, "large", dot=("e", 1)))
    assert store.state.conflicts == 1

    put(store, entry(5, dot=("far.1.x", 1)))

    assert types(store.each()) == ["small", "large", "a"]
    assert store.state.conflicts == 0


def test_two_copies_that_differ_stay_a_conflict_through_a_renewal(store: Store) -> None:
    winner, loser = two_that_differ()
    put(store, dotted(winner, "far", 1), dotted(loser, "far", 2))

    put(store, dotted(winner, "far.1.x", 1))
    put(store, dotted(loser, "far", 2))
    put(store, dotted(loser, "far", 2))

    (shown,) = store.each()
    assert shown.same_as(winner)
    assert [each.body for each in store.aside()] == [loser.body]
    assert store.state.conflicts == 1


def test_a_better_copy_under_a_renewed_epoch_is_shown(store: Store) -> None:
    winner, loser = two_that_differ()
    put(store, dotted(loser, "far.1.x", 1))

    put(store, dotted(winner, "far", 1))

    (shown,) = store.each()
    assert shown.same_as(winner)
    assert store.page(0).entries[0].dot == ("far.1.x", 1)
    assert store.state.conflicts == 1


def test_an_event_of_a_renewed_epoch_gets_a_sound_dot_among_repeats_too(store: Store) -> None:
    put(store, entry(1, dot=("far", 1)), entry(2, dot=("old", 2)), entry(3, dot=("old.1.x", 1)))

    appended = put(store, entry(1, dot=("far", 1)), entry(2, dot=("old", 2)), entry(1, dot=("far", 1)))

    assert [(each.created[0], each.dot) for each in appended.changes] == [(2, ("own", 1))]
    assert store.state.vector == VersionVector({"far": [(1, 1)], "old.1.x": [(1, 1)], "own": [(1, 1)]})


def test_an_event_with_a_dot_of_another_epoch_loses_the_old_one_at_once(store: Store) -> None:
    put(store, entry(1, dot=("far", 1)), entry(1, dot=("near", 1)))

    put(store, entry(2, dot=("far.1.x", 1)))

    assert [each.dot for each in store.page(0).entries] == [("near", 1), ("far.1.x", 1)]


@pytest.mark.parametrize(
    ("offered", "is_forked"),
    [
        (entry(1, dot=("own", 1)), False),
        (entry(2, "x", dot=("own", 1)), True),
        (entry(2, "x", dot=("own", 2)), True),
        (entry(1, dot=("own", 2)), True),
        (entry(1, dot=("far", 1)), False),
        (entry(2), False),
        (entry(2, dot=("own.1.x", 1)), True),
    ],
)
def test_says_that_others_hold_what_was_not_written_here(store: Store, offered: Entry, is_forked: bool) -> None:
    put(store, entry(1))

    assert put(store, offered).is_forked == is_forked


def seen(store: Store) -> tuple[object, ...]:
    """Everything that a store shows."""
    entries = store.page(0, limit=ALL, max_bytes=10 * ALL).entries
    return (
        store.state,
        entries,
        store.each(limit=ALL),
        store.each(order="added", limit=ALL),
        store.aside(),
        [store.find(each.created) for each in entries],
    )


def test_a_page_with_one_large_event_looks_on_to_the_next_one(store: Store) -> None:
    put(store, entry(1), entry(2), entry(3))
    with store.transaction():
        store.clean([(2, "kitchen", 0)])

    page = store.page(0, limit=2, max_bytes=1)

    assert ([each.created[0] for each in page.entries], page.until) == ([1], 1)
    with store.transaction():
        store.clean([(3, "kitchen", 0)])
    assert store.page(0, limit=2, max_bytes=1).until == 3
