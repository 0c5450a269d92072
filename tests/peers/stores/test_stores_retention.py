"""One contract for the lives of events, kept by every store: the cases of Logux's own check of stores, and ours after them.

A test whose name says what a case of that check says does what that case does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peers.clock import ManualClock
from peers.events.entry import Entry
from peers.events.reasons import MAX_REASONS
from peers.stores.run_store import RunStore
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.store import Order
from tests.support.elsewhere import Elsewhere, take
from tests.support.pair import NOW_MS, PairLog, open_log

ORDERS: tuple[Order, ...] = ("created", "added")


@pytest.fixture(params=["memory", "sqlite"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PairLog]:
    make: dict[str, Callable[[], RunStore]] = {
        "memory": MemoryRunStore,
        "sqlite": lambda: SqliteRunStore(tmp_path / "log.db", synchronous="OFF"),
    }
    log = open_log("home", ManualClock(NOW_MS), store=make[request.param]())
    yield log
    log.close().get()


def put(log: PairLog, type_: str, ms: int, node: str = "n", n: int = 0, **meta: Any) -> dict[str, Any] | None:
    meta = {"created": (ms, node, n), **meta}
    return log.add({"type": type_}, meta).get()


def seen(log: PairLog, *, order: Order = "created", index: str | None = None) -> list[str]:
    return [entry.event["type"] for entry in log.each(order=order, index=index).get()]


def seen_both(log: PairLog, *, index: str | None = None) -> list[list[str]]:
    return [seen(log, order=order, index=index) for order in ORDERS]


def three(log: PairLog) -> list[dict[str, Any]]:
    """Events 1, 2 and 3 with the reason `a`; their metas."""
    metas = [put(log, str(ms), ms, reasons=["a"]) for ms in (1, 2, 3)]
    return [meta for meta in metas if meta is not None]


# The cases of Logux


def test_is_empty_in_the_beginning(log: PairLog) -> None:
    assert log.last_added == 0
    assert seen_both(log) == [[], []]
    assert log.cursors("other").get() == (0, 0)


def test_updates_latest_synced_values(log: PairLog) -> None:
    log.keep_cursors("other", 1, 0).get()
    assert log.cursors("other").get() == (1, 0)

    log.keep_cursors("other", 1, 1).get()
    assert log.cursors("other").get() == (1, 1)


def test_updates_both_synced_values(log: PairLog) -> None:
    log.keep_cursors("other", 2, 1).get()

    assert log.cursors("other").get() == (2, 1)


def test_stores_entries_sorted(log: PairLog) -> None:
    put(log, "1", 1, "a", time=1)
    put(log, "2", 1, "c", time=2)
    put(log, "3", 1, "b", 1, time=2)
    put(log, "4", 3, "b", time=2)

    # Unlike Logux's stores, which sort by the node's name first, this one sorts as every node does: by (time, created).
    assert seen(log, order="created") == ["1", "3", "2", "4"]
    assert seen(log, order="added") == ["1", "2", "3", "4"]


def test_indexed_entries_sorted(log: PairLog) -> None:
    put(log, "1", 1, n=0, indexes=["a"], time=2)
    put(log, "2", 1, n=1, indexes=["a"], time=1)
    put(log, "3", 1, n=2, time=3)

    assert seen_both(log, index="a") == [["2", "1"], ["1", "2"]]


def test_returns_latest_added(log: PairLog) -> None:
    put(log, "A", 1)
    put(log, "A", 1)

    assert log.last_added == 1


def test_changes_meta(log: PairLog) -> None:
    put(log, "A", 1, a=1, indexes=["a"])

    assert log.change_meta((1, "n", 0), {"a": 2, "b": 2}).get() is True

    for order in ORDERS:
        for index in (None, "a"):
            (entry,) = log.each(order=order, index=index).get()
            assert (entry.meta["a"], entry.meta["b"], entry.meta["indexes"], entry.added) == (2, 2, ["a"], 1)


def test_resolves_to_false_on_unknown_id_in_change_meta(log: PairLog) -> None:
    assert log.change_meta((1, "n", 0), {"a": 1}).get() is False


def test_removes_entries(log: PairLog) -> None:
    for type_, ms, node, n, time in (
        ("1", 1, "n1", 0, 1),
        ("1", 1, "n1", 0, 1),
        ("2", 1, "n1", 1, 2),
        ("3", 1, "n1", 2, 2),
        ("4", 1, "n1", 3, 2),
        ("5", 1, "n2", 0, 2),
        ("6", 4, "n1", 0, 4),
    ):
        put(log, type_, ms, node, n, time=time)

    assert log.change_meta((1, "n1", 1), {"reasons": []}).get() is True

    assert seen_both(log) == [["1", "3", "4", "5", "6"]] * 2
    assert [entry.added for entry in log.each().get()] == [1, 3, 4, 5, 6]


def test_removes_entry_with_0_time(log: PairLog) -> None:
    put(log, "1", 1)
    put(log, "2", 2)
    put(log, "3", 3, time=0)

    log.change_meta((3, "n", 0), {"reasons": []}).get()

    assert seen_both(log) == [["1", "2"]] * 2


def test_ignores_removing_unknown_entry(log: PairLog) -> None:
    put(log, "A", 1)

    assert log.change_meta((2, "n", 0), {"reasons": []}).get() is False

    assert seen(log) == ["A"]


def test_removes_entry_with_indexes(log: PairLog) -> None:
    put(log, "1", 1)
    put(log, "2", 2, indexes=["a", "b"])
    put(log, "3", 3, indexes=["b"])

    log.change_meta((2, "n", 0), {"reasons": []}).get()

    assert seen_both(log) == [["1", "3"]] * 2
    assert seen_both(log, index="a") == [[], []]
    assert seen_both(log, index="b") == [["3"]] * 2


def test_removes_reasons_and_events_without_reason(log: PairLog) -> None:
    for ms, reasons in ((1, ["a"]), (2, ["a"]), (3, ["a", "b"]), (4, ["b"])):
        put(log, str(ms), ms, reasons=reasons)

    assert log.remove_reason("a").get() == 2

    assert seen_both(log) == [["3", "4"]] * 2
    assert [entry.meta["reasons"] for entry in log.each().get()] == [["b"], ["b"]]


def test_removes_reason_from_indexes(log: PairLog) -> None:
    put(log, "1", 1, indexes=["a", "b"], reasons=["a"])
    put(log, "2", 2, indexes=["b"], reasons=["b"])

    log.remove_reason("a").get()

    assert seen_both(log, index="a") == [[], []]
    assert seen_both(log, index="b") == [["2"]] * 2


def test_removes_reason_by_time(log: PairLog) -> None:
    one, _, third = three(log)

    log.remove_reason("a", older_than=third, younger_than=one).get()

    assert seen_both(log) == [["1", "3"]] * 2


def test_removes_reason_for_older_event(log: PairLog) -> None:
    _, two, _ = three(log)

    log.remove_reason("a", older_than=two).get()

    assert seen_both(log) == [["2", "3"]] * 2


def test_removes_reason_for_younger_event(log: PairLog) -> None:
    three(log)
    (_, two, _) = log.each().get()

    log.remove_reason("a", younger_than=two).get()

    assert seen_both(log) == [["1", "2"]] * 2


@pytest.mark.parametrize(
    ("criteria", "left"),
    [
        pytest.param({"min_added": 2}, ["1"], id="removes reason with minimum added"),
        pytest.param({"max_added": 2}, ["3"], id="removes reason with maximum added"),
        pytest.param({"min_added": 2, "max_added": 2}, ["1", "3"], id="removes reason with minimum and maximum added"),
        pytest.param({"max_added": 0}, ["1", "2", "3"], id="removes reason with zero at maximum added"),
    ],
)
def test_removes_reason_by_added(log: PairLog, criteria: dict[str, int], left: list[str]) -> None:
    three(log)

    log.remove_reason("a", **criteria).get()

    assert seen_both(log) == [left] * 2


def test_removes_reasons_and_events_by_id(log: PairLog) -> None:
    put(log, "1", 1, reasons=["a"])
    put(log, "2", 2, reasons=["a", "b"])
    put(log, "3", 3, reasons=["a"])

    removed = [
        log.remove_reason(reason, created=(ms, "n", 0)).get() for reason, ms in zip("abca", (1, 2, 3, 4), strict=True)
    ]

    assert removed == [1, 0, 0, 0]
    assert [(entry.event["type"], entry.reasons) for entry in log.each().get()] == [("2", ["a"]), ("3", ["a"])]


def test_removes_many_reasons_in_a_single_call(log: PairLog) -> None:
    for ms, reasons in ((1, ["a", "b"]), (2, ["a", "c"]), (3, ["c"])):
        put(log, str(ms), ms, reasons=reasons)

    assert log.remove_reason(["a", "b"]).get() == 1

    assert [(entry.event["type"], entry.reasons) for entry in log.each().get()] == [("2", ["c"]), ("3", ["c"])]


def indexed(log: PairLog) -> None:
    """1 is in `a` and `b`, 2 in `a`, 3 in none."""
    put(log, "1", 1, indexes=["a", "b"], reasons=["r"])
    put(log, "2", 2, indexes=["a"], reasons=["r"])
    put(log, "3", 3, reasons=["r"])


@pytest.mark.parametrize(
    ("bounds", "left"),
    [
        pytest.param({"index": "b"}, ["2", "3"], id="removes reason by index"),
        pytest.param({"index": "unknown"}, ["1", "2", "3"], id="removes reason by an index that no event has"),
        pytest.param({"index": "a", "max_added": 1}, ["2", "3"], id="combines index with other criteria"),
        pytest.param({"index": "a", "except_index": "b"}, ["1", "3"], id="removes reason except the index"),
    ],
)
def test_removes_reason_where_an_index_is(log: PairLog, bounds: Any, left: list[str]) -> None:
    indexed(log)

    log.remove_reason("r", **bounds).get()

    assert seen_both(log) == [left] * 2


@pytest.mark.parametrize(
    ("reasons", "bounds", "with_it"),
    [
        pytest.param(["s", "t"], {}, ["1", "2", "3"], id="adds reasons to events"),
        pytest.param("s", {"created": (2, "n", 0)}, ["2"], id="adds reasons by ID"),
        pytest.param("s", {"created": (9, "n", 0)}, [], id="adds reasons by an unknown ID"),
        pytest.param("s", {"index": "b"}, ["1"], id="adds reasons by index"),
        pytest.param("s", {"index": "a", "except_index": "b"}, ["2"], id="adds reasons except the index"),
        pytest.param("s", {"created": (3, "n", 0), "index": "a"}, [], id="checks index on event from ID"),
        pytest.param(["r", "s"], {"min_added": 3}, ["3"], id="does not duplicate reasons"),
    ],
)
def test_adds_reasons(log: PairLog, reasons: Any, bounds: Any, with_it: list[str]) -> None:
    indexed(log)

    assert log.add_reason(reasons, **bounds).get() == len(with_it)

    added = [reasons] if isinstance(reasons, str) else reasons
    for entry in log.each().get():
        expected = list(dict.fromkeys(["r", *added])) if entry.event["type"] in with_it else ["r"]
        assert entry.reasons == entry.meta["reasons"] == expected
    assert log.remove_reason("r").get() == 3 - len(with_it)


def test_an_event_with_an_added_reason_keeps_the_reason_log(log: PairLog) -> None:
    put(log, "1", 1)

    log.add_reason("a").get()

    assert log.each().get()[0].reasons == ["log", "a"]
    assert log.clean().get() == 0


def test_cleans_what_lives_for_the_named_reasons_alone(log: PairLog) -> None:
    put(log, "1", 1, reasons=["a"])
    put(log, "2", 2, reasons=["a", "b"])
    put(log, "3", 3)

    assert log.clean(reasons=["a", "c"]).get() == 1

    assert seen_both(log) == [["2", "3"], ["2", "3"]]


def test_an_event_takes_so_many_reasons_only(log: PairLog) -> None:
    put(log, "1", 1, reasons=[str(n) for n in range(MAX_REASONS)])

    with pytest.raises(ValueError, match="at most 32 are taken"):
        log.add_reason("one more").get()


def test_returns_event_by_id(log: PairLog) -> None:
    put(log, "A", 1, time=1)
    put(log, "C", 1, n=2, time=2)

    first, second, third = (log.find(created).get() for created in ((1, "n", 0), [1, "n", 2], (2, "n", 1)))

    assert first is not None and second is not None
    assert (first.event, first.meta["time"], second.event, third) == ({"type": "A"}, 1, {"type": "C"}, None)


def test_ignores_entries_with_same_id(log: PairLog) -> None:
    assert put(log, "A", 1, "a", 1) is not None
    assert put(log, "A", 1, "a", 1) is None

    # Unlike Logux, another event under a known `created` is refused aloud: it would be lost.
    with pytest.raises(ValueError, match="known and differs"):
        put(log, "B", 1, "a", 1)
    assert seen_both(log) == [["A"]] * 2


def test_stores_any_metadata(log: PairLog) -> None:
    put(log, "A", 1, test=1)

    assert [entry.meta["test"] for order in ORDERS for entry in log.each(order=order).get()] == [1, 1]


@pytest.mark.parametrize("index", [None, "a"])
def test_sorts_events_with_same_time(log: PairLog, index: str | None) -> None:
    for type_, ms in (("B", 2), ("C", 3), ("A", 1)):
        put(log, type_, ms, time=1, indexes=["a"])

    assert seen_both(log, index=index) == [["A", "B", "C"], ["B", "C", "A"]]


def test_cleans_whole_store(log: PairLog) -> None:
    for type_, indexes in (("A", []), ("B", ["a"]), ("C", []), ("D", ["a"]), ("E", ["a", "b"])):
        put(log, type_, ord(type_), indexes=indexes)

    assert log.clean().get() == 5

    assert [seen_both(log, index=index) for index in (None, "a", "b")] == [[[], []]] * 3
    # Unlike Logux, no number begins anew: others have seen them.
    assert log.last_added == 5


def test_adds_many_events_by_a_single_call(log: PairLog) -> None:
    batch = [(type_, ms) for type_, ms in (("A", 1), ("B", 2), ("A", 1), ("D", 3))]

    metas = log.add_batch([({"type": type_}, {"created": (ms, "n", 0)}) for type_, ms in batch]).get()

    assert [isinstance(meta, dict) and meta["added"] for meta in metas] == [1, 2, False, 3]
    assert seen_both(log) == [["A", "B", "D"]] * 2


# Ours


def test_an_event_that_names_no_reason_has_the_reason_log(log: PairLog) -> None:
    put(log, "1", 1)
    put(log, "2", 2, reasons=["log", "a"])
    put(log, "3", 3, reasons=["a"])

    assert log.remove_reason("log").get() == 1

    assert [(entry.event["type"], entry.reasons) for entry in log.each().get()] == [("2", ["a"]), ("3", ["a"])]


def test_a_meta_has_reasons_only_if_they_were_given(log: PairLog) -> None:
    plain, given = put(log, "1", 1), put(log, "2", 2, reasons=["a"], keep_last="b")
    assert plain is not None and given is not None

    assert "reasons" not in plain
    assert given["reasons"] == ["a", "b"]


def test_keep_last_leaves_the_newest_event(log: PairLog) -> None:
    for ms in (2, 3, 1, 5, 4):  # not in the order of their times
        put(log, str(ms), ms, keep_last="name")

    assert seen_both(log) == [["5"]] * 2


def test_keep_last_leaves_events_that_have_another_reason(log: PairLog) -> None:
    put(log, "1", 1, keep_last="name", reasons=["audit"])
    put(log, "2", 2, reasons=["name"])
    put(log, "3", 3, keep_last="name")

    assert [(entry.event["type"], entry.reasons) for entry in log.each().get()] == [("1", ["audit"]), ("3", ["name"])]


def test_keep_last_ends_only_events_of_its_own_author(log: PairLog) -> None:
    put(log, "1", 1, "ada:phone", keep_last="name")
    put(log, "2", 2, "bob", keep_last="name")
    put(log, "3", 3, "ada:desk", keep_last="name")
    put(log, "4", 4, "adam", keep_last="name")
    put(log, "0", 0, "ada", keep_last="name")

    assert seen_both(log) == [["2", "3", "4"]] * 2


def test_keep_last_of_a_shared_reason_counts_events_from_every_node(log: PairLog) -> None:
    newer = Entry((2, "n", 0), 2, b'{"type":"2"}', b'{"keep_last":"shared/name","reasons":["shared/name"]}')
    put(log, "1", 1, keep_last="shared/name")

    Elsewhere().bring(log, newer).get()
    put(log, "0", 1, "a", keep_last="shared/name")

    assert log.types == ["2"]


def test_a_cleaned_event_does_not_return(log: PairLog) -> None:
    put(log, "1", 1)
    (entry,) = log.each().get()
    log.clean().get()

    assert put(log, "1", 1) is None
    Elsewhere().bring(log, entry).get()

    assert seen_both(log) == [[], []]
    assert log.find((1, "n", 0)).get() is None
    assert sorted(end.seq for end in log.store.ends().values()) == [1, 1]


def test_a_cleaned_event_is_not_sent(log: PairLog) -> None:
    for ms in (1, 2, 3):
        put(log, str(ms), ms)
    log.remove_reason("log", created=(2, "n", 0)).get()

    ((epoch, end),) = log.store.ends().items()
    piece = log.store.piece(epoch, 1)

    assert piece is not None and piece.last == end.seq == 3
    assert [isinstance(item, Entry) for item in piece.items] == [True, False, True]
    assert [entry.event["type"] for entry in log.page(0).get().entries] == ["1", "3"]


def test_numbers_do_not_change_when_events_are_cleaned(log: PairLog) -> None:
    three(log)
    before, ends = log.state, log.store.ends()

    log.remove_reason("a", max_added=2).get()

    after = log.state
    assert (before.events, after.events) == (3, 1)
    assert (after.last_added, after.last_position, log.store.ends()) == (3, 3, ends)


def test_local_changes_are_shown_and_not_sent(log: PairLog) -> None:
    put(log, "1", 1, a=1)
    log.change_meta((1, "n", 0), {"a": 2}).get()

    (epoch,) = log.store.ends()
    piece = log.store.piece(epoch, 1)
    elsewhere = open_log("elsewhere", ManualClock(NOW_MS))
    assert piece is not None
    take(elsewhere, piece).get()

    assert log.entries[0].meta["a"] == 2
    assert elsewhere.entries[0].meta["a"] == 1


def test_what_is_cleaned_and_changed_is_so_when_the_store_is_opened_again(log: PairLog) -> None:
    three(log)
    log.remove_reason("a", max_added=1).get()
    log.change_meta((3, "n", 0), {"reasons": ["b"]}).get()
    put(log, "4", 4, keep_last="c")
    log.close().get()

    again = open_log("home", ManualClock(NOW_MS), store=log.store)
    again.add({"type": "0"}, {"created": (0, "n", 0), "keep_last": "c"}).get()

    assert seen(again) == ["2", "3", "4"]
    assert again.remove_reason("b").get() == 1
    again.close().get()


def test_removes_a_reason_of_more_events_than_one_step_takes(log: PairLog) -> None:
    log.add_batch([({"type": str(n)}, {"reasons": ["a"] if n % 2 else ["a", "b"]}) for n in range(1_001)]).get()

    assert log.remove_reason("a").get() == 500

    assert log.state.events == 501
    assert {tuple(entry.reasons) for entry in log.each(limit=2_000).get()} == {("b",)}
