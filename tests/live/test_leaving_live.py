"""`mesh up` as processes of one mesh: one leaves, one is revoked while it is off and comes back, an admin is invited."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from mesh_process import MeshNode, wait_until

from tests.support.mesh_of_homes import RECOVERY_CODE, homes_of_one_mesh

LOOPBACK = ("--no-mdns", "--listen", "127.0.0.1:0")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[MeshNode]]:
    """The first is an admin; none runs yet."""
    homes_of_one_mesh(tmp_path, "kitchen")
    nodes = [MeshNode(tmp_path / name) for name in ("kitchen", "study", "attic")]
    yield nodes
    for node in nodes:
        node.kill()


def states(node: MeshNode) -> dict[str, str]:
    return {row["node_id"].partition("~")[0]: row["state"] for row in json.loads(node.ask("members", "--json"))}


def types(node: MeshNode) -> list[str]:
    return [row["event"]["type"] for row in node.events()]


def joined(node: MeshNode, inviter: MeshNode, address: str, *options: str, stdin: str | None = None) -> str:
    """What `mesh join` says; the node runs then, connected with the inviter."""
    code = inviter.ask("invite", *options, stdin=stdin).strip()
    said = node.ask("join", "--name", node.home.name, "--peer", address, code)
    node.up(*LOOPBACK, "--peer", address)
    node.ask("wait", "--timeout", "20")
    return said


def test_a_node_leaves_with_all_that_it_wrote_and_its_process_ends(nodes: list[MeshNode]) -> None:
    kitchen, study, _ = nodes
    address = f"127.0.0.1:{kitchen.up(*LOOPBACK)['port']}"
    joined(study, kitchen, address)
    study.ask("add", '{"type": "milk"}')

    said = study.ask("leave", "--yes")

    assert " has left its mesh; 1 other heard it. " in said
    assert study.process is not None and study.process.wait(10) == 0
    assert states(kitchen) == {"kitchen": "member", "study": "left"}
    assert types(kitchen) == types(study) == ["milk"]
    again = study.spawn("up", *LOOPBACK, stderr=-1)
    _, why = again.communicate(timeout=20)
    assert again.returncode == 1
    assert "has left its mesh for good: start a new node in another --home" in why


def test_a_node_that_was_revoked_while_it_was_off_is_refused_when_it_returns(nodes: list[MeshNode]) -> None:
    kitchen, study, attic = nodes
    address = f"127.0.0.1:{kitchen.up(*LOOPBACK)['port']}"
    for node in (study, attic):
        joined(node, kitchen, address)
    study.ask("stop")
    study.kill()  # of what has ended, the output is closed

    kitchen.ask("revoke", "study", "--yes")

    study.up(*LOOPBACK, "--peer", address)
    study.ask("add", '{"type": "milk"}')
    wait_until(lambda: any("does not take this node" in row["text"] for row in study.notices()), 10, "the sentence")
    kitchen.ask("add", '{"type": "bread"}')
    wait_until(lambda: types(attic) == ["bread"], 10, "the event")
    assert types(kitchen) == ["bread"]
    assert states(attic) == {"kitchen": "member", "study": "revoked", "attic": "member"}


def test_a_machine_that_is_invited_as_an_admin_invites_and_revokes(nodes: list[MeshNode]) -> None:
    kitchen, study, attic = nodes
    address = f"127.0.0.1:{kitchen.up(*LOOPBACK)['port']}"

    said = joined(study, kitchen, address, "--admin", stdin=f"{RECOVERY_CODE}\n")

    assert " is in the mesh home now, as an admin; start it: `mesh " in said
    joined(attic, study, f"127.0.0.1:{study.status()['port']}")
    study.ask("revoke", "attic", "--yes")
    wait_until(lambda: states(kitchen).get("attic") == "revoked", 10, "the fact")
