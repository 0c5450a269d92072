"""The thread on which a node's store works: order, group commit, failures and the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mesh.actors.thread_disk import GROUP_PIECES, ThreadDisk
from peers.later import Later
from peers.stores.disk import Disk
from peers.stores.run_store import RunStore
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.store import StoreError
from tests.support.lab_house import append, fail

SECONDS = 10


class Gate:
    """Counts the transactions of a store; while it is shut none of them begins."""

    def __init__(self) -> None:
        self.transactions = 0
        self.is_open = threading.Event()
        self.is_open.set()

    def watch(self, store: Any) -> RunStore:
        transaction = store.transaction

        @contextmanager
        def watched() -> Iterator[None]:
            assert self.is_open.wait(SECONDS)
            self.transactions += 1
            with transaction():
                yield

        store.transaction = watched
        watching: RunStore = store
        return watching


class Room:
    """A loop in debug mode, a store and its disk; closing it proves that the thread is gone."""

    def __init__(self, store: RunStore) -> None:
        self.loop = asyncio.new_event_loop()
        self.failures: list[Any] = []
        self.loop.set_exception_handler(lambda _, context: self.failures.append(context["exception"]))
        self.gate = Gate()
        self.store = self.gate.watch(store)
        self.disk = ThreadDisk(self.loop, self.store)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, SECONDS))

    def result(self, later: Later[Any]) -> Any:
        async def wait() -> Any:
            return await later

        return self.run(wait())

    def types(self) -> list[str]:
        entries = self.result(self.disk.run(lambda store: store.each(order="added")))
        return [entry.event["type"] for entry in entries]

    def finish(self) -> None:
        self.gate.is_open.set()
        self.result(self.disk.close())
        self.loop.close()
        assert disk_threads() == []


@pytest.fixture(params=["sqlite", "memory"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    room = Room(SqliteRunStore(tmp_path / "log.sqlite") if request.param == "sqlite" else MemoryRunStore())
    yield room
    room.finish()
    assert room.failures == []


def disk_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "peermesh-disk"]


def test_is_a_disk(room: Room) -> None:
    disk: Disk = room.disk

    assert room.result(disk.run(append("milk"))) == "milk"


def test_work_is_done_in_order_and_so_are_its_results(room: Room) -> None:
    told: list[str] = []
    names = [f"event-{number}" for number in range(50)]

    laters = [room.disk.run(append(name)) for name in names]
    for later in laters:
        later.then(lambda done: told.append(done.result()))
    room.result(laters[-1])

    assert told == room.types() == names


def test_what_waits_is_committed_together(room: Room) -> None:
    room.gate.is_open.clear()

    laters = [room.disk.run(append(f"event-{number}")) for number in range(100)]
    room.gate.is_open.set()
    room.result(laters[-1])

    assert room.gate.transactions <= 2  # the first may have gone alone
    assert all(later.is_done for later in laters)


def test_a_group_has_a_limit() -> None:
    room = Room(MemoryRunStore())
    room.gate.is_open.clear()

    laters = [room.disk.run(lambda _: None) for _ in range(2 * GROUP_PIECES + 2)]
    room.gate.is_open.set()
    room.result(laters[-1])

    assert room.gate.transactions in {3, 4}
    room.finish()


def test_a_piece_that_fails_does_not_fail_the_others(room: Room) -> None:
    room.gate.is_open.clear()
    pieces = [room.disk.run(work) for work in (append("milk"), fail, append("bread"), fail, append("salt"))]
    room.gate.is_open.set()

    with pytest.raises(ValueError, match="broken work"):
        room.result(pieces[3])
    room.result(pieces[4])

    assert [piece.exception is None for piece in pieces] == [True, False, True, False, True]
    assert room.types() == ["milk", "bread", "salt"]


def test_a_piece_is_all_or_nothing(room: Room) -> None:
    def half(store: RunStore) -> None:
        append("half")(store)
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        room.result(room.disk.run(half))

    assert room.types() == []


def test_work_runs_on_its_own_thread_and_results_arrive_on_the_loop(room: Room) -> None:
    threads: list[str] = []

    later = room.disk.run(lambda _: threading.current_thread().name)
    later.then(lambda done: threads.extend([done.result(), threading.current_thread().name]))
    room.result(later)

    assert threads == ["peermesh-disk", threading.current_thread().name]


def test_closing_does_what_waits_first_and_joins_the_thread(room: Room) -> None:
    room.gate.is_open.clear()
    laters = [room.disk.run(append(f"event-{number}")) for number in range(5)]
    closed = room.disk.close()
    room.gate.is_open.set()

    room.result(closed)

    assert [later.result() for later in laters] == [f"event-{number}" for number in range(5)]
    assert disk_threads() == []
    room.result(room.disk.close())


def test_work_after_the_end_fails_at_once(room: Room) -> None:
    room.result(room.disk.close())

    later = room.disk.run(append("milk"))

    assert isinstance(later.exception, StoreError)


def test_committed_is_on_disk(tmp_path: Path) -> None:
    room = Room(SqliteRunStore(tmp_path / "log.sqlite"))
    room.result(room.disk.run(append("milk")))

    other = SqliteRunStore(tmp_path / "log.sqlite")
    other.open()

    assert [entry.event["type"] for entry in other.each()] == ["milk"]
    other.close()
    room.finish()


def test_a_store_that_cannot_be_opened_fails_every_asker(tmp_path: Path) -> None:
    (tmp_path / "log.sqlite").write_bytes(b"this is no database" * 100)
    room = Room(SqliteRunStore(tmp_path / "log.sqlite"))

    laters = [room.disk.run(append(f"event-{number}")) for number in range(3)]
    for later in laters:
        with pytest.raises(StoreError):
            room.result(later)

    assert (tmp_path / "log.sqlite").read_bytes() == b"this is no database" * 100
    room.finish()


def test_a_reaction_that_fails_does_not_stop_the_results_of_others() -> None:
    room = Room(MemoryRunStore())

    def react(_: Later[str]) -> None:
        raise RuntimeError("a bug in a reaction")

    room.gate.is_open.clear()
    first, second = room.disk.run(append("milk")), room.disk.run(append("bread"))
    first.then(react)
    room.gate.is_open.set()

    assert room.result(second) == "bread"
    assert [str(failure) for failure in room.failures] == ["a bug in a reaction"]
    room.finish()


def test_a_store_that_cannot_be_closed_says_so() -> None:
    class Stuck(MemoryRunStore):
        def close(self) -> None:
            raise StoreError("the disk is gone")

    room = Room(Stuck())

    with pytest.raises(StoreError, match="the disk is gone"):
        room.result(room.disk.close())

    assert disk_threads() == []
    room.loop.close()


def test_many_threads_may_ask_at_once(room: Room) -> None:
    laters: list[Later[str]] = []

    def ask(name: str) -> None:
        laters.extend(room.disk.run(append(f"{name}-{number}")) for number in range(50))

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for later in laters:
        room.result(later)

    assert len(set(room.types())) == 200


def test_what_threads_ask_while_it_is_closed_is_done_or_refused_and_nothing_is_left_open() -> None:
    for _ in range(30):
        room = Room(MemoryRunStore())
        laters: list[Later[str]] = []
        begun = threading.Barrier(3)

        def ask(name: str, disk: ThreadDisk, laters: list[Later[str]], begun: threading.Barrier) -> None:
            begun.wait(SECONDS)
            laters.extend(disk.run(append(f"{name}-{number}")) for number in range(100))

        threads = [threading.Thread(target=ask, args=(name, room.disk, laters, begun)) for name in "ab"]
        for thread in threads:
            thread.start()
        begun.wait(SECONDS)
        room.result(room.disk.close())
        for thread in threads:
            thread.join()

        room.run(asyncio.sleep(0))  # the last results were on their way
        assert len(laters) == 200
        assert all(later.is_done for later in laters)
        assert {type(later.exception) for later in laters} <= {type(None), StoreError}
        room.loop.close()
        assert disk_threads() == []
