"""Forged mDNS against two real nodes that are connected: goodbyes, redirects, two thousand names, and the node's own name."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from mdns_liar import NAMES_EACH, ROUND_SECONDS, ROUNDS
from test_neighbours import WatchedNode, wait_until

from mesh.bench import MIB
from mesh.lab.live.namespaces import NetLab
from mesh.settings.config import mesh_mark
from peers.limits import Limits
from tests.support.root import ROOT

pytestmark = pytest.mark.netlab

HERE = Path(__file__).parent
MAX_NOTICES = 12
GROWTH_BYTES = 16 * MIB


def resident_bytes(node: WatchedNode) -> int:
    assert node.process is not None
    lines = Path(f"/proc/{node.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def test_lies_by_mdns_end_no_link_and_cost_few_dials_and_little_memory(netlab: NetLab, tmp_path: Path) -> None:
    one, two, liar = netlab.hosts(3)
    kitchen, study = WatchedNode(tmp_path / "kitchen", one), WatchedNode(tmp_path / "study", two)
    try:
        for node, name in ((kitchen, "kitchen"), (study, "study")):
            node.up("--name", name)
        wait_until(lambda: kitchen.texts("synchronized") and study.texts("synchronized"), 10, "they have met")
        kitchen_id, study_id = (node.status()["node_id"] for node in (kitchen, study))
        before, seen = resident_bytes(kitchen), len(kitchen.seen)

        args = [sys.executable, HERE / "mdns_liar.py", liar.ip, mesh_mark("home"), kitchen_id, study_id, two.ip]
        told = liar.run(args, env={"PYTHONPATH": str(ROOT)}, check=True)

        came = Counter(int(seconds) for seconds in json.loads(told.stdout))
        kitchen.ask("add", '{"type": "milk"}')
        study.ask("wait", "--peers", "1")
        status = kitchen.status()
        limits = Limits()
        assert ROUNDS * NAMES_EACH == 2_000
        assert [event["event"] for event in study.events()] == [{"type": "milk"}]
        for node in (kitchen, study):
            assert not {"disconnected", "lost", "cloned", "paused"} & {notice["event"] for notice in node.seen}
            assert len(node.seen) - seen <= MAX_NOTICES
        assert len(status["peers"]) <= limits.members
        assert sum(came.values()) > 0
        # Two nodes hear it; each also looks where the other one was said to be.
        assert sum(came.values()) <= 2 * (limits.dials_per_second * (ROUNDS * ROUND_SECONDS + 2) + ROUNDS)
        assert resident_bytes(kitchen) - before <= GROWTH_BYTES
    finally:
        kitchen.kill()
        study.kill()
