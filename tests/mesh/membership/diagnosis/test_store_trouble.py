"""A disk that fails is said, shown with the time since when, and forgotten once it works again."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh import Node
from mesh.lab import Cluster
from mesh.lab.simulation.clock import EPOCH_MS
from mesh.membership.diagnosis.store_trouble import PROBE_MS, QUIET_MS, StoreHealth
from mesh.terminal.tables import show_status
from peers.stores.store import StoreError

SECONDS = 10.0


def test_a_full_disk_is_in_the_status_of_the_node_until_there_is_room() -> None:
    with Cluster(1) as house:
        kitchen, study = house.start("kitchen", "study")
        house.settle("met")
        house.disk_full(study)
        house.run(1)

        kitchen.log.add({"type": "milk"})
        house.run(60)
        trouble = house.status(study)["store_error"]
        house.disk_full(study, is_full=False)
        house.run(PROBE_MS / 1000 + 1)

        assert "disk is full: free space on it" in trouble["error"]
        assert EPOCH_MS + 1_000 <= trouble["since_ms"] <= EPOCH_MS + 3_000
        assert house.status(study)["store_error"] is None
        assert sum("study: store: " in line for line in house.trace) == 2  # that it fails, and that it works again


def test_the_others_are_told_why_by_the_node_with_the_full_disk() -> None:
    with Cluster(1) as house:
        kitchen, study = house.start("kitchen", "study")
        house.settle("met")
        house.disk_full(study)

        kitchen.log.add({"type": "milk"})
        house.run(10)

        (row,) = house.status(kitchen)["peers"]
        assert row["reason"] == "its disk is full"
        assert any("kitchen: disconnected: " in line and line.endswith(": its disk is full") for line in house.trace)
        assert house.status(kitchen)["store_error"] is None
        house.disk_full(study, is_full=False)


def test_a_disk_that_works_again_is_found_out_though_nothing_is_written() -> None:
    with Cluster(1) as house:
        (kitchen,) = house.start("kitchen")
        house.settle("alone")
        house.disk_full(kitchen)
        refused = kitchen.log.add({"type": "milk"})
        house.run(30)
        assert isinstance(refused.exception, StoreError)
        assert house.status(kitchen)["store_error"] is not None

        house.disk_full(kitchen, is_full=False)
        house.run(PROBE_MS / 1000 + 1)

        assert house.status(kitchen)["store_error"] is None


def test_a_node_whose_log_file_was_moved_says_so_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    notices: list[str] = []
    node = Node("kitchen", home=tmp_path / "home", mdns=False, listen="127.0.0.1:0")
    node.on("change", lambda notice: notices.append(notice.sentence))
    with node:
        node.log.add({"type": "milk"}).get(SECONDS)
        log, away = tmp_path / "home" / "log.sqlite", tmp_path / "away"
        log.rename(away)

        with pytest.raises(StoreError, match="moved or deleted"):
            node.log.add({"type": "lost"}).get(SECONDS)
        trouble = node.status().get(SECONDS)["store_error"]
        assert [event["type"] for event, _ in node.log.each()] == ["milk"]
        away.rename(log)
        node.log.add({"type": "bread"}).get(SECONDS)

        assert "put that very file back" in trouble["error"]
        assert node.status().get(SECONDS)["store_error"] is None
        assert notices == [trouble["error"], "the disk works again"]
    with Node(home=tmp_path / "home", mdns=False, listen="127.0.0.1:0") as node:
        assert [event["type"] for event, _ in node.log.each()] == ["milk", "bread"]


def test_a_trouble_that_comes_and_goes_is_told_once_a_minute() -> None:
    health = StoreHealth()

    told = [health.on_error(StoreError("full"), 1_000, 0.0), health.on_success()]
    told += [
        health.on_error(StoreError("full"), 2_000, 10.0),
        health.on_error(StoreError("full"), 3_000, 20.0),
        health.on_success(),
    ]
    told += [health.on_error(StoreError("full"), 70_000, QUIET_MS)]

    assert told == ["full", "the disk works again", None, None, None, "full"]
    assert health.trouble is not None and health.trouble.since_ms == 70_000


def test_the_tables_show_what_is_wrong_with_the_disk(tmp_path: Path) -> None:
    with Node("kitchen", home=tmp_path, mdns=False, listen="127.0.0.1:0") as node:
        status = node.status().get(SECONDS)

    assert "the disk fails" not in show_status(status)
    assert "it is full" in show_status({**status, "store_error": {"error": "it is full", "since_ms": 1}})
