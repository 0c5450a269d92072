"""`mesh found`, `mesh members` and `mesh facts`, and what a running node does with the facts of its mesh."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mesh import MeshError, Node
from mesh.settings.home import Home
from mesh.trust.certificates import public_key, read_certificates
from mesh.trust.recovery_code import mesh_signer, write_recovery_code
from peers.events.proof import Proof
from peers.facts.fact import Revocation
from peers.stores.runs.sqlite.store import SqliteRunStore
from tests.support.commands import DEADLINE_SECONDS, arguments, environment, run
from tests.support.mesh_of_homes import SECRET, homes_of_one_mesh, put_facts
from tests.support.run_house import Writer, event, fresh, put
from tests.support.street import SECONDS, at, wait_until

LOOPBACK: dict[str, Any] = {"listen": "127.0.0.1:0", "mdns": False}


def as_json(home: Path, *args: str) -> Any:
    done = run(home, *args, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def states(home: Path) -> dict[str, str]:
    return {row["node_id"].partition("~")[0]: row["state"] for row in as_json(home, "members")}


# found


def test_found_makes_a_home_whose_node_is_the_first_admin_and_keeps_the_code_in_a_file(tmp_path: Path) -> None:
    home = tmp_path / "home"

    done = run(home, "found", "--name", "kitchen", "--mesh", "garden")

    code = (home / "recovery-code.txt").read_text().strip()
    node_id = as_json(home, "members")[0]["node_id"]
    assert done.stderr == b""
    assert done.stdout.decode() == (
        f"founded the mesh garden, whose first admin is {node_id}; its recovery code is in {home}/recovery-code.txt: "
        "write it down, put it away, and delete the file\n"
    )
    assert (home / "recovery-code.txt").stat().st_mode & 0o777 == 0o600
    made = Home(home)
    assert read_certificates(home, made.signer.public).mesh_key == mesh_signer(code).public
    made.close()
    facts = as_json(home, "facts")
    assert [(fact["kind"], fact["signer"], fact["about"]) for fact in facts] == [
        ("found", "", "garden"),
        ("certificate", "", node_id),
        ("certificate", node_id, node_id),
    ]
    assert {(fact["error"], fact["void"]) for fact in facts} == {("", "")}


def test_on_a_terminal_the_code_is_shown_once_and_written_nowhere(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        arguments(home, "found", "--name", "kitchen"), stdout=theirs, stdin=theirs, env=environment()
    ) as process:
        assert process.wait(DEADLINE_SECONDS) == 0
    os.close(theirs)
    shown = os.read(ours, 4096).decode()
    os.close(ours)

    found = re.search(r"^recovery code: ([0-9A-Z-]{35})\r?$", shown, re.MULTILINE)
    assert found is not None
    made = Home(home)
    assert read_certificates(home, made.signer.public).mesh_key == mesh_signer(found[1]).public
    made.close()
    assert not (home / "recovery-code.txt").exists()
    code = found[1].encode()
    assert not any(code in path.read_bytes() for path in home.iterdir())


def test_a_home_with_a_log_is_founded_and_keeps_its_events_and_id(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Node("kitchen", home=home, open=True, **LOOPBACK) as node:
        node.log.add({"type": "milk"}).get(SECONDS)
        node_id = node.node_id

    assert as_json(home, "found")["node_id"] == node_id

    with Node(home=home, **LOOPBACK) as node:
        assert [event["type"] for event, _ in node.log.each()] == ["milk"]
        assert node.status().get(SECONDS)["has_recovery_file"] is True
        assert b"recovery code" in run(home, "status").stdout
        (home / "recovery-code.txt").unlink()
        assert node.status().get(SECONDS)["has_recovery_file"] is False
        assert states(home) == {"kitchen": "member"}


def test_a_mesh_is_founded_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    run(home, "found")
    before = {path.name: path.read_bytes() for path in home.iterdir()}

    done = run(home, "found")

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"this home is in a mesh already" in done.stderr
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


def test_a_recovery_code_of_another_mesh_is_not_overwritten(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "recovery-code.txt").write_text("another one")

    done = run(home, "found")

    assert done.returncode == 1
    assert b"recovery-code.txt has the recovery code of another one: put it away first" in done.stderr
    assert (home / "recovery-code.txt").read_text() == "another one"
    assert not (home / "certificates.pem").exists()


def test_where_a_mesh_cannot_be_founded_no_code_is_left(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Node("kitchen", home=home, open=True, **LOOPBACK):
        pass
    log = home / "log.sqlite"
    whole = log.read_bytes()
    log.write_bytes(b"no log" * 100)

    done = run(home, "found")

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no mesh was founded: the log file" in done.stderr
    assert not (home / "recovery-code.txt").exists()
    assert not (home / "certificates.pem").exists()
    log.write_bytes(whole)
    assert run(home, "found").returncode == 0


def test_while_the_node_runs_nothing_is_founded(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Node("kitchen", home=home, open=True, **LOOPBACK):
        done = run(home, "found")

    assert done.returncode == 1
    assert b"a node runs in" in done.stderr and b"stop it with" in done.stderr
    assert not (home / "certificates.pem").exists()


# recover


def test_a_new_node_becomes_an_admin_by_the_code_and_the_members_hear_of_it(tmp_path: Path) -> None:
    kitchen_home, study_home = homes_of_one_mesh(tmp_path, "kitchen", "study")
    attic_home = tmp_path / "attic"
    code = write_recovery_code(SECRET).lower().replace("0", "o").replace("-", " ")

    done = run(attic_home, "recover", "--json", given=f"{code}\n".encode())

    assert (done.returncode, done.stderr) == (0, b"recovery code: ")
    node_id = json.loads(done.stdout)["node_id"]
    assert code.encode() not in done.stdout
    with (
        Node(home=study_home, **LOOPBACK) as study,
        Node(home=attic_home, peers=[at(study)], **LOOPBACK),
        Node(home=kitchen_home, peers=[at(study)], **LOOPBACK),
    ):
        for home in (kitchen_home, study_home, attic_home):
            wait_until(lambda home=home: len(run(home, "members").stdout.splitlines()) == 4, f"all members in {home}")
        admins = [row["node_id"] for row in as_json(kitchen_home, "members") if row["is_admin"]]
        assert node_id in admins and len(admins) == 2
    assert [fact["kind"] for fact in as_json(study_home, "facts")].count("found") == 2  # of the founder and of this one


def test_a_member_becomes_an_admin_and_its_certificates_say_so(tmp_path: Path) -> None:
    _, study_home = homes_of_one_mesh(tmp_path, "kitchen", "study")
    study = Home(study_home)
    study.close()

    done = run(study_home, "recover", write_recovery_code(SECRET))

    assert done.stdout.decode().startswith(f"{study.node_id} is an admin of the mesh now")
    chain = read_certificates(study_home, study.signer.public)
    assert public_key(chain.admin) == public_key(chain.node) == study.signer.public
    again = run(study_home, "recover", write_recovery_code(SECRET))
    assert again.returncode == 1
    assert b"is an admin of this mesh already" in again.stderr


def mistyped(code: str) -> str:
    return f"{code[:-1]}{'Z' if code[-1] != 'Z' else 'Y'}"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (mistyped(write_recovery_code(SECRET)), "a recovery code was mistyped: compare group 6 with the one"),
        ("ABC", "a recovery code has 30 symbols, and this one 3"),
        (write_recovery_code(b"x" * 16), "this recovery code is of another mesh than this home"),
    ],
)
def test_a_wrong_code_changes_nothing_and_says_what_is_wrong(tmp_path: Path, code: str, sentence: str) -> None:
    (home,) = homes_of_one_mesh(tmp_path, "kitchen")
    before = {path.name: path.read_bytes() for path in home.iterdir()}

    done = run(home, "recover", code)

    assert (done.returncode, done.stdout) == (1, b"")
    assert sentence in done.stderr.decode()
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


def test_a_mistyped_code_makes_no_home(tmp_path: Path) -> None:
    assert run(tmp_path / "new", "recover", "ABC").returncode == 1
    assert not (tmp_path / "new").exists()


def test_without_a_code_nothing_is_recovered(tmp_path: Path) -> None:
    done = run(tmp_path / "home", "recover")

    assert done.returncode == 1
    assert b"no recovery code was given: type the one that `mesh found` showed" in done.stderr


def test_a_node_that_was_revoked_as_an_admin_does_not_come_back_by_the_code(tmp_path: Path) -> None:
    (home,) = homes_of_one_mesh(tmp_path, "kitchen")
    kitchen, mesh = Home(home), mesh_signer(write_recovery_code(SECRET))
    end = Revocation(mesh.public, mesh.public, 3_000, b"", kitchen.signer.public, (), ()).signed(mesh)
    put_facts(home, mesh.public, [end])
    kitchen.close()

    done = run(home, "recover", write_recovery_code(SECRET))

    assert done.returncode == 1
    assert b"was taken out of this mesh for good: start a new node in another --home" in done.stderr
    assert states(home) == {"kitchen": "revoked"}


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
