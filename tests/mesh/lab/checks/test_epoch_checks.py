"""The checks of what a disk covers: each broken promise has a sentence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from mesh.lab import Cluster, Room
from mesh.lab.checks.epochs import awaits_adoption, epoch_faults
from peers.stores.runs.memory import MemoryRunStore
from tests.support.lab_house import start_two, two_histories


def written(house: Cluster) -> tuple[Room, MemoryRunStore, str]:
    """A kitchen with three events, its disk, and the epoch that they are in."""
    kitchen, _ = start_two(house)
    for name in ("milk", "bread", "salt"):
        kitchen.log.add({"type": name}).get()
    house.settle("written")
    assert isinstance(kitchen.store, MemoryRunStore)
    (epoch,) = kitchen.store.ends()
    return kitchen, kitchen.store, epoch


def count_hollow(store: MemoryRunStore, epoch: str) -> None:
    store._numbers.hollow += 1


def cover_more(store: MemoryRunStore, epoch: str) -> None:
    row = store._epochs[epoch]
    store._epochs[epoch] = structs.replace(row, seq=row.seq + 1)


def say_another_head(store: MemoryRunStore, epoch: str) -> None:
    row = store._epochs[epoch]
    store._epochs[epoch] = structs.replace(row, head=bytes(32))


def swap_places(store: MemoryRunStore, epoch: str) -> None:
    store._steps[0], store._steps[1] = store._steps[1], store._steps[0]


def say_a_mark(store: MemoryRunStore, epoch: str) -> None:
    store._epochs[epoch] = structs.replace(store._epochs[epoch], mark=bytes(16))


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (count_hollow, "kitchen counts 1 hollow entries and has 0"),
        (cover_more, "kitchen covers 4 entries of {epoch}, and 3 have a place"),
        (say_another_head, "kitchen sends 3 entries of {epoch} under another head than it covers"),
        (swap_places, "kitchen took the entry 2 of {epoch} after the entry 0"),
        (say_a_mark, "kitchen says another proof of the fork of {epoch} than it has"),
    ],
)
def test_what_is_wrong_with_an_epoch_is_said(break_it: Callable[[MemoryRunStore, str], None], sentence: str) -> None:
    with pytest.raises(ZeroDivisionError), Cluster(1) as house:
        kitchen, store, epoch = written(house)
        assert epoch_faults(kitchen, (), 2) == []

        break_it(store, epoch)

        assert sentence.format(epoch=epoch) in epoch_faults(kitchen, (), 2)
        raise ZeroDivisionError  # leave without the judgement of the checker


def test_an_accusation_of_a_key_that_signed_one_history_is_a_fault() -> None:
    with Cluster(2) as house:
        kitchen, study = two_histories(house)

        assert epoch_faults(study, (kitchen.key,), 2) == []
        assert [fault for fault in epoch_faults(study, (), 2) if "accuses the owner of" in fault] != []


def test_a_fork_is_adopted_before_a_cluster_is_settled() -> None:
    with Cluster(3) as house:
        kitchen, study = two_histories(house)

        assert not awaits_adoption(kitchen.store)
        assert not awaits_adoption(study.store)
