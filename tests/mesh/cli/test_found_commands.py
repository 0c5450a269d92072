"""`mesh found` and `mesh recover`: the admins of a mesh, and the code that makes them."""

from __future__ import annotations

import json
import os
import pty
import re
from pathlib import Path
from typing import Any

import pytest

from mesh import Node
from mesh.settings.home import Home
from mesh.trust.certificates import public_key, read_certificates
from mesh.trust.recovery_code import mesh_signer, write_recovery_code
from peers.facts.fact import Revocation
from tests.support.commands import DEADLINE_SECONDS, arguments, environment, run
from tests.support.forked_process import ForkedProcess
from tests.support.members import as_json, states
from tests.support.mesh_of_homes import SECRET, homes_of_one_mesh, put_facts
from tests.support.street import SECONDS, at, wait_until

LOOPBACK: dict[str, Any] = {"listen": "127.0.0.1:0", "mdns": False}


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
    with ForkedProcess(
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


def test_found_says_for_how_many_events_of_a_log_the_node_vouches(tmp_path: Path) -> None:
    with (
        Node("kitchen", home=tmp_path / "kitchen", open=True, **LOOPBACK) as kitchen,
        Node("study", home=tmp_path / "study", peers=[at(kitchen)], open=True, **LOOPBACK) as study,
    ):
        for node, name in ((kitchen, "milk"), (study, "bread"), (study, "salt")):
            node.log.add({"type": name}).get(SECONDS)
        study.synchronized().get(SECONDS)
        node_id = kitchen.node_id

    said = run(tmp_path / "kitchen", "found").stdout.decode()

    assert said.endswith(f"\n{node_id} vouches for 2 events of its log, of a time before the mesh\n")


def test_a_mesh_is_founded_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    run(home, "found")
    before = {path.name: path.read_bytes() for path in home.iterdir()}

    done = run(home, "found")

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"this home is in a mesh already" in done.stderr
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


def test_a_file_in_the_place_of_the_recovery_code_is_not_overwritten(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "recovery-code.txt").write_text("another one")

    done = run(home, "found")

    assert done.returncode == 1
    assert b"recovery-code.txt is in the way, which is not the recovery code of a founding " in done.stderr
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


def test_while_the_node_runs_nothing_is_founded_and_no_code_is_asked_for(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Node("kitchen", home=home, open=True, **LOOPBACK):
        all_done = [run(home, command) for command in ("found", "recover", "join")]

    for done in all_done:
        assert done.returncode == 1
        assert done.stderr.startswith(b"a node runs in") and b"stop it with" in done.stderr
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


def test_recover_gives_a_new_home_its_name(tmp_path: Path) -> None:
    done = run(tmp_path / "new", "recover", "--name", "cellar", write_recovery_code(SECRET))

    assert done.stdout.startswith(b"cellar~")
    refused = run(tmp_path / "new", "recover", "--name", "attic", write_recovery_code(SECRET))
    assert b"this home's name is cellar for good, not attic" in refused.stderr


def test_a_home_with_events_of_a_time_without_a_mesh_is_recovered_only_with_its_log(tmp_path: Path) -> None:
    with (
        Node("kitchen", home=tmp_path / "kitchen", open=True, **LOOPBACK) as kitchen,
        Node("study", home=tmp_path / "study", peers=[at(kitchen)], open=True, **LOOPBACK) as study,
    ):
        for node in (kitchen, study):
            node.log.add({"type": node.node_id.partition("~")[0]}).get(SECONDS)
        study.synchronized().get(SECONDS)
    home, code = tmp_path / "study", write_recovery_code(SECRET)
    before = {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()}

    done = run(home, "recover", code)

    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == (
        "the log of this home has 2 events of a time without a mesh: with `mesh recover --with-log` it brings them along, and "
        "vouches for them; else use another --home\n"
    )
    assert {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()} == before
    assert run(home, "recover", "--with-log", code).returncode == 0
    with Node(home=home, **LOOPBACK) as study:
        wait_until(lambda: vouched(study) == {"kitchen": "found", "study": None}, "it vouches for the other's")


def vouched(node: Node) -> dict[str, str | None]:
    """Why a node vouches for events, by their types."""
    return {event["type"]: meta.get("vouched") for event, meta in node.log.each()}


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
    assert b"no recovery code was given: type the one that was shown when the mesh was founded" in done.stderr


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
