"""Requests that wait for the disk share its next commit."""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

from peers.clock import ManualClock
from peers.log.port import Commit
from peers.log.write_batch import JOINED_EVENTS, WriteBatch, joined
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.store import StoreError
from peers.stores.taken import Limited, Taken
from tests.support.elsewhere import Elsewhere
from tests.support.pair import NOW_MS, HeldDisk, PairLog, open_log
from tests.support.run_house import Writer
from tests.support.run_house import event as written


class SlowLog:
    """A log whose disk works when the test says so, and what it announced."""

    def __init__(self) -> None:
        store = MemoryRunStore()
        self.disk = HeldDisk(store)
        self.log: PairLog = open_log("home", ManualClock(NOW_MS), store=store, disk=self.disk)
        self.commits: list[list[str]] = []
        self.log.on("commit", self._note)

    def _note(self, commit: Commit) -> None:
        self.commits.append([entry.event["type"] for entry in commit.new])


def test_adds_and_received_events_that_wait_are_one_commit_and_each_has_its_own_result() -> None:
    slow = SlowLog()

    first = slow.log.add({"type": "a"})
    taken = Elsewhere().bring(slow.log, written(1, "r"), written(2, "r"))
    batch = slow.log.add_batch([({"type": "b"}, None), ({"type": "c"}, {"k": 1})])
    assert slow.disk.waiting == 1
    slow.disk.release()

    assert slow.commits == [["a", "r", "r", "b", "c"]]
    added = first.get()
    assert added is not None and added["added"] == 1
    assert [entry.added for each in taken.get() for entry in each.shown] == [2, 3]
    assert [meta["added"] for meta in batch.get() if isinstance(meta, dict)] == [4, 5]


def test_what_comes_while_a_commit_is_announced_is_in_the_next_one() -> None:
    slow = SlowLog()
    slow.log.on("event", lambda event, _meta: slow.log.add({"type": "answer"}) if event["type"] == "question" else None)

    slow.log.add({"type": "question"})
    slow.disk.release()
    slow.disk.release()

    assert slow.commits == [["question"], ["answer"]]


def test_a_request_that_may_be_refused_has_a_commit_of_its_own_and_later_ones_do_not_overtake_it() -> None:
    slow = SlowLog()
    known = (NOW_MS - 1, "elsewhere", 0)

    slow.log.add({"type": "a"})
    fixed = slow.log.add({"type": "b"}, {"created": known})
    slow.log.add({"type": "c"})
    refused = slow.log.add({"type": "other"}, {"created": known})
    slow.log.add({"type": "d"})
    slow.disk.release()

    assert slow.commits == [["a"], ["b"], ["c"], ["d"]]
    assert fixed.get() is not None
    assert isinstance(refused.exception, ValueError)


def test_an_add_does_not_join_a_commit_before_a_cleaning_that_was_asked_for_before_it() -> None:
    slow = SlowLog()

    slow.log.add({"type": "a"}, {"reasons": ["cart"]})
    cleaned = slow.log.remove_reason("cart")
    slow.log.add({"type": "b"}, {"reasons": ["cart"]})
    slow.disk.release()

    assert cleaned.get() == 1
    assert slow.log.store.state.events == 1


def test_if_one_request_of_a_shared_commit_is_refused_the_others_are_taken_in_their_order() -> None:
    slow = SlowLog()
    # Its time is too far ahead to be followed, so our own next event gets the same `created`.
    forged = written(NOW_MS, "forged", node="home", time=NOW_MS + 10**9)

    taken = Elsewhere().bring(slow.log, forged)
    refused = slow.log.add({"type": "a"})
    added = slow.log.add({"type": "b"})
    assert slow.disk.waiting == 1
    slow.disk.release()

    assert taken.exception is None
    assert isinstance(refused.exception, ValueError)
    assert added.get() is not None
    assert slow.commits == [["forged", "b"]]
    page = slow.log.recent(0)
    assert page is not None and page.until == 2
    assert [entry.event["type"] for entry in page.entries] == ["forged", "b"]


def test_all_requests_of_a_commit_fail_with_the_disk() -> None:
    slow = SlowLog()
    slow.log.add({"type": "before"})
    slow.disk.release()
    results: list[Any] = [slow.log.add({"type": "a"}), slow.log.add({"type": "b"})]
    slow.log.store.close()

    slow.disk.release()
    slow.disk.release()

    assert [type(result.exception) for result in results] == [StoreError, StoreError]
    assert slow.commits == [["before"]]


def test_a_full_commit_takes_no_further_request() -> None:
    slow = SlowLog()
    slow.log.add_batch([({"type": "b"}, None) for _ in range(JOINED_EVENTS)])
    slow.log.add({"type": "a"})

    assert slow.disk.waiting == 2
    slow.disk.release()

    assert [len(kinds) for kinds in slow.commits] == [JOINED_EVENTS, 1]


def test_a_reaction_that_raises_keeps_no_other_request_from_its_answer() -> None:
    slow = SlowLog()

    def fail(_done: Any) -> None:
        raise RuntimeError("a bug")

    slow.log.add({"type": "a"}).then(fail)
    other = slow.log.add({"type": "b"})
    try:
        slow.disk.release()
    except RuntimeError as error:
        assert str(error) == "a bug"

    assert other.get() is not None


def test_a_request_without_events_is_answered_and_no_other_joins_it_once_the_disk_has_begun() -> None:
    store = MemoryRunStore()
    store.open()
    batch = WriteBatch(Writer(1).pen)
    empty = batch.join([], 0)
    with store.transaction():
        takens, _ = batch.work(store, 1)

    assert batch.join([written(1)], 0) is None
    batch.answer(takens)
    assert empty is not None and list(empty.get()) == []


def test_a_batch_that_was_answered_leaves_memory_at_once_without_the_garbage_collector() -> None:
    store = MemoryRunStore()
    store.open()
    gc.disable()
    try:
        batch = WriteBatch(Writer(1).pen)
        result = batch.join([written(1)], 0)
        with store.transaction():
            takens, _ = batch.work(store, 1)
        batch.answer(takens)
        assert result is not None
        answered, known = ref(result), ref(batch)
        del batch, result

        assert known() is None
        assert answered() is None
    finally:
        gc.enable()


def test_what_several_writes_did_names_all_events_that_wait_for_their_time() -> None:
    store, elsewhere = MemoryRunStore(), Elsewhere()
    store.open()
    store.until_ms = NOW_MS
    with store.transaction():
        takens = [store.take(elsewhere.write(written(NOW_MS + ahead, "later"))) for ahead in (9, 8)]

    assert [entry.time for entry in joined(takens).waiting] == [NOW_MS + 9, NOW_MS + 8]


def test_what_one_of_several_writes_says_of_epochs_is_said_of_all_of_them() -> None:
    limited = {"e": Limited(bytes(32), counts_more=True, waits=True)}
    one = Taken(hollow=(("e", 1),), proven=("e",), limited=limited, anew=("e",), over=("e",))

    for takens in ([one, Taken()], [Taken(), one], [one, Taken(limited={"e": Limited(bytes(32), waits=True)})]):
        assert joined(takens) == one
