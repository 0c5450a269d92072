"""A log of an earlier release becomes one of this release, and nothing that an application sees changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from peers.events.created import Created
from peers.events.entry import Entry, encode_event
from peers.events.epoch import NO_KEY
from peers.events.run import ADOPTED_LEGACY, OWN
from peers.stores.run_store import Pen
from peers.stores.runs.sqlite.checks.verifying import verify_log
from peers.stores.runs.sqlite.rebuild import legacy_birth
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.runs.sqlite.upgrade import Upgraded, upgrade_log
from peers.stores.store import Criteria
from tests.support.old_logs import OldLogFile, old_event
from tests.support.run_house import (
    ALL,
    Writer,
    check,
    event,
    exchange,
    fill,
    fresh,
    hollowed,
    leaf,
    outcomes,
    own_epoch,
    piece_of,
    put,
    send,
    shown_by,
    types,
    undo,
)

OWN_NODE = "kitchen"
KITCHEN_EPOCH = legacy_birth("kitchen-1").epoch
HALL_EPOCH = legacy_birth("hall-1").epoch


def pen_of(writer: Writer, node: str = OWN_NODE) -> Pen:
    return Pen(writer.signer, writer.nonce, node)


def upgraded(old: OldLogFile, path: Path, writer: Writer) -> SqliteRunStore:
    """The old log, brought up to date and opened."""
    old.write(path)
    assert upgrade_log(path, pen_of(writer)) is not None
    store = SqliteRunStore(path, synchronous="OFF")
    store.open()
    check(store)
    return store


def without_places(entries: tuple[Entry, ...] | list[Entry]) -> list[Entry]:
    return [structs.replace(entry, dot=None, position=0) for entry in entries]


def own_epochs(store: SqliteRunStore) -> list[str]:
    """Epochs that are signed."""
    return [epoch for epoch in store.ends() if (birth := store.birth(epoch)) and birth.key != NO_KEY]


def kinds_of(store: SqliteRunStore, epoch: str) -> list[int]:
    return list(piece_of(store, epoch).kinds)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def old() -> OldLogFile:
    return OldLogFile()


# Legacy epochs


def test_an_epoch_without_a_hole_keeps_its_entries_without_a_signature(
    path: Path, old: OldLogFile, anna: Writer
) -> None:
    events = [old_event(ms) for ms in range(1, 1_300)]
    old.show_all(events, "kitchen-1")
    old.write(path)

    assert upgrade_log(path, pen_of(anna)) == Upgraded(events=1_299, adopted=0)

    store = SqliteRunStore(path)
    store.open()
    check(store)
    assert {epoch: end.seq for epoch, end in store.ends().items()} == {KITCHEN_EPOCH: 1_299}
    assert store.signature(KITCHEN_EPOCH) == (0, b"")
    birth = store.birth(KITCHEN_EPOCH)
    assert birth is not None and birth.origin is None
    assert [first for first, _ in store.begins(KITCHEN_EPOCH, ALL, 9)] == [1_001, 501, 1]
    assert without_places(store.each(order="added", limit=ALL)) == without_places(old.shown)


def test_what_an_old_log_undoes_is_undone(path: Path, old: OldLogFile, anna: Writer) -> None:
    old.show_all([old_event(1), undo(2, (1, "kitchen", 0)), old_event(3)], "kitchen-1")

    assert upgraded(old, path, anna).undone([(ms, "kitchen", 0) for ms in (1, 2, 3)]) == {(1, "kitchen", 0)}


def test_a_log_that_is_up_to_date_stays_as_it_is(path: Path, old: OldLogFile, anna: Writer) -> None:
    upgraded(old, path, anna).close()
    before = path.read_bytes()

    assert upgrade_log(path, pen_of(anna)) is None
    assert path.read_bytes() == before


def test_a_log_of_layout_1_is_upgraded_too(path: Path, anna: Writer) -> None:
    old = OldLogFile(layout=1)
    old.show(old_event(5, "a"), "kitchen-1", 1)
    old.show(old_event(3, "b", extra=b'{"reasons":["r"],"indexes":["i"]}'), "kitchen-1", 2)
    old.offer(old_event(5), "kitchen-1", 3)

    store = upgraded(old, path, anna)

    assert types(store.each()) == ["b", "a"]
    assert types(store.each(index="i")) == ["b"]
    assert store.ends()[KITCHEN_EPOCH].seq == 3


def test_events_above_a_hole_are_adopted_and_own_ones_are_own(path: Path, old: OldLogFile, anna: Writer) -> None:
    old.show_all([old_event(1), old_event(2)], "kitchen-1")
    old.show_all([old_event(4), old_event(5, node="hall")], "kitchen-1", 4)

    store = upgraded(old, path, anna)

    (own,) = own_epochs(store)
    assert {epoch: end.seq for epoch, end in store.ends().items()} == {KITCHEN_EPOCH: 2, own: 2}
    assert kinds_of(store, own) == [OWN, ADOPTED_LEGACY]
    assert store.signature(own)[0] == 2
    assert [entry.added for entry in store.each(order="added")] == [1, 2, 3, 4]


def test_events_that_came_before_others_of_their_epoch_have_their_place_in_it(
    path: Path, old: OldLogFile, anna: Writer
) -> None:
    old.show(old_event(1), "kitchen-1", 1)
    old.show(old_event(4), "kitchen-1", 4)
    old.show_all([old_event(2), old_event(3)], "kitchen-1", 2)
    old.show(old_event(5), "kitchen-1", 5)

    store = upgraded(old, path, anna)

    assert {epoch: end.seq for epoch, end in store.ends().items()} == {KITCHEN_EPOCH: 5}
    assert [entry.created[0] for entry in store.each(order="added")] == [1, 4, 2, 3, 5]
    assert [entry.created[0] for entry in store.each(order="added", since=2)] == [2, 3, 5]


def test_an_event_with_two_dots_has_an_entry_in_both_epochs(path: Path, old: OldLogFile, anna: Writer) -> None:
    old.show(old_event(1), "kitchen-1", 1)
    old.offer(old_event(1), "hall-1", 1)

    store = upgraded(old, path, anna)

    assert {epoch: end.seq for epoch, end in store.ends().items()} == {KITCHEN_EPOCH: 1, HALL_EPOCH: 1}
    assert store.is_held((KITCHEN_EPOCH, 1)) and store.is_held((HALL_EPOCH, 1))


def test_an_event_whose_further_dot_has_a_place_is_not_adopted(path: Path, old: OldLogFile, anna: Writer) -> None:
    old.show(old_event(1), "kitchen-1", 7)
    old.show(old_event(2), "hall-1", 1)
    old.offer(old_event(1), "hall-1", 2)

    store = upgraded(old, path, anna)

    assert {epoch: end.seq for epoch, end in store.ends().items()} == {HALL_EPOCH: 2}
    assert [(entry.created[0], entry.added) for entry in store.each(order="added")] == [(1, 1), (2, 2)]


def test_no_position_comes_before_an_event_whose_first_dot_was_lost(path: Path, old: OldLogFile, anna: Writer) -> None:
    first, second = old_event(1), old_event(2)
    old.show(first, "kitchen-1", 1)
    old.show(second, "hall-1", 1)
    old.offer(first, "hall-1", 2)
    old.lose_dot(first)

    store = upgraded(old, path, anna)

    newest = store.each(order="added", limit=ALL)[-1]
    assert (newest.created, newest.added) == (second.created, 2)
    assert newest.position >= newest.added  # a reader that has 1 looks behind the position 1


def test_an_epoch_that_another_stands_in_for_does_not_count(path: Path, old: OldLogFile, anna: Writer) -> None:
    old.show_all([old_event(1), old_event(2)], "kitchen-1")
    old.show(old_event(3), "kitchen-1.1.x", 1)
    old.offer(old_event(1), "kitchen-1.1.x", 2)

    store = upgraded(old, path, anna)

    (own,) = own_epochs(store)
    assert {epoch: end.seq for epoch, end in store.ends().items()} == {legacy_birth("kitchen-1.1.x").epoch: 2, own: 1}


def test_new_events_go_into_a_new_epoch_whose_parent_is_the_one_of_the_upgrade(
    path: Path, old: OldLogFile, anna: Writer
) -> None:
    old.show(old_event(1), "kitchen-1", 2)
    store = upgraded(old, path, anna)
    (adopted,) = own_epochs(store)

    put(store, anna, event(9))

    birth = store.birth(own_epoch(store))
    assert birth is not None and birth.parent.epoch == adopted
    check(store)


# What applications see


def test_local_metas_reasons_indexes_and_cursors_stay(path: Path, old: OldLogFile, anna: Writer) -> None:
    old.show(old_event(1, extra=b'{"reasons":["r"],"indexes":["i"]}'), "kitchen-1", 1, local=b'{"reasons":["s"]}')
    old.show(old_event(2, extra=b'{"reasons":["r"]}'), "kitchen-1", 2)
    old.cursors = [("phone", 2, 7), ("tablet", 1, 0)]
    old.clock_ms = 99

    store = upgraded(old, path, anna)

    assert [entry.reasons for entry in store.each()] == [["s"], ["r"]]
    assert types(store.each(index="i")) == ["a"]
    assert dict(store.all_cursors()) == {"phone": (2, 7), "tablet": (1, 0)}
    assert store.cursors("phone") == (2, 7)
    assert store.state.clock_ms == 99
    with store.transaction():
        assert [each.created[0] for each in store.remove_reason("s", Criteria()).cleaned] == [1]
    check(store)


def test_an_older_event_that_comes_after_keep_last_is_cleaned_as_before(
    path: Path, old: OldLogFile, anna: Writer, bert: Writer
) -> None:
    old.show(old_event(5, "new", extra=b'{"keep_last":"cart"}'), "kitchen-1", 1)
    old.last_kept = [("cart", 5, (5, "kitchen", 0))]
    store = upgraded(old, path, anna)

    other, _ = fresh(bert, event(3, "old", extra=b'{"keep_last":"cart"}'))
    send(other, store)

    assert types(store.each()) == ["new"]
    check(store)


def test_a_cleaned_event_does_not_return_and_what_stood_after_it_is_adopted(
    path: Path, old: OldLogFile, anna: Writer, bert: Writer
) -> None:
    events = [old_event(ms) for ms in (1, 2, 3)]
    old.show_all(events, "kitchen-1")
    old.clean(events[1])
    store = upgraded(old, path, anna)
    assert store.state.hollow == 0
    assert [entry.added for entry in store.each(order="added")] == [1, 3]

    other, _ = fresh(bert, *events)
    send(other, store)

    assert [entry.created[0] for entry in store.each()] == [1, 3]
    assert store.find(events[1].created) is None
    assert put(store, anna, events[1]).results == (None,)
    check(store)


def test_no_node_is_asked_for_a_cleaned_event_whose_leaf_is_lost(
    path: Path, old: OldLogFile, anna: Writer, bert: Writer
) -> None:
    events = [old_event(ms) for ms in (1, 2, 3)]
    old.show_all(events, "kitchen-1")
    old.clean(events[0])
    store = upgraded(old, path, anna)

    newcomer, _ = fresh(bert, event(9))
    send(store, newcomer)

    assert newcomer.state.hollow == 0
    assert [entry.created[0] for entry in newcomer.each()] == [2, 3, 9]


def test_a_cleaned_event_that_is_hollow_elsewhere_is_filled_as_cleaned(
    path: Path, old: OldLogFile, anna: Writer, bert: Writer
) -> None:
    old.show(old_event(1), "kitchen-1", 1)
    old.clean(old_event(1))
    store = upgraded(old, path, anna)

    other, epoch = fresh(bert, event(1))
    assert outcomes(store, hollowed(piece_of(other, epoch))) == ["taken"]
    assert store.state.hollow == 1
    fill(other, store)

    assert store.state.hollow == 0 and not store.each()
    check(store)


def test_of_two_copies_both_are_kept_and_the_smaller_leaf_is_shown(path: Path, old: OldLogFile, anna: Writer) -> None:
    one, two = sorted((old_event(2, "one"), old_event(2, "two")), key=leaf)
    old.show(old_event(1), "kitchen-1", 1)
    old.show(two, "kitchen-1", 2, local=b'{"indexes":["mine"]}')
    old.aside = [(one, ("hall-1", 1)), (one, ("hall-1", 2))]

    store = upgraded(old, path, anna)

    assert store.each(order="added")[1].body == one.body
    assert store.each(order="added")[1].added == 2
    assert [copy.body for copy in store.aside()] == [two.body]
    assert types(store.each(index="mine")) == types([one])
    assert store.state.conflicts == 1


def test_an_event_that_was_hidden_since_it_lost_its_dot_is_shown_as_the_newest(
    path: Path, old: OldLogFile, anna: Writer
) -> None:
    old.show_all([old_event(1, "hidden"), old_event(2)], "kitchen-1")
    old.hide(old_event(1, "hidden"))
    old.clock_ms = 7

    store = upgraded(old, path, anna)

    assert [(entry.event["type"], entry.added) for entry in store.each(order="added")] == [("a", 2), ("hidden", 3)]


def test_an_event_of_which_only_its_cleaning_is_known_does_not_return(
    path: Path, old: OldLogFile, anna: Writer, bert: Writer
) -> None:
    old.show(old_event(1), "kitchen-1", 1)
    old.aside = [(old_event(2).buried, ("kitchen-1", 1))]
    store = upgraded(old, path, anna)

    other, _ = fresh(bert, event(2))
    send(other, store)

    assert [entry.created[0] for entry in store.each()] == [1]
    check(store)


# Random logs

EXTRAS = (b"", b"", b'{"reasons":["r"],"indexes":["i"]}', b'{"indexes":["i","j"]}')
EPOCHS = ("kitchen-1", "hall-1", "hall-1.1.y")


@st.composite
def events_of(draw: st.DrawFn, number: int) -> Entry:
    node = draw(st.sampled_from(("kitchen", "hall")))
    time = draw(st.integers(1, 5))
    ms = draw(st.sampled_from((time, time, 3)))
    return Entry((ms, node, number), time, encode_event({"type": f"t{number}"}), draw(st.sampled_from(EXTRAS)))


@st.composite
def dotted_worlds(draw: st.DrawFn) -> list[tuple[Entry, list[tuple[str, int]]]]:
    """Events, each with one dot or more, as several nodes have given them."""
    seqs = dict.fromkeys(EPOCHS, 0)
    world: list[tuple[Entry, list[tuple[str, int]]]] = []
    for number in range(draw(st.integers(1, 14))):
        dots = []
        for epoch in draw(st.lists(st.sampled_from(EPOCHS), min_size=1, max_size=2, unique=True)):
            seqs[epoch] += 1
            dots.append((epoch, seqs[epoch]))
        world.append((draw(events_of(number)), dots))
    return world


@st.composite
def old_logs(draw: st.DrawFn, world: list[tuple[Entry, list[tuple[str, int]]]] | None = None) -> OldLogFile:
    """One node's part of a world, in some order."""
    world = draw(dotted_worlds()) if world is None else world
    offers = [(entry, dot) for entry, dots in world for dot in dots]
    if draw(st.booleans()):
        offers = draw(st.permutations(offers))
    offers = [offer for offer in offers if draw(st.integers(0, 9))]
    old = OldLogFile(clock_ms=draw(st.integers(0, 9)))
    for entry, (epoch, seq) in offers:
        if entry.created in old.events:
            old.offer(entry, epoch, seq)
        else:
            old.show(entry, epoch, seq, local=draw(st.sampled_from((b"", b"", b'{"indexes":["k"]}'))))
    return old


@st.composite
def troubled_logs(draw: st.DrawFn) -> OldLogFile:
    """With cleaned events, copies that differ, lost dots."""
    old = draw(old_logs())
    for rows in list(old.events.values()):
        what = draw(st.sampled_from(("", "", "", "", "clean", "aside", "lose", "hide")))
        if what == "clean":
            old.clean(rows.event)
        elif what == "aside":
            other = structs.replace(rows.event, body=encode_event({"type": "other"}), added=0, local=b"")
            is_cleaned = draw(st.booleans())
            old.aside.append((other.buried if is_cleaned else other, draw(st.sampled_from((("hall-1", 1), ("x", 9))))))
            rows.is_cleaned |= is_cleaned
        elif what == "lose" and len(rows.dots) > 1:
            old.lose_dot(rows.event)
        elif what == "hide" and len(rows.dots) == 1:
            old.hide(structs.replace(rows.event, added=0, local=b""))
    return old


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


@settings(max_examples=60, deadline=None)
@given(old=troubled_logs())
def test_any_old_log_shows_the_same_after_its_upgrade(folder: Path, old: OldLogFile) -> None:
    for stale in folder.iterdir():
        stale.unlink()
    store = upgraded(old, folder / "log.sqlite", Writer(1))
    try:
        shown = {entry.created: entry for entry in store.each(order="added", limit=ALL)}
        assert {created: leaf(entry) for created, entry in shown.items()} == {
            created: leaf(entry) for created, entry in old.best.items()
        }
        for entry in old.shown:
            assert (shown[entry.created].added, shown[entry.created].local) == (entry.added, entry.local)
        assert list(store.each(limit=ALL)) == sorted(shown.values(), key=lambda entry: (entry.time, entry.created))
        for name in "ijk":
            of_index = [entry for entry in store.each(limit=ALL) if ("index", name) in entry.labels]
            assert list(store.each(index=name, limit=ALL)) == of_index
        cleaned = [structs.replace(entry, added=0, local=b"") for entry in old.cleaned]
        newcomer, _ = fresh(Writer(2), *cleaned, event(99))
        send(newcomer, store)
        assert shown_by(store).keys() - {(99, "kitchen", 0)} == shown.keys()
        check(store)
    finally:
        store.close()
    assert list(verify_log(folder / "log.sqlite", is_in_use=False, is_deep=True, on_entries=lambda *_: None)) == []


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_two_upgraded_homes_with_parts_of_the_same_log_end_equal(folder: Path, data: st.DataObject) -> None:
    for stale in folder.iterdir():
        stale.unlink()
    world = data.draw(dotted_worlds())
    logs = [data.draw(old_logs(world)) for _ in range(2)]
    writers = [Writer(1), Writer(2)]
    stores = [
        upgraded(log, folder / f"{n}.sqlite", writer) for n, (log, writer) in enumerate(zip(logs, writers, strict=True))
    ]
    try:
        exchange(*stores, writers)

        expected: set[Created] = {entry.created for log in logs for entry in log.shown}
        assert shown_by(stores[0]) == shown_by(stores[1])
        assert shown_by(stores[0]).keys() == expected
        assert stores[0].ends() == stores[1].ends()
        for store in stores:
            check(store)
            assert store.state.hollow == 0
    finally:
        for store in stores:
            store.close()
