"""A disk that is full, or nearly: the node reports it, its sessions go on, and so does all else once there is room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh import Limits, Node
from mesh.lab import Cluster, Room
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.store import StoreError
from peers.stores.taken import Taken


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


def reasons(cluster: Cluster, room: Room) -> list[str]:
    """What a room says of the others, in order of their names."""
    return [row["reason"] for row in cluster.status(room)["peers"]]


def test_a_disk_that_is_nearly_full_takes_own_events_and_keeps_those_of_others_waiting() -> None:
    with Cluster(3) as cluster:
        kitchen, study, attic = cluster.start("kitchen", "study", "attic")
        cluster.settle("met")
        attic.disk_share = 0.92
        cluster.run(6)

        for number in range(50):
            kitchen.log.add({"type": f"milk{number}"})
        attic.log.add({"type": "lamp"})
        cluster.run(120)
        status = cluster.status(attic)
        assert attic.types == ["lamp"]
        assert "lamp" in kitchen.types and "lamp" in study.types
        assert "nearly full: 90% or more of that with attic is in use" in status["store_error"]["error"]
        assert {row["limit"] for row in status["limits"]} == {"disk_share_for_others"}
        assert reasons(cluster, kitchen) == [
            "its disk is nearly full, so it takes no events of others until there is room",
            "",
        ]
        assert sum(": disconnected: " in line for line in cluster.trace) == 0
        cluster.stop(study)
        cluster.start("study")
        cluster.run(5)
        assert "nearly full" in reasons(cluster, study)[0]
        attic.disk_share = 0.5
        cluster.settle("there is room", limit_seconds=15)
        assert reasons(cluster, kitchen) == reasons(cluster, study) == ["", ""]

        assert len(attic.types) == 51
        assert (
            sum("attic: store: " in line for line in cluster.trace) == 2
        )  # that it is nearly full, and that it is not
        assert cluster.status(attic)["store_error"] is None


def test_a_disk_that_is_all_but_full_takes_no_own_events_though_they_would_find_their_place() -> None:
    with Cluster(4) as cluster:
        kitchen, study = cluster.start("kitchen", "study")
        cluster.settle("met")
        study.disk_share = 0.985
        cluster.run(6)

        refused = study.log.add({"type": "ink"})
        kitchen.log.add({"type": "milk"})
        cluster.run(60)
        assert isinstance(refused.exception, StoreError)
        assert str(refused.exception) == (
            "the disk is full: 98% or more of that with study is in use, and from there on no events are taken; "
            "free space on it, then it goes on by itself (limit disk_share_for_own)"
        )
        assert study.types == []
        study.disk_share = 0.5
        cluster.run(6)
        study.log.add({"type": "ink"})
        cluster.settle("there is room", limit_seconds=15)

        assert study.types == ["milk", "ink"]


def test_a_node_looks_how_full_the_disk_of_its_home_is(tmp_path: Path) -> None:
    limits = Limits(disk_share_for_own=1e-9)

    with (
        Node("kitchen", home=tmp_path / "home", mdns=False, listen="127.0.0.1:0", open=True, limits=limits) as node,
        pytest.raises(StoreError, match=f"of that with {tmp_path / 'home'} is in use"),
    ):
        node.log.add({"type": "milk"}).get(10)
