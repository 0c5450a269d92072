"""A disk that takes nothing for a while: a state of the machine, not a fault of its sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mesh.lab import Cluster
from peers.events.entry import Entry
from peers.stores.memory import MemoryStore
from peers.stores.store import Appended, StoreError


class FullStore(MemoryStore):
    """Takes nothing while it is full."""

    is_full = False

    def append(self, entries: Sequence[Entry], **options: Any) -> Appended:
        if self.is_full:
            raise StoreError("the disk is full: make room")
        return super().append(entries, **options)


def test_replication_goes_on_by_itself_once_there_is_room_again() -> None:
    with Cluster(1) as house:
        kitchen, study = house.start("kitchen", "study")
        house.settle("met")
        house.stop(study)
        full = FullStore()
        full.open()
        study.store = full
        house.start("study")
        house.settle("met again")

        full.is_full = True
        kitchen.log.add({"type": "milk"})
        house.run(300)
        assert study.types == []
        assert house.status(study)["paused"] == house.status(kitchen)["paused"] == []
        full.is_full = False
        house.settle("there is room", limit_seconds=45)

        assert study.types == ["milk"]
        assert any("the disk is full: make room" in line for line in house.trace)


def test_who_adds_is_told_in_words() -> None:
    with Cluster(2) as house:
        (kitchen,) = house.start("kitchen")
        house.stop(kitchen)
        full = FullStore()
        full.open()
        full.is_full = True
        kitchen.store = full
        house.start("kitchen")

        added = kitchen.log.add({"type": "milk"})
        house.run(1)

        assert isinstance(added.exception, StoreError)
        assert str(added.exception) == "the disk is full: make room"
        full.is_full = False
