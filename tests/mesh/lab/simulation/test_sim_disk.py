"""The simulated disk: group commits that take time, and crashes that lose what was not committed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest

from mesh.lab.simulation.disk import GROUP_LIMIT, SimDisk
from mesh.lab.simulation.virtual_loop import VirtualLoop
from peers.later import Later
from peers.stores.disk import Disk
from peers.stores.run_store import RunState, RunStore
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.store import StoreError
from tests.support.lab_house import append, fail


class CountingStore(MemoryRunStore):
    """Counts its transactions, and refuses to be opened while it is broken."""

    transactions = 0
    is_broken = False

    def open(self) -> RunState:
        if self.is_broken:
            raise StoreError("the file is damaged")
        return super().open()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.transactions += 1
        with super().transaction():
            yield


class Room:
    """A disk with a store that lives on."""

    def __init__(self, seed: int = 1) -> None:
        self.loop = VirtualLoop(seed)
        self.random = Random(seed)
        self.store = CountingStore()
        self.disk = SimDisk(self.loop, self.random, self.store)
        self.results: list[str] = []

    def write(self, name: str) -> Later[str]:
        later = self.disk.run(append(name))
        later.then(lambda done: self.results.append(name))
        return later

    def stored(self) -> list[str]:
        return [entry.event["type"] for entry in self.store.each(order="added")]


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.loop.close()


def test_is_a_disk(room: Room) -> None:
    disk: Disk = room.disk

    assert isinstance(disk.run(append("milk")), Later)


def test_results_come_after_the_commit_and_never_at_once(room: Room) -> None:
    later = room.write("milk")
    assert not later.is_done

    room.loop.run_until(lambda: later.is_done, 1)

    assert later.result() == "milk"
    assert room.stored() == ["milk"]
    assert 0.0002 <= room.loop.time() <= 0.0042


def test_waiting_work_is_committed_together_and_its_results_come_in_order(room: Room) -> None:
    names = [f"event-{number}" for number in range(100)]

    for name in names:
        room.write(name)
    assert room.disk.waiting == 100
    room.loop.run_for(1)

    assert room.store.transactions == 1
    assert room.results == room.stored() == names


def test_a_group_has_a_limit(room: Room) -> None:
    for number in range(GROUP_LIMIT + 1):
        room.write(f"event-{number}")

    room.loop.run_for(1)

    assert room.store.transactions == 2
    assert len(room.results) == GROUP_LIMIT + 1


def test_work_that_comes_during_a_commit_is_in_the_next(room: Room) -> None:
    def write_bread(_: Later[str]) -> None:
        room.write("bread")

    room.write("milk").then(write_bread)

    room.loop.run_for(1)

    assert room.store.transactions == 2
    assert room.results == ["milk", "bread"]


def test_failing_work_does_not_fail_the_others(room: Room) -> None:
    milk, broken, bread = room.write("milk"), room.disk.run(fail), room.write("bread")

    room.loop.run_for(1)

    assert (milk.result(), bread.result()) == ("milk", "bread")
    assert isinstance(broken.exception, ValueError)
    assert room.stored() == ["milk", "bread"]


def test_what_failing_work_wrote_is_taken_back(room: Room) -> None:
    def write_and_fail(store: RunStore) -> str:
        append("half")(store)
        return fail(store)

    room.disk.run(write_and_fail)
    room.write("milk")
    room.loop.run_for(1)

    assert room.stored() == ["milk"]


def test_a_store_that_cannot_be_opened_fails_the_work(room: Room) -> None:
    room.store.is_broken = True
    refused = room.write("milk")
    room.loop.run_for(1)
    room.store.is_broken = False

    accepted = room.write("bread")
    room.loop.run_for(1)

    assert "the file is damaged" in str(refused.exception)
    assert accepted.result() == "bread"


def test_a_crash_loses_what_was_not_committed(room: Room) -> None:
    milk = room.write("milk")
    room.loop.run_until(lambda: milk.is_done, 1)
    bread = room.write("bread")

    room.disk.crash()
    jam = room.write("jam")
    room.loop.run_for(60)

    assert room.stored() == ["milk"]
    assert not bread.is_done
    assert not jam.is_done


def test_a_crash_may_come_between_a_commit_and_its_result(room: Room) -> None:
    milk = room.write("milk")
    room.loop.run_until(lambda: room.store.transactions == 1, 1)

    room.disk.crash()
    room.loop.run_for(60)

    assert room.stored() == ["milk"]
    assert not milk.is_done


def test_a_crash_between_two_results_gives_no_further_result(room: Room) -> None:
    milk, bread = room.write("milk"), room.write("bread")
    milk.then(lambda _: room.disk.crash())

    room.loop.run_for(60)

    assert milk.is_done
    assert not bread.is_done
    assert room.stored() == ["milk", "bread"]


def test_the_next_life_finds_what_was_committed(room: Room) -> None:
    room.write("milk")
    room.loop.run_for(1)
    room.disk.crash()

    room.disk = SimDisk(room.loop, room.random, room.store)
    bread = room.write("bread")
    room.loop.run_for(1)

    assert bread.is_done
    assert room.stored() == ["milk", "bread"]


def test_closes_after_the_work_that_waits(room: Room) -> None:
    milk, closed = room.write("milk"), room.disk.close()
    late = room.write("bread")
    assert not closed.is_done

    room.loop.run_for(1)

    assert milk.is_done
    assert closed.is_done
    assert "closed" in str(late.exception)
    assert room.disk.close().is_done
    with pytest.raises(StoreError):
        room.stored()


def test_closes_when_nothing_waits(room: Room) -> None:
    closed = room.disk.close()

    room.loop.run_for(1)

    assert closed.is_done
    assert room.store.transactions == 0


def test_a_slow_disk_is_slow(room: Room) -> None:
    room.disk.commit_ms = (500, 500)

    milk = room.write("milk")
    room.loop.run_for(0.4)
    assert not milk.is_done
    room.loop.run_for(0.2)

    assert milk.is_done


def test_the_seed_decides_how_long_a_commit_takes() -> None:
    def told_at(seed: int) -> list[float]:
        room, times = Room(seed), list[float]()
        for number in range(20):
            room.loop.call_later(number / 1000, room.write, str(number))
        for _ in range(1_000):
            before = len(room.results)
            room.loop.run_for(0.0001)
            times += [room.loop.time()] * (len(room.results) - before)
        room.loop.close()
        return times

    assert len(told_at(1)) == 20
    assert told_at(1) == told_at(1)
    assert told_at(1) != told_at(2)
