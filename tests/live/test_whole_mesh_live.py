"""What one node of five knows of the whole mesh, on hosts of the lab."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mesh_process import MeshNode, wait_until

from mesh.lab.live.namespaces import NetLab

pytestmark = [pytest.mark.netlab, pytest.mark.long]

NAMES = ("kitchen", "study", "attic", "hall", "cellar")
SHOWN_SECONDS = 15


def test_one_node_of_five_shows_all_five_and_a_partition_within_15_s(netlab: NetLab, tmp_path: Path) -> None:
    hosts = netlab.hosts(5)
    kitchen, *others = [MeshNode(tmp_path / name, host) for name, host in zip(NAMES, hosts, strict=True)]

    def rows() -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = json.loads(kitchen.ask("status", "--mesh", "--json"))
        return shown

    def are_all_here() -> bool:
        found = rows()
        return len(found) == 5 and all(row["version"] and not row["island"] for row in found)

    for node in (*others, kitchen):
        node.up("--name", node.home.name)
    began = time.monotonic()
    wait_until(are_all_here, SHOWN_SECONDS, "it shows all five")
    took = [time.monotonic() - began]

    netlab.partition(hosts[:2], hosts[2:])
    began = time.monotonic()
    wait_until(lambda: Counter(row["island"] for row in rows()) == {0: 2, 1: 3}, SHOWN_SECONDS, "it shows two islands")
    took.append(time.monotonic() - began)

    print(f"\nall five after {took[0]:.1f} s, the partition after {took[1]:.1f} s")
