"""Notices about other nodes on a real network: unreachable ones, copies of a home, other meshes."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mesh_process import MeshNode, wait_until

from mesh.lab.live.namespaces import Host, NetLab
from mesh.settings.config import mesh_mark
from tests.support.root import ROOT

pytestmark = pytest.mark.netlab

HERE = Path(__file__).parent


class WatchedNode(MeshNode):
    """A node whose notices are collected."""

    def __init__(self, home: Path, host: Host) -> None:
        super().__init__(home, host)
        self.seen: list[dict[str, Any]] = []

    def up(self, *options: str) -> dict[str, Any]:
        first = super().up(*options)
        threading.Thread(target=self._listen, args=(self.notices(),), daemon=True).start()
        return first

    def _listen(self, notices: Iterator[dict[str, Any]]) -> None:
        with contextlib.suppress(ValueError):  # it was killed, and its output closed
            for notice in notices:
                self.seen.append(notice)

    def texts(self, kind: str) -> list[str]:
        return [notice["text"] for notice in self.seen if notice["event"] == kind]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    nodes: list[WatchedNode] = []

    def make(host: Host, name: str, *options: str, home: str = "") -> WatchedNode:
        node = WatchedNode(tmp_path / (home or name), host)
        nodes.append(node)
        node.up("--requery", "1", *options, *(("--name", name) if not home else ()))
        return node

    yield make
    for node in nodes:
        node.kill()


def test_an_unreachable_node_is_explained_and_a_removed_address_ends_its_links_at_once(
    netlab: NetLab, start: Any
) -> None:
    hosts = netlab.hosts(2)
    netlab.rules("ip protocol tcp drop")
    kitchen, study = start(hosts[0], "kitchen"), start(hosts[1], "study")

    wait_until(lambda: kitchen.texts("unreachable") and study.texts("unreachable"), 12, "both report why")
    (row,) = kitchen.peers()
    netlab.heal()
    kitchen.ask("retry")
    wait_until(lambda: kitchen.texts("connected") and study.texts("connected"), 12, "the wall is down")
    events = [notice["event"] for notice in kitchen.seen]
    old = hosts[1].ip
    netlab.set_address(hosts[1], "10.77.0.9")
    moved = time.monotonic()
    wait_until(lambda: study.texts("disconnected"), 10, "the link at the old address ends")
    took = time.monotonic() - moved
    print(f"ended after {took:.1f} s")
    wait_until(lambda: len(study.texts("connected")) == 2, 10, "it is connected at the new address")

    (text,) = kitchen.texts("unreachable")
    port = study.status()["port"]
    assert f"at {old}:{port} yet: timed out after 3 s; see whether it is on, and on this network" in text
    assert f"let TCP port {port} in" in text
    assert (row["state"], row["session"], row["reason"]) == ("found", None, f"{old}:{port}: timed out after 3 s")
    assert {"found", "lost", "disconnected"}.isdisjoint(events)
    assert study.texts("disconnected")[0].endswith(f"the address {old} of this machine is gone")
    assert took < 4, f"it took {took:.1f} s"


def test_a_copy_of_a_home_is_reported_only_if_it_answers_and_other_meshes_are_named(
    netlab: NetLab, start: Any, tmp_path: Path
) -> None:
    hosts = netlab.hosts(4)
    kitchen = start(hosts[0], "kitchen")
    study = start(hosts[1], "study")
    kitchen_id = kitchen.status()["node_id"]
    forge = [sys.executable, HERE / "mdns_node.py", kitchen_id, "4000", json.dumps({"mesh": mesh_mark("home")})]
    forger = hosts[2].spawn(forge, env={"PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert forger.stdout is not None
    first_line = wait_until(forger.stdout.readline, 10, "another host announces our id")
    office = start(hosts[3], "office", "--mesh", "office")

    wait_until(lambda: any("of another mesh" in text for text in kitchen.texts("note")), 10, "the other mesh is named")
    wait_until(lambda: any("of another mesh" in text for text in office.texts("note")), 10, "and by the other mesh")
    assert json.loads(first_line) == {"started": kitchen_id}
    assert [node.texts("cloned") for node in (kitchen, study, office)] == [[], [], []]
    assert kitchen.status()["other_meshes"] == 1
    forger.kill()

    shutil.copytree(tmp_path / "kitchen", tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock", "lock"))
    copy = start(hosts[2], "kitchen", home="copy")
    wait_until(lambda: kitchen.texts("cloned") and study.texts("cloned"), 15, "a copy that runs is reported")
    copy.kill()
    wait_until(
        lambda: [row["session"] for row in study.peers() if row["node_id"] == kitchen_id] == ["synchronized"],
        12,
        "the original has its session",
    )

    assert kitchen.texts("cloned")[0].startswith(f"two machines run as {kitchen_id}: stop one of the two; ")
    assert len(study.texts("cloned")) == 1
