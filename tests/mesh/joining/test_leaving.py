"""Live nodes: members that are revoked by a command, and members that leave, while all run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mesh import MeshError, Node
from mesh.control import node_mesh
from mesh.control.client import ControlClient
from mesh.control.node_mesh import LEFT
from mesh.control.unix_socket import connect_in
from mesh.settings.home import read_signer
from peers.facts.fact import Leave, Revocation, decode_fact
from peers.stores.store import StoreError
from peers.transport.tls.gate import NOT_TAKEN
from tests.support.commands import run
from tests.support.joining_parts import invited, joined
from tests.support.members import states
from tests.support.mesh_of_homes import RECOVERY_CODE, homes_of_one_mesh
from tests.support.street import SECONDS, at, types, wait_until
from tests.support.trusted_street import TrustedStreet

MANY = 2_000
"""Events that a node does not get within the first moment of a session."""


class Trio:
    """The running admin "kitchen", and "study" and "attic", which it has invited: each is connected with both others."""

    def __init__(self, path: Path) -> None:
        homes_of_one_mesh(path, "kitchen")
        self.street = TrustedStreet(path)
        self.kitchen = self.street.start("kitchen")
        self.study, self.attic = self._join("study"), self._join("attic")
        wait_until(lambda: all(connected(node) == 2 for node in self.nodes), "three sessions")

    @property
    def nodes(self) -> tuple[Node, Node, Node]:
        return self.kitchen, self.study, self.attic

    def _join(self, name: str, **options: str) -> Node:
        joined(self.street.path / name, invited(self.kitchen, **options), self.kitchen)
        return self.street.start(name, peers=[at(node) for node in self.street.nodes])


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Trio]:
    trio = Trio(tmp_path)
    yield trio
    trio.street.close()


def connected(node: Node) -> int:
    return sum(1 for row in node.status().get()["peers"] if row["session"])


def left(node: Node) -> object:
    """The answer to `mesh leave`, but the node runs on."""
    with closing(connect_in(node.home)) as connection:
        connection.sendall(b'{"do": "leave"}\n')
        return json.loads(connection.recv(1_000))


def test_a_node_that_is_revoked_loses_its_sessions_everywhere_and_says_so(trio: Trio) -> None:
    kitchen, study, attic = trio.nodes
    study.log.add({"type": "milk"}).get()
    trio.street.converge(*trio.nodes, events=1)

    done = run(kitchen.home, "revoke", "study", "--yes")

    assert (done.returncode, done.stdout.decode()) == (0, f"{study.node_id} is revoked\n")
    wait_until(lambda: [connected(node) for node in trio.nodes] == [1, 0, 1], "the end of the sessions")
    wait_until(
        lambda: any(
            said.startswith(f"this node is not in its mesh any more (revoked by {kitchen.node_id})")
            or NOT_TAKEN in said
            for said in trio.street.said("study")
        ),
        "the sentence",
    )
    kitchen.log.add({"type": "bread"}).get()
    wait_until(lambda: types(attic) == ["milk", "bread"], "the event")
    assert types(study) == ["milk"]
    assert states(attic.home) == {"kitchen": "member", "study": "revoked", "attic": "member"}


def test_a_node_that_hears_that_it_is_revoked_says_so_again_at_each_start(trio: Trio) -> None:
    kitchen, study, _ = trio.nodes
    run(kitchen.home, "revoke", "study", "--yes")
    with ControlClient(kitchen.home) as client:
        facts = client.texts().facts
    with ControlClient(study.home) as client:
        client.state(facts)  # if the session ended before it was told

    sentence = f"this node is not in its mesh any more (revoked by {kitchen.node_id})"
    wait_until(lambda: any(said.startswith(sentence) for said in trio.street.said("study")), "the sentence")
    study.stop()
    again = trio.street.start("study")

    wait_until(lambda: any(said.startswith(sentence) for said in trio.street.said("study")), "the sentence")
    with pytest.raises(StoreError, match="is not in its mesh any more"):
        again.log.add({"type": "milk"}).get()


def test_the_cut_has_what_connected_nodes_hold(trio: Trio) -> None:
    kitchen, study, attic = trio.nodes
    kitchen.stop()
    study.log.add_batch([({"type": "milk", "number": number}, None) for number in range(MANY)]).get()
    wait_until(lambda: attic.status().get()["events"] == MANY, "the events")
    study.stop()

    again = trio.street.start("kitchen", peers=[at(attic)])
    with ControlClient(again.home) as client:
        wait_until(lambda: connected(again) == 1, "a session")
        tips = client.cut(read_signer(study.home).public)
        done = run(again.home, "revoke", "study", "--yes")
        end = decode_fact(client.texts().facts[-1])

    assert [seq for _, seq, _ in tips] == [MANY]  # all had not come yet when the session began
    assert done.returncode == 0 and isinstance(end, Revocation)
    assert [tuple(tip) for tip in end.cut] == [tuple(tip) for tip in tips]


def test_a_cut_waits_for_what_another_node_has_and_no_longer_than_a_second(trio: Trio) -> None:
    kitchen, study, _ = trio.nodes
    key = read_signer(study.home).public
    asked = threading.Event()

    def lacked() -> set[str]:
        asked.set()
        return {"ab" * 16}  # which no node ever sends

    neighbours = kitchen._log_proxy.neighbours  # a session that never gets on cannot be made otherwise
    neighbours.begin(lacked, bytes(32), lacked)
    with ControlClient(kitchen.home) as client:
        assert client.cut(key) == []
    assert asked.is_set()
    neighbours.end(lacked)


def test_an_admin_is_revoked_from_any_member_by_the_recovery_code(trio: Trio) -> None:
    kitchen, study, attic = trio.nodes
    assert b"only an admin revokes" in run(study.home, "revoke", "attic", "--yes").stderr

    done = run(
        study.home,
        *("revoke", "kitchen", "--yes", "--keep", "all", "--last-admin"),
        given=f"{RECOVERY_CODE}\n".encode(),
    )

    assert done.returncode == 0, done.stderr
    wait_until(lambda: [connected(node) for node in trio.nodes] == [0, 1, 1], "the end of the sessions")
    study.log.add({"type": "milk"}).get()
    wait_until(lambda: types(attic) == ["milk"], "the event")
    assert states(attic.home) == {"kitchen": "revoked", "study": "member", "attic": "member"}
    assert types(kitchen) == []


def test_a_node_that_leaves_hands_over_what_it_wrote_tells_the_others_and_takes_no_more(trio: Trio) -> None:
    kitchen, study, attic = trio.nodes
    asked = threading.Event()
    study.on("stop", lambda _: asked.set())
    writing = study.log.add_batch([({"type": "milk"}, None) for _ in range(100)])

    answer = left(study)

    writing.get()
    assert answer == {"is": "left", "told": 2} and asked.wait(SECONDS)
    with pytest.raises(StoreError, match=f"{LEFT}|it left"):
        study.log.add({"type": "bread"}).get()
    wait_until(lambda: connected(study) == 0, "the end of the sessions")
    wait_until(lambda: any("it has left this mesh" in said for said in trio.street.said("kitchen")), "the reason")
    trio.street.converge(kitchen, attic, events=100)
    for node in (kitchen, attic):
        with ControlClient(node.home) as client:
            end = decode_fact(client.texts().facts[-1])
        assert isinstance(end, Leave) and [tip.seq for tip in end.cut] == [100]


def test_what_a_node_wrote_comes_after_the_fact_that_it_leaves_too(trio: Trio, monkeypatch: pytest.MonkeyPatch) -> None:
    kitchen, study, attic = trio.nodes
    monkeypatch.setattr(
        node_mesh, "CATCH_UP_SECONDS", 0.001
    )  # as on a busy machine: the others have not all of it by then
    study.on("stop", lambda _: None)
    study.log.add_batch([({"type": "milk"}, None) for _ in range(MANY)])

    assert left(study) == {"is": "left", "told": 2}
    trio.street.converge(kitchen, attic, events=MANY)
    wait_until(lambda: [connected(node) for node in trio.nodes] == [1, 0, 1], "the end of the sessions")


def test_a_node_inside_another_program_leaves_only_when_that_has_stopped(trio: Trio) -> None:
    study = trio.study

    said = run(study.home, "leave", "--yes")

    assert said.returncode == 1
    assert b"runs inside another program (process" in said.stderr
    assert b"stop that program, then `mesh leave`" in said.stderr
    assert states(trio.kitchen.home)["study"] == "member"
    study.stop()
    assert run(study.home, "leave", "--yes").returncode == 0
    with pytest.raises(MeshError, match="has left its mesh for good"):
        trio.street.start("study")
