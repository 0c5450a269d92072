"""`mesh wait` and `mesh peer` between machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from mesh_process import MeshNode, wait_until

from mesh.lab.live.namespaces import NetLab

pytestmark = pytest.mark.netlab


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[list[MeshNode]]:
    nodes: list[MeshNode] = []
    yield nodes
    for node in nodes:
        node.kill()


def test_a_machine_that_joins_waits_for_all_events_and_one_without_mdns_is_added_by_its_address(
    netlab: NetLab, tmp_path: Path, homes: list[MeshNode]
) -> None:
    hosts = netlab.hosts(3)
    kitchen, study, attic = homes[:] = [MeshNode(tmp_path / f"home{host.number}", host) for host in hosts]
    kitchen.up("--name", "kitchen")
    kitchen.ask("add", "-", stdin="".join(json.dumps({"type": "reading", "n": n}) + "\n" for n in range(2_000)))

    study.up("--name", "study")
    study.ask("wait", "--timeout", "20")
    assert len(study.events()) == 2_000

    port = attic.up("--name", "attic", "--no-mdns")["port"]
    study.ask("peer", "add", f"{hosts[2].ip}:{port}")
    study.ask("wait", "--peers", "2", "--timeout", "20")
    assert len(attic.events()) == 2_000

    study.ask("peer", "remove", f"{hosts[2].ip}:{port}")
    wait_until(lambda: [row["session"] for row in attic.peers()] == [None], 10, "the connection of attic ends")
