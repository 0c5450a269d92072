"""A disk that is full for a while: the node reports it and its sessions go on."""

from __future__ import annotations

from typing import Any

from mesh.lab import Cluster
from peers.stores.run_store import Taken
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.store import StoreError


class FullStore(MemoryRunStore):
    """Takes nothing while it is full."""

    is_full = False

    def append(self, *args: Any, **options: Any) -> Taken:
        self._require_room()
        return super().append(*args, **options)

    def take(self, *args: Any, **options: Any) -> Taken:
        self._require_room()
        return super().take(*args, **options)

    def _require_room(self) -> None:
        if self.is_full:
            raise StoreError("the disk is full: make room")


def test_replication_goes_on_by_itself_once_the_disk_has_space_again() -> None:
    with Cluster(1) as cluster:
        kitchen, study = cluster.start("kitchen", "study")
        cluster.settle("met")
        cluster.stop(study)
        full = FullStore()
        full.open()
        study.store = full
        cluster.start("study")
        cluster.settle("met again")

        full.is_full = True
        kitchen.log.add({"type": "milk"})
        cluster.run(300)
        assert study.types == []
        assert cluster.status(study)["paused"] == cluster.status(kitchen)["paused"] == []
        full.is_full = False
        cluster.settle("there is room", limit_seconds=45)

        assert study.types == ["milk"]
        assert any("the disk is full: make room" in line for line in cluster.trace)


def test_adding_fails_with_a_sentence() -> None:
    with Cluster(2) as cluster:
        (kitchen,) = cluster.start("kitchen")
        cluster.stop(kitchen)
        full = FullStore()
        full.open()
        full.is_full = True
        kitchen.store = full
        cluster.start("kitchen")

        added = kitchen.log.add({"type": "milk"})
        cluster.run(1)

        assert isinstance(added.exception, StoreError)
        assert str(added.exception) == "the disk is full: make room"
        full.is_full = False
