"""Joining on a LAN: the machine that joins finds the one that invited it by mDNS."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mesh_process import MeshNode, wait_until

from mesh.lab.live.namespaces import NetLab

pytestmark = pytest.mark.netlab

JOIN_SECONDS = 30.0
"""Four commands and the synchronization: 3 s of an idle machine, more of one that runs other tests too."""


@pytest.fixture
def nodes(netlab: NetLab, tmp_path: Path) -> Iterator[list[MeshNode]]:
    """On three machines of one LAN; none runs yet."""
    nodes = [MeshNode(tmp_path / f"home{host.number}", host, is_open=False) for host in netlab.hosts(3)]
    yield nodes
    for node in nodes:
        node.kill()


def test_two_machines_are_in_one_mesh_after_four_commands_and_synchronize(nodes: list[MeshNode]) -> None:
    kitchen, study, other = nodes
    other.up("--name", "other", "--mesh", "elsewhere")
    began = time.monotonic()

    kitchen.up("--name", "kitchen", "--mesh", "garden")
    code = kitchen.ask("invite").strip()
    said = study.ask("join", "--name", "study", code)
    study.up()
    study.ask("wait", "--timeout", "20")
    seconds = time.monotonic() - began

    assert " is in the mesh garden now; start it: `mesh " in said
    study.ask("add", '{"type": "milk"}')
    wait_until(lambda: [row["event"] for row in kitchen.events()] == [{"type": "milk"}], 10, "the event")
    assert seconds < JOIN_SECONDS
    assert other.status()["other_meshes"] == 1  # who joins announces nothing


def test_a_code_of_a_machine_that_is_off_says_what_to_do(nodes: list[MeshNode]) -> None:
    kitchen, study, other = nodes
    for node, name in ((kitchen, "kitchen"), (other, "other")):
        node.up("--name", name)
    code = kitchen.ask("invite").strip()
    kitchen.ask("stop")

    process = study.spawn("join", code, stderr=-1)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "the node that made this code was not found on this network (others were)" in said
    assert not study.home.exists()


def test_a_node_that_was_started_too_early_still_joins(nodes: list[MeshNode]) -> None:
    kitchen, study, _ = nodes
    for node, name in ((kitchen, "kitchen"), (study, "study")):
        node.up("--name", name, "--mesh", f"of-{name}")
        node.ask("add", json.dumps({"type": name}))
    code = kitchen.ask("invite").strip()

    study.ask("stop")
    study.ask("join", code)
    study.up()
    study.ask("wait", "--timeout", "20")

    assert [row["event"]["type"] for row in kitchen.events()] == ["kitchen", "study"]
    assert study.status()["mesh"] == "of-kitchen"


def test_an_open_node_and_one_of_a_mesh_are_counted_by_each_other_and_never_dialled(nodes: list[MeshNode]) -> None:
    kitchen, porch, _ = nodes
    kitchen.up("--requery", "1")
    porch.up("--requery", "1", "--open=lan")

    for node in (kitchen, porch):
        wait_until(lambda node=node: node.status()["other_meshes"] == 1, 10, "it has heard of the other mesh")
        assert node.peers() == []
