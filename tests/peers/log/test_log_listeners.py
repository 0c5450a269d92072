"""What the listeners and readers of a log get."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from peers.clock import ManualClock
from peers.log.run_log import RunLog
from peers.log.run_tail import NotRecentError
from peers.log.shown_tail import page_of
from peers.stores.disk import InlineDisk
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.store import StoreError
from tests.support.elsewhere import Elsewhere, take
from tests.support.pair import NOW_MS, HeldDisk, PairLog, open_log
from tests.support.run_house import event as written
from tests.support.run_house import two_that_differ


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture
def log(clock: ManualClock) -> PairLog:
    return open_log("home", clock)


# Telling


def test_tells_each_new_event_once_in_the_order_of_added(log: PairLog) -> None:
    seen: list[tuple[str, int]] = []
    log.on("event", lambda event, meta: seen.append((event["type"], meta["added"])))

    log.add_batch([({"type": "a"}, None), ({"type": "b"}, None)])
    pieces = Elsewhere(1).write(written(1, "r"))
    take(log, *pieces)
    take(log, *pieces)
    Elsewhere(2).bring(log, written(1, "r"))  # a further dot is no news

    assert seen == [("a", 1), ("b", 2), ("r", 3)]


def test_a_further_dot_beside_a_cleaned_event_that_returns_is_no_news(log: PairLog) -> None:
    Elsewhere(1).bring(log, written(500, "old"), written(600, "late"))
    log.change_meta((600, "kitchen", 0), {"reasons": []})
    seen: list[str] = []
    log.on("event", lambda event, _: seen.append(event["type"]))

    Elsewhere(2).bring(log, written(600, "late"), written(500, "old"))

    assert seen == []


def test_an_event_added_by_a_listener_is_told_after_those_before_it(log: PairLog) -> None:
    seen: list[str] = []

    def answer(event: dict[str, Any], _meta: Any) -> None:
        if event["type"] == "question":
            log.add({"type": "answer"})

    log.on("event", answer)
    log.on("event", lambda event, _meta: seen.append(event["type"]))

    log.add_batch([({"type": "question"}, None), ({"type": "other"}, None)])

    assert seen == ["question", "other", "answer"]


def test_a_listener_that_fails_neither_stops_the_others_nor_the_add(clock: ManualClock) -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    log = open_log("home", clock, store=store, disk=disk)
    seen: list[str] = []

    def fail(*_: Any) -> None:
        raise KeyError("mine")

    log.on("change", fail)
    log.on("event", fail)
    log.on("event", lambda event, _meta: seen.append(event["type"]))
    added = log.add_batch([({"type": "a"}, None), ({"type": "b"}, None)])

    with pytest.raises(KeyError, match="mine"):
        disk.release()

    assert added.is_done and added.exception is None
    assert seen == ["a", "b"]
    log.add({"type": "c"})
    with pytest.raises(KeyError):
        disk.release()
    assert log.types == ["a", "b", "c"]


def test_tells_one_change_for_a_commit_and_none_for_nothing_new(log: PairLog) -> None:
    changes: list[int] = []
    log.on("change", lambda: changes.append(log.state.last_position))

    log.add_batch([({"type": "a"}, None), ({"type": "b"}, None)])
    take(log)
    pieces = Elsewhere().write(written(1))
    take(log, *pieces, *pieces)
    take(log, *pieces)

    assert changes == [2, 3]


def test_what_is_published_is_committed_when_it_is_told(log: PairLog) -> None:
    seen: list[int] = []
    log.on("event", lambda _event, meta: seen.append(log.state.last_added - meta["added"]))

    log.add({"type": "a"})

    assert seen == [0]


# Walking


def test_a_page_of_the_tail_is_that_of_the_store(log: PairLog) -> None:
    log.add_batch([({"type": str(number)}, None) for number in range(20)])
    Elsewhere().bring(log, written(1))

    for after in range(22):
        assert log.page(after, limit=3).get() == page_of(log.store, after, 3)


def test_memory_is_asked_for_what_is_recent_and_says_when_it_has_something_no_more(log: PairLog) -> None:
    log.add_batch([({"type": str(number)}, None) for number in range(20)])
    epoch = log.state.epoch
    assert epoch is not None

    assert log.recall(lambda store: store.changes(0, 500)) == log.store.changes(0, 500)
    recalled = log.recall(lambda store: store.piece(epoch, 1))
    assert recalled is not None and recalled.last == 20
    with pytest.raises(NotRecentError):
        log.recall(lambda store: store.piece(epoch, 2))
    with pytest.raises(NotRecentError):
        log.recall(lambda store: store.find((1, "kitchen", 0)))


@pytest.mark.parametrize("seed", range(40))
def test_memory_says_what_the_store_shows_whatever_the_commits_did(seed: int, clock: ManualClock) -> None:
    random = Random(seed)
    disk = HeldDisk(store := MemoryRunStore())
    log = open_log("home", clock, store=store, disk=disk)
    nodes = [Elsewhere(number) for number in (1, 2, 3)]
    for _ in range(30):
        node, ms = random.choice(nodes), random.randrange(1, 12)
        created = ms, "kitchen", 0
        extra = random.choice([b"", b"", b'{"keep_last":"name"}', b'{"reasons":["r"]}'])
        match random.randrange(7):
            case 0:
                log.add({"type": "own"}, random.choice([None, {"keep_last": "name"}]))
            case 1:
                log.change_meta(created, random.choice([{"k": random.random()}, {"reasons": []}]))
            case 2:
                log.remove_reason("r")
            case 3:
                node.name(log, written(ms, "a", extra=extra))
            case 4:
                node.fill(log)
            case _:
                node.bring(log, *[written(n, random.choice("aaaaaaab"), extra=extra) for n in (ms, ms + 1)])
        if random.random() < 0.5:
            disk.release()
            for after in range(log.last_added + 1):
                assert log.recent(after) in (None, page_of(store, after))


def test_a_page_from_before_this_run_comes_from_the_store(clock: ManualClock) -> None:
    store = MemoryRunStore()
    open_log("home", clock, store=store).add({"type": "a"})

    log = open_log("home", clock, store=store, seed=1)
    log.add({"type": "b"})

    assert [entry.event["type"] for entry in log.page(0).get().entries] == ["a", "b"]


def test_a_conflict_within_one_commit_does_not_stop_the_log(log: PairLog) -> None:
    winner, loser = two_that_differ()
    take(log, *Elsewhere(1).write(loser), *Elsewhere(2).write(winner, written(2, "three")))

    log.add({"type": "own"})

    assert log.page(0).get().until == log.state.last_added
    assert [entry.event["type"] for entry in log.page(0).get().entries] == [winner.event["type"], "three", "own"]


# Epochs


def test_writes_of_one_run_are_numbered_without_gaps(log: PairLog) -> None:
    log.add({"type": "a"})
    log.add({"type": "a"}, {"created": log.entries[0].created})
    log.add({}).exception  # noqa: B018 - it is looked at
    log.add({"type": "b"})

    assert [end.seq for end in log.store.ends().values()] == [2]


def test_opens_over_a_disk(clock: ManualClock) -> None:
    log = RunLog.open(InlineDisk(MemoryRunStore()), "home", clock=clock, random=Random(1)).get()
    meta = log.add({"type": "a"}).get()

    assert meta is not None and meta["created"] == (NOW_MS, "home", 0)


def test_opening_over_a_bad_disk_fails(clock: ManualClock, tmp_path: Path) -> None:
    (tmp_path / "log.sqlite").write_text("no log" * 100)

    opened = RunLog.open(InlineDisk(SqliteRunStore(tmp_path / "log.sqlite")), "home", clock=clock, random=Random(1))

    assert isinstance(opened.exception, StoreError)


def test_close_closes_the_store_and_tells_nothing_more(log: PairLog) -> None:
    seen: list[Any] = []
    log.on("event", seen.append)

    log.close().get()

    assert isinstance(log.add({"type": "a"}).exception, StoreError)
    assert seen == []


def test_each_pages_through_the_events(log: PairLog) -> None:
    log.add_batch([({"type": str(number)}, None) for number in range(5)])

    first = log.each(limit=3).get()
    rest = log.each(after=first[-1], limit=3).get()

    assert [entry.event["type"] for entry in first + rest] == list("01234")


def test_what_lost_is_kept_aside(log: PairLog) -> None:
    Elsewhere(1).bring(log, written(5, "one", time=5))
    Elsewhere(2).bring(log, written(5, "two", time=6))

    assert log.types == ["one"]
    assert [entry.event["type"] for entry in log.aside().get()] == ["two"]
    assert log.state.conflicts == 1
