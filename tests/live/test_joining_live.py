"""Joining on a LAN: the machine that joins finds the one that invited it by mDNS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mesh_process import MeshNode, wait_until

from mesh.lab.live.namespaces import NetLab

pytestmark = pytest.mark.netlab

JOIN_SECONDS = 10.0


@pytest.fixture
def nodes(netlab: NetLab, tmp_path: Path) -> Iterator[list[MeshNode]]:
    """On three machines of one LAN; none runs yet."""
    nodes = [MeshNode(tmp_path / f"home{host.number}", host) for host in netlab.hosts(3)]
    yield nodes
    for node in nodes:
        node.kill()


def test_a_machine_joins_in_a_few_commands_and_synchronizes(nodes: list[MeshNode]) -> None:
    kitchen, study, other = nodes
    other.ask("found", "--name", "other", "--mesh", "elsewhere")
    other.up()
    kitchen.ask("found", "--name", "kitchen", "--mesh", "garden")
    began = time.monotonic()

    kitchen.up()
    code = kitchen.ask("invite").strip()
    said = study.ask("join", "--name", "study", code)
    study.up()
    study.ask("wait", "--timeout", "20")
    seconds = time.monotonic() - began

    assert " is in the mesh garden now: start it with `mesh up`" in said
    study.ask("add", '{"type": "milk"}')
    wait_until(lambda: [row["event"] for row in kitchen.events()] == [{"type": "milk"}], 10, "the event")
    assert seconds < JOIN_SECONDS
    assert other.status()["other_meshes"] == 1  # who joins announces nothing


def test_a_code_of_a_machine_that_is_off_says_what_to_do(nodes: list[MeshNode]) -> None:
    kitchen, study, other = nodes
    for node, name in ((kitchen, "kitchen"), (other, "other")):
        node.ask("found", "--name", name)
        node.up()
    code = kitchen.ask("invite").strip()
    kitchen.ask("stop")

    process = study.spawn("join", code, stderr=-1)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "the node that made this code was not found on this network (others were)" in said
    assert not study.home.exists()
