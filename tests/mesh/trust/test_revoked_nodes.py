"""Live nodes of one mesh: those that are revoked, and those that joined while the others ran."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.control.client import ControlClient
from mesh.lab.live.homes import FoundedMesh
from mesh.node import Node
from mesh.settings.home import read_signer
from mesh.terminal.tables import show_status
from peers.facts.fact import Fact, Revocation
from peers.stores.store import StoreError
from peers.transport.tls.gate import NOT_TAKEN
from tests.support.mesh_of_homes import put_facts
from tests.support.street import at, types, wait_until
from tests.support.trusted_street import TrustedStreet, trusted_homes

MESH = FoundedMesh()


def revocation_of(home: Path) -> Fact:
    key = read_signer(home).public
    return Revocation(MESH.mesh.public, MESH.admin.public, 9, b"", key, (), ()).signed(MESH.admin)


def connected(node: Node) -> int:
    return sum(1 for row in node.status().get()["peers"] if row["session"])


def test_a_session_ends_when_a_fact_comes_that_revokes_the_other_node(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    study = street.start("study", peers=[at(kitchen)])
    kitchen.log.add({"type": "milk"}).get()
    street.converge(kitchen, study, events=1)
    trusted_homes(street.path, "attic")
    put_facts(street.path / "attic", MESH.mesh.public, [revocation_of(study.home)])

    street.start("attic", peers=[at(kitchen)])

    wait_until(lambda: any(said.endswith("it is revoked") for said in street.said("kitchen")), "the end of the session")
    wait_until(lambda: connected(kitchen) == 1 and not connected(study), "only the attic is connected")
    kitchen.log.add({"type": "bread"}).get()
    wait_until(lambda: any(NOT_TAKEN in said for said in street.said("study")), "the study hears why")
    assert types(study) == ["milk"]


def test_the_sessions_of_a_revoked_node_end_on_all_nodes_that_are_connected_with_the_admin(
    street: TrustedStreet,
) -> None:
    kitchen = street.start("kitchen")
    attic = street.start("attic", peers=[at(kitchen)])
    study = street.start("study", peers=[at(kitchen), at(attic)])
    wait_until(lambda: [connected(node) for node in (kitchen, attic, study)] == [2, 2, 2], "all are connected")

    with ControlClient(kitchen.home) as client:
        client.state([revocation_of(study.home).data])

    wait_until(lambda: [connected(node) for node in (kitchen, attic, study)] == [1, 1, 0], "the study is alone")


def test_a_node_that_was_revoked_is_refused_at_the_handshake_when_it_returns(street: TrustedStreet) -> None:
    trusted_homes(street.path, "kitchen", "study")
    put_facts(street.path / "kitchen", MESH.mesh.public, [revocation_of(street.path / "study")])
    kitchen = street.start("kitchen")

    study = street.start("study", peers=[at(kitchen)])

    wait_until(lambda: any(NOT_TAKEN in said for said in street.said("study")), "the study hears why")
    (said,) = street.said("kitchen")
    assert said.startswith("refused: 127.0.0.1:") and said.endswith(": it is revoked")
    assert (types(kitchen), types(study)) == ([], [])
    kitchen.add_peer(at(study)).get()
    wait_until(
        lambda: any(f"reach {at(study)} yet: it is revoked" in said for said in street.said("kitchen")), "no dial"
    )


def test_a_node_that_knows_that_it_is_revoked_takes_no_event_and_says_why(street: TrustedStreet) -> None:
    study = street.start("study")
    study.log.add({"type": "milk"}).get()
    study.stop()
    put_facts(study.home, MESH.mesh.public, [revocation_of(study.home)])

    study = street.start("study")

    with pytest.raises(StoreError, match=r"not in its mesh any more \(revoked by .+\): no event is taken here"):
        study.log.add({"type": "bread"}).get()
    assert types(study) == ["milk"]
    status = study.status().get()
    assert "not in its mesh any more (revoked by " in status["out_of_mesh"]
    assert f"out of its mesh\n{status['out_of_mesh']}\n" in show_status({**status})
