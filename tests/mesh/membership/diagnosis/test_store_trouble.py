"""A disk that fails is reported, and shown with its time in `status` until it works again."""

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


def test_status_shows_a_full_disk_until_there_is_room() -> None:
    with Cluster(1) as cluster:
        kitchen, study = cluster.start("kitchen", "study")
        cluster.settle("met")
        cluster.disk_full(study)
        cluster.run(1)

        kitchen.log.add({"type": "milk"})
        cluster.run(60)
        trouble = cluster.status(study)["store_error"]
        cluster.disk_full(study, is_full=False)
        cluster.run(PROBE_MS / 1000 + 1)

        assert "the disk is full: 98% or more of that with study is in use" in trouble["error"]
        assert EPOCH_MS + 1_000 <= trouble["since_ms"] <= EPOCH_MS + 3_000
        assert cluster.status(study)["store_error"] is None
        assert sum("study: store: " in line for line in cluster.trace) == 2  # that it fails, and that it works again


def test_a_node_with_a_full_disk_sends_the_reason_to_the_others() -> None:
    with Cluster(1) as cluster:
        kitchen, study = cluster.start("kitchen", "study")
        cluster.settle("met")
        cluster.disk_full(study)

        kitchen.log.add({"type": "milk"})
        cluster.run(3)

        (row,) = cluster.status(kitchen)["peers"]
        assert row["reason"] == "its disk is full"
        assert any("kitchen: disconnected: " in line and line.endswith(": its disk is full") for line in cluster.trace)
        assert cluster.status(kitchen)["store_error"] is None
        cluster.disk_full(study, is_full=False)


def test_a_disk_that_works_again_is_noticed_without_a_write() -> None:
    with Cluster(1) as cluster:
        (kitchen,) = cluster.start("kitchen")
        cluster.settle("alone")
        cluster.disk_full(kitchen)
        refused = kitchen.log.add({"type": "milk"})
        cluster.run(30)
        assert isinstance(refused.exception, StoreError)
        assert cluster.status(kitchen)["store_error"] is not None

        cluster.disk_full(kitchen, is_full=False)
        cluster.run(PROBE_MS / 1000 + 1)

        assert cluster.status(kitchen)["store_error"] is None


def test_a_node_reports_a_moved_log_file_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    notices: list[str] = []
    node = Node("kitchen", home=tmp_path / "home", mdns=False, listen="127.0.0.1:0", open=True)
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
    with Node(home=tmp_path / "home", mdns=False, listen="127.0.0.1:0", open=True) as node:
        assert [event["type"] for event, _ in node.log.each()] == ["milk", "bread"]


def test_an_error_of_the_disk_that_comes_and_goes_is_reported_once_a_minute() -> None:
    health = StoreHealth()

    reported = [health.on_error(StoreError("full"), 1_000, 0.0), health.on_success()]
    reported += [
        health.on_error(StoreError("full"), 2_000, 10.0),
        health.on_error(StoreError("full"), 3_000, 20.0),
        health.on_success(),
    ]
    reported += [health.on_error(StoreError("full"), 70_000, QUIET_MS)]

    assert reported == ["full", "the disk works again", None, None, None, "full"]
    assert health.trouble is not None and health.trouble.since_ms == 70_000


def test_the_tables_show_what_is_wrong_with_the_disk(tmp_path: Path) -> None:
    with Node("kitchen", home=tmp_path, mdns=False, listen="127.0.0.1:0", open=True) as node:
        status = node.status().get(SECONDS)

    assert "the disk fails" not in show_status(status)
    assert "it is full" in show_status({**status, "store_error": {"error": "it is full", "since_ms": 1}})
