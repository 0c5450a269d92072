"""`mesh members` and `mesh facts`, and what a running node does with the facts of its mesh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mesh import MeshError, Node
from mesh.settings.home import Home
from mesh.trust.certificates import read_certificates
from peers.events.proof import Proof
from peers.facts.fact import Revocation
from peers.stores.runs.sqlite.store import SqliteRunStore
from tests.support.commands import run
from tests.support.members import as_json, states
from tests.support.mesh_of_homes import homes_of_one_mesh, put_facts
from tests.support.run_house import Writer, event, fresh, put
from tests.support.street import SECONDS, at, wait_until

LOOPBACK: dict[str, Any] = {"listen": "127.0.0.1:0", "mdns": False}


# members and facts


@pytest.mark.parametrize("command", ["members", "facts"])
def test_a_home_without_a_mesh_says_how_one_is_founded(tmp_path: Path, command: str) -> None:
    home = tmp_path / "home"
    with Node("kitchen", home=home, open=True, **LOOPBACK):
        running = run(home, command)
    stopped, without = run(home, command), run(tmp_path / "none", command)

    for done in (running, stopped):
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"is in no mesh yet: `mesh found` makes one" in done.stderr
    assert b"there is no home of a node in" in without.stderr


def test_nodes_of_one_mesh_learn_from_each_other_who_is_in_it(tmp_path: Path) -> None:
    kitchen_home, study_home = homes_of_one_mesh(tmp_path, "kitchen", "study")
    with (
        Node(home=kitchen_home, **LOOPBACK) as kitchen,
        Node(home=study_home, peers=[at(kitchen)], **LOOPBACK) as study,
    ):
        study.synchronized(peers=1).get(SECONDS)
        wait_until(lambda: len(run(study_home, "members").stdout.splitlines()) == 3, "the members at the second node")
        rows = as_json(study_home, "members")

        assert [(row["node_id"], row["is_admin"], row["state"]) for row in rows] == [
            (kitchen.node_id, True, "member"),
            (study.node_id, False, "member"),
        ]
        assert [(row["since_ms"], row["invited_by"], row["from"]) for row in rows] == [
            (1_000, "", ""),
            (2_000, kitchen.node_id, "192.168.1.7"),
        ]
        assert all(row["last_seen_ms"] > 1_700_000_000_000 for row in rows)
    assert states(study_home) == {"kitchen": "member", "study": "member"}  # of the stopped node
    assert {row["last_seen_ms"] for row in as_json(study_home, "members")} == {None}


def test_a_member_that_knows_no_facts_yet_says_where_they_come_from(tmp_path: Path) -> None:
    _, study_home = homes_of_one_mesh(tmp_path, "kitchen", "study")
    with Node(home=study_home, **LOOPBACK):
        done = run(study_home, "members")

    assert done.returncode == 1
    assert b"knows no facts of its mesh: they come when it is connected to another member" in done.stderr


def test_facts_without_effect_are_listed_with_the_reason(tmp_path: Path) -> None:
    kitchen_home, study_home = homes_of_one_mesh(tmp_path, "kitchen", "study")
    kitchen, study = Home(kitchen_home), Home(study_home)
    mesh_key = read_certificates(kitchen_home, kitchen.signer.public).mesh_key
    end = Revocation(mesh_key, kitchen.signer.public, 3_000, b"", kitchen.signer.public, (), ()).signed(kitchen.signer)
    put_facts(kitchen_home, mesh_key, [end])
    kitchen.close()
    study.close()

    assert as_json(kitchen_home, "facts")[-1]["void"] == "only the mesh's key revokes an admin"
    assert b"void: only the mesh's key revokes an admin" in run(kitchen_home, "facts").stdout


def test_proofs_of_forks_are_listed_too_also_without_a_mesh(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Node("kitchen", home=home, open=True, **LOOPBACK):
        pass
    proof = forked_twice()
    store = SqliteRunStore(home / "log.sqlite")
    store.open()
    with store.transaction():
        store.prove(proof)
    store.close()

    stopped = as_json(home, "facts")
    with Node(home=home, open=True, **LOOPBACK):
        running = as_json(home, "facts")

    assert [(row["kind"], row["id"], row["time_ms"], row["error"]) for row in stopped] == [
        ("fork", proof.mark.hex(), None, "")
    ]
    assert running == stopped
    assert b"fork" in run(home, "facts").stdout


def forked_twice() -> Proof:
    """The proof that a key has written an epoch twice."""
    (one, epoch), (other, _) = (fresh(Writer(9), event(1)) for _ in range(2))
    put(one, Writer(9), event(2, "a"))
    put(other, Writer(9), event(2, "b"))
    birth = one.birth(epoch)
    assert birth is not None
    with one.transaction():
        one.compare(birth, other.blocks(epoch))
    proof = one.proof(epoch)
    assert proof is not None
    return proof


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:900])


def too_open(path: Path) -> None:
    path.chmod(0o644)


@pytest.mark.parametrize(("spoil", "sentence"), [(half, "is damaged"), (too_open, "run `chmod 600 ")])
def test_a_node_whose_certificates_are_spoilt_does_not_start_and_leaves_them(
    tmp_path: Path, spoil: Callable[[Path], None], sentence: str
) -> None:
    (home,) = homes_of_one_mesh(tmp_path, "kitchen")
    spoil(home / "certificates.pem")
    before = (home / "certificates.pem").read_bytes()

    with pytest.raises(MeshError, match=sentence):
        Node(home=home, **LOOPBACK).start()

    done = run(home, "up", "--no-mdns", "--listen", "127.0.0.1:0")
    assert (done.returncode, b"Traceback" in done.stderr) == (1, False)
    assert sentence.encode() in done.stderr
    assert (home / "certificates.pem").read_bytes() == before


def test_a_backup_with_keys_has_the_certificates_and_one_without_has_none(tmp_path: Path) -> None:
    (home,) = homes_of_one_mesh(tmp_path, "kitchen")

    run(home, "backup", str(tmp_path / "plain"))
    run(home, "backup", "--with-keys", str(tmp_path / "whole"))
    run(tmp_path / "new", "restore", str(tmp_path / "plain"))
    run(tmp_path / "same", "restore", str(tmp_path / "whole"))

    assert not (tmp_path / "new" / "certificates.pem").exists()
    assert states(tmp_path / "same") == {"kitchen": "member"}
    assert b"in no mesh yet" in run(tmp_path / "new", "members").stderr
