"""The one owner of a node's log, and what others see of it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mesh.actors.log_keeper import LogKeeper
from mesh.actors.log_proxy import GROUP_EVENTS, LogProxy
from mesh.actors.runtime.inspection import waiting_messages
from mesh.actors.runtime.loop_actor import LoopActorRef
from mesh.actors.thread_disk import ThreadDisk
from mesh.membership.diagnosis.disk_room import DiskRoom, DiskUse
from mesh.node_log import NodeLog
from peers.clock import LoopClock
from peers.events.entry import Entry
from peers.events.epoch import END_BYTES, EpochEnd
from peers.events.signature import KeySigner
from peers.limits import LimitHits, Limits
from peers.log.draft import make_draft
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.store import StoreError
from peers.stores.taken import Taken
from tests.support.actor_loop import DEADLINE_SECONDS, ActorLoop, fail, wait_until
from tests.support.neighbour import Author, forked


class SlowStore(SqliteRunStore):
    """Its transactions wait for a gate. It counts the calls of `adopt`."""

    gate = threading.Event()
    adoptions = 0

    def adopt(self, *args: Any, **options: Any) -> Taken:
        SlowStore.adoptions += 1
        return super().adopt(*args, **options)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        assert SlowStore.gate.wait(DEADLINE_SECONDS)
        with super().transaction():
            yield


class NoDelay(Random):
    """All that is put off by a random time is due at once."""

    def uniform(self, a: float, b: float) -> float:
        return 0.0


class Cellar:
    """A log on disk with one keeper after another."""

    def __init__(self, actor_loop: ActorLoop, path: Path) -> None:
        self.actor_loop = actor_loop
        self.path = path
        self.kept = LogProxy()
        self.log = NodeLog(self.kept)
        self.failures: list[str] = []
        self.random = Random(1)
        self.threads_before = threading.active_count()

    def start(self) -> LoopActorRef[LogKeeper]:
        loop = self.actor_loop.loop
        return LogKeeper.start(
            self.actor_loop.runtime,
            "kitchen",
            lambda: ThreadDisk(loop, SlowStore(self.path), answers_on_loop=False),
            self.kept,
            clock=LoopClock(loop),
            random=self.random,
            signer=KeySigner.from_seed(bytes(32)),
            room=DiskRoom(Limits(), DiskUse()),
            hits=LimitHits(LoopClock(loop)),
            max_future_seconds=Limits().max_future_seconds,
            on_failed=self.failures.append,
        )

    def open(self) -> LoopActorRef[LogKeeper]:
        keeper = self.start()
        keeper.ask_to(LogKeeper.open).get(DEADLINE_SECONDS)
        self.kept.kept_by(keeper)
        return keeper

    def types(self) -> list[str]:
        return [entry.event["type"] for entry in self.log.page(order="added").get(DEADLINE_SECONDS)]

    def end(self, keeper: LoopActorRef[LogKeeper]) -> None:
        keeper.ask_to(LogKeeper.close).get(DEADLINE_SECONDS)
        keeper.stop(timeout=DEADLINE_SECONDS)
        assert threading.active_count() == self.threads_before


@pytest.fixture
def cellar(tmp_path: Path) -> Iterator[Cellar]:
    SlowStore.gate.set()
    with ActorLoop() as actor_loop:
        yield Cellar(actor_loop, tmp_path / "log.sqlite")


def test_a_log_proxy_takes_events_from_any_thread(cellar: Cellar) -> None:
    keeper = cellar.open()

    meta = cellar.log.add({"type": "milk"}).get(DEADLINE_SECONDS)

    assert meta is not None
    assert meta["added"] == 1
    assert cellar.types() == ["milk"]
    cellar.end(keeper)


def test_a_log_that_is_not_open_fails_with_a_sentence(cellar: Cellar) -> None:
    with pytest.raises(StoreError, match="the log is not open"):
        cellar.log.add({"type": "milk"}).get(DEADLINE_SECONDS)

    cellar.end(cellar.open())

    with pytest.raises(StoreError, match="the log is not open"):
        cellar.log.add({"type": "milk"}).get(DEADLINE_SECONDS)


def test_a_listener_that_raises_stops_neither_the_log_nor_the_other_listeners(
    cellar: Cellar, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Any] = []

    def listen(_event: Any, _meta: Any) -> None:
        raise RuntimeError("a bug of the application")

    cellar.kept.on("event", listen)
    cellar.kept.on("event", lambda event, _meta: heard.append(event["type"]))
    keeper = cellar.open()

    with caplog.at_level(logging.ERROR):
        assert cellar.log.add({"type": "milk"}).get(DEADLINE_SECONDS)
        assert cellar.log.add({"type": "bread"}).get(DEADLINE_SECONDS)

    assert heard == ["milk", "bread"]
    assert "a listener of 'event' failed" in caplog.text
    assert cellar.failures == []
    cellar.end(keeper)


def test_listeners_stay_for_the_next_keeper(cellar: Cellar) -> None:
    heard: list[Any] = []
    cellar.kept.on("event", lambda event, _meta: heard.append(event["type"]))
    keeper = cellar.open()
    keeper.tell_to(fail)
    wait_until(lambda: cellar.failures != [])

    again = cellar.open()
    cellar.log.add({"type": "milk"}).get(DEADLINE_SECONDS)

    assert heard == ["milk"]
    assert cellar.failures == ["RuntimeError: a bug"]
    cellar.end(again)


def test_the_next_keeper_waits_until_the_disk_of_the_last_is_closed(cellar: Cellar) -> None:
    keeper = cellar.open()
    SlowStore.gate.clear()
    lost = cellar.log.add({"type": "milk"})
    keeper.tell_to(fail)
    wait_until(lambda: cellar.failures != [])

    again = cellar.start()
    opened = again.ask_to(LogKeeper.open)
    SlowStore.gate.set()
    opened.get(DEADLINE_SECONDS)
    cellar.kept.kept_by(again)
    cellar.log.add({"type": "bread"}).get(DEADLINE_SECONDS)

    with pytest.raises(StoreError, match="the log was closed before it answered"):
        lost.get(DEADLINE_SECONDS)
    assert cellar.types() == ["milk", "bread"]
    cellar.end(again)


def test_a_keeper_that_is_stopped_without_being_closed_leaves_no_thread(cellar: Cellar) -> None:
    keeper = cellar.open()

    keeper.stop(timeout=DEADLINE_SECONDS)

    wait_until(lambda: threading.active_count() == cellar.threads_before)
    assert cellar.log.add({"type": "milk"}).exception is not None


def test_a_request_that_fails_fails_its_asker_only(cellar: Cellar) -> None:
    keeper = cellar.open()

    with pytest.raises(ValueError, match="type"):
        cellar.log.add({"no": "type"}).get(DEADLINE_SECONDS)

    assert cellar.log.add({"type": "milk"}).get(DEADLINE_SECONDS)
    cellar.end(keeper)


def test_a_request_may_be_awaited_on_the_loop(cellar: Cellar) -> None:
    keeper = cellar.open()

    async def add() -> Any:
        return await asyncio.wait_for(_awaited(cellar.log), DEADLINE_SECONDS)

    assert cellar.actor_loop.run(add())["added"] == 1
    cellar.end(keeper)


async def _awaited(log: NodeLog) -> Any:
    return await log.add({"type": "milk"})


def test_a_log_proxy_cleans_events(cellar: Cellar) -> None:
    cleaned: list[str] = []
    cellar.kept.on("clean", lambda event, _meta: cleaned.append(event["type"]))
    keeper = cellar.open()
    kept = cellar.log
    meta = kept.add({"type": "milk"}, {"reasons": ["r"], "indexes": ["shop"]}).get(DEADLINE_SECONDS)
    assert meta is not None

    assert kept.change_meta(meta["created"], {"k": 1}).get(DEADLINE_SECONDS)
    found = kept.find(meta["created"]).get(DEADLINE_SECONDS)
    assert found is not None and found.meta["k"] == 1
    assert kept.page(index="shop").get(DEADLINE_SECONDS) == (found,)
    assert kept.remove_reason("r", older_than={"created": (9, "z", 0), "time": 1}).get(DEADLINE_SECONDS) == 0
    assert kept.remove_reason("r", min_added=1).get(DEADLINE_SECONDS) == 1

    assert cleaned == ["milk"]
    cellar.end(keeper)


def test_keepers_stay_for_the_next_keeper_of_the_log_and_run_on_the_loop(cellar: Cellar) -> None:
    threads: list[int] = []
    cellar.kept.keep(lambda event, _meta: threads.append(threading.get_ident()) or event["type"] == "milk")
    cellar.end(cellar.open())
    keeper = cellar.open()
    for type_ in ("milk", "bread"):
        cellar.log.add({"type": type_}).get(DEADLINE_SECONDS)

    assert cellar.log.clean(reasons="log").get(DEADLINE_SECONDS) == 1

    assert cellar.types() == ["milk"]
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    cellar.end(keeper)


def test_a_keeper_that_raises_keeps_the_event_and_the_log_lives_on(cellar: Cellar) -> None:
    def keep(_event: Any, _meta: Any) -> bool:
        raise RuntimeError("a bug of the application")

    undo = cellar.kept.keep(keep)
    keeper = cellar.open()
    cellar.log.add({"type": "milk"}).get(DEADLINE_SECONDS)

    with pytest.raises(RuntimeError, match="a bug of the application"):
        cellar.log.clean(reasons="log").get(DEADLINE_SECONDS)
    undo()

    assert cellar.log.clean(reasons="log").get(DEADLINE_SECONDS) == 1
    assert cellar.failures == []
    cellar.end(keeper)


def test_a_log_proxy_takes_offers_and_saves_cursors(cellar: Cellar) -> None:
    keeper = cellar.open()
    drafts = [make_draft({"type": type_}, {"created": (1, "anna", 0)}) for type_ in ("milk", "bread")]

    stored, refused = cellar.kept.offer(drafts).get(DEADLINE_SECONDS)
    cellar.kept.keep_cursors("anna:1", 1, 2).get(DEADLINE_SECONDS)

    assert isinstance(stored, Entry) and isinstance(refused, ValueError)
    assert cellar.kept.cursors("anna:1").get(DEADLINE_SECONDS) == (1, 2)
    cellar.end(keeper)


# Single adds


def test_single_adds_of_one_turn_are_one_request_and_each_has_its_own_result(cellar: Cellar) -> None:
    keeper = cellar.open()

    async def add() -> tuple[list[Any], int]:
        return [cellar.log.add({"type": f"e{n}"}) for n in range(20)], waiting_messages(keeper)

    results, waiting = cellar.actor_loop.run(add())

    assert waiting == 1
    metas = [result.get(DEADLINE_SECONDS) for result in results]
    assert [meta["added"] for meta in metas] == list(range(1, 21))
    assert cellar.types() == [f"e{n}" for n in range(20)]
    cellar.end(keeper)


def test_single_adds_of_many_threads_are_all_answered(cellar: Cellar) -> None:
    keeper = cellar.open()
    found: list[int] = []

    def write() -> None:
        for result in [cellar.log.add({"type": "milk"}) for _ in range(200)]:
            meta = result.get(DEADLINE_SECONDS)
            assert meta is not None
            found.append(meta["added"])

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)

    assert sorted(found) == list(range(1, 801))
    cellar.end(keeper)


def test_a_batch_and_single_adds_of_one_turn_are_one_request_in_their_order(cellar: Cellar) -> None:
    keeper = cellar.open()

    async def add() -> tuple[list[Any], int]:
        batch: list[Any] = [({"type": "b"}, None), ({"type": "c"}, None)]
        results = [cellar.log.add({"type": "a"}), cellar.log.add_batch(batch), cellar.log.add({"type": "d"})]
        return results, waiting_messages(keeper)

    results, waiting = cellar.actor_loop.run(add())

    assert waiting == 1
    first, batch, last = [result.get(DEADLINE_SECONDS) for result in results]
    assert [meta["added"] for meta in (first, *batch, last)] == [1, 2, 3, 4]
    assert cellar.types() == ["a", "b", "c", "d"]
    cellar.end(keeper)


def test_an_add_does_not_overtake_a_cleaning_that_was_asked_for_before(cellar: Cellar) -> None:
    keeper = cellar.open()

    async def add() -> list[Any]:
        cart: dict[str, Any] = {"reasons": ["cart"]}
        before = cellar.log.add({"type": "a"}, cart)
        return [before, cellar.log.remove_reason("cart"), cellar.log.add({"type": "b"}, cart)]

    for result in cellar.actor_loop.run(add()):
        result.get(DEADLINE_SECONDS)

    assert cellar.types() == ["b"]
    cellar.end(keeper)


def test_an_add_that_is_refused_takes_no_other_one_along(cellar: Cellar) -> None:
    keeper = cellar.open()
    meta = cellar.log.add({"type": "milk"}).get(DEADLINE_SECONDS)
    assert meta is not None

    async def add() -> list[Any]:
        again = cellar.log.add({"type": "other"}, {"created": meta["created"]})
        return [cellar.log.add({"type": "bread"}), again, cellar.log.add({"type": "eggs"})]

    before, refused, after = cellar.actor_loop.run(add())

    with pytest.raises(ValueError, match="is known and differs"):
        refused.get(DEADLINE_SECONDS)
    assert [result.get(DEADLINE_SECONDS)["added"] for result in (before, after)] == [2, 3]
    cellar.end(keeper)


def test_a_reaction_that_raises_keeps_no_other_add_from_its_answer(cellar: Cellar) -> None:
    keeper = cellar.open()

    async def add() -> list[Any]:
        results = [cellar.log.add({"type": f"e{n}"}) for n in range(3)]
        results[0].then(fail)
        return results

    results = cellar.actor_loop.run(add())

    assert [result.get(DEADLINE_SECONDS)["added"] for result in results] == [1, 2, 3]
    cellar.end(keeper)
    assert len(cellar.actor_loop.errors) == 1  # it is reported
    cellar.actor_loop.errors.clear()


def test_single_adds_that_the_keeper_never_took_fail_and_later_ones_work_again(cellar: Cellar) -> None:
    keeper = cellar.open()

    async def add_and_die() -> list[Any]:
        keeper.stop(block=False)  # its mailbox ends before it comes to what follows
        return [cellar.log.add({"type": "milk"}) for _ in range(3)]

    for result in cellar.actor_loop.run(add_and_die()):
        with pytest.raises(StoreError):
            result.get(DEADLINE_SECONDS)

    again = cellar.open()
    assert cellar.log.add({"type": "bread"}).get(DEADLINE_SECONDS) is not None
    assert cellar.types() == ["bread"]
    cellar.end(again)


def test_what_a_session_asked_for_fails_when_the_keeper_ends_before_the_disk_answers(cellar: Cellar) -> None:
    keeper = cellar.open()
    SlowStore.gate.clear()
    heard: list[str] = []

    async def take_and_die() -> Any:
        piece = Author().write("r")
        taken = cellar.kept.write(lambda store: [store.take([piece])])
        taken.then(fail)
        taken.then(lambda done: heard.append(type(done.exception).__name__))
        keeper.stop(block=False)
        return taken

    taken = cellar.actor_loop.run(take_and_die())
    with pytest.raises(StoreError, match="closed before it answered"):
        taken.get(DEADLINE_SECONDS)

    SlowStore.gate.set()
    again = cellar.open()  # after the disk of the first one is closed
    assert heard == ["LogClosedError"]
    assert cellar.types() == ["r"]  # it may be in the log or not
    cellar.end(again)


def test_single_adds_beyond_one_request_go_on_in_the_next(cellar: Cellar) -> None:
    keeper = cellar.open()

    async def add() -> tuple[list[Any], int]:
        return [cellar.log.add({"type": "e"}) for _ in range(GROUP_EVENTS + 1)], waiting_messages(keeper)

    results, waiting = cellar.actor_loop.run(add())

    assert waiting == 2
    assert [result.get(DEADLINE_SECONDS)["added"] for result in results] == list(range(1, GROUP_EVENTS + 2))
    cellar.end(keeper)


# Forks


def test_the_events_of_a_fork_that_is_proven_are_adopted_after_a_moment(cellar: Cellar) -> None:
    author, proof = forked()
    keeper = cellar.open()
    own, forked_head = author.piece(), author.store.head(author.epoch, 1) or b""

    cellar.kept.write(lambda store: [store.take([own]), store.prove(proof)]).get(DEADLINE_SECONDS)

    wait_until(lambda: (cellar.kept.state.epoch or "") in cellar.kept.ends)
    assert cellar.types() == ["common", "one"]
    assert cellar.kept.ends.get(author.epoch) == EpochEnd(1, forked_head[:END_BYTES], proof.mark)
    cellar.end(keeper)


def test_what_a_crash_left_to_be_adopted_is_adopted_at_the_next_opening(cellar: Cellar) -> None:
    author, proof = forked()
    own = author.piece()
    store = SlowStore(cellar.path)
    store.open()
    SlowStore.gate.set()
    with store.transaction():
        store.take([own])
        store.prove(proof)
    store.close()

    keeper = cellar.open()

    wait_until(lambda: (cellar.kept.state.epoch or "") in cellar.kept.ends)
    assert cellar.types() == ["common", "one"]
    cellar.end(keeper)


def test_a_log_in_which_nothing_is_left_to_be_adopted_is_not_searched_for_it_at_its_opening(
    cellar: Cellar,
) -> None:
    cellar.random = NoDelay(1)
    SlowStore.adoptions = 0

    keeper = cellar.open()
    cellar.log.add({"type": "milk"}).get(DEADLINE_SECONDS)
    cellar.log.add({"type": "bread"}).get(DEADLINE_SECONDS)

    assert SlowStore.adoptions == 0
    cellar.end(keeper)
