"""`mesh invite` and `mesh join` as users type them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh import Node
from mesh.cli.members.questions import asked_recovery_code, confirm
from mesh.errors import MeshError
from mesh.settings.home import read_identity
from tests.support.commands import run
from tests.support.mesh_of_homes import RECOVERY_CODE, homes_of_one_mesh
from tests.support.street import at

LOOPBACK: dict[str, Any] = {"listen": "127.0.0.1:0", "mdns": False}


@pytest.fixture
def kitchen(tmp_path: Path) -> Iterator[Node]:
    """A running node, whose home is that of an admin."""
    (home,) = homes_of_one_mesh(tmp_path, "kitchen")
    with Node(home=home, **LOOPBACK) as node:
        yield node


def test_invite_prints_a_code_alone_and_join_says_what_to_do_next(kitchen: Node, tmp_path: Path) -> None:
    code = run(kitchen.home, "invite")
    study = tmp_path / "study"

    done = run(study, "join", "--name", "study", "--peer", at(kitchen), code.stdout.decode().strip())

    assert code.stderr == done.stderr == b""
    assert [len(group) for group in code.stdout.decode().strip().split("-")] == [5] * 8
    node_id = read_identity(study)[0]
    assert done.stdout.decode() == (
        f"{node_id} is in the mesh home now; start it: `mesh --home {study} up`, or the program that runs this node\n"
    )
    shown = json.loads(run(study, "members", "--json").stdout)
    assert [(row["node_id"], row["invited_by"], row["from"]) for row in shown][1:] == [
        (node_id, kitchen.node_id, "127.0.0.1")
    ]


def test_programs_get_json_and_a_code_without_argument_is_read_from_the_input(kitchen: Node, tmp_path: Path) -> None:
    invited = json.loads(run(kitchen.home, "invite", "--ttl", "2h", "--uses", "3", "--json").stdout)

    done = run(
        tmp_path / "study", "join", "--json", "--peer", at(kitchen), given=f"{invited['code'].lower()}\n".encode()
    )

    assert list(invited) == ["code", "expires_ms"]
    assert abs(invited["expires_ms"] - time.time_ns() // 1_000_000 - 7_200_000) < 600_000
    assert (done.returncode, done.stderr) == (0, b"invite code: ")
    said = json.loads(done.stdout)
    assert list(said) == ["mesh", "mesh_key", "node_id", "address"]
    assert (said["node_id"], said["address"]) == (read_identity(tmp_path / "study")[0], at(kitchen))


def test_invite_wants_a_running_node_and_takes_no_other_time_than_it_can_keep(tmp_path: Path) -> None:
    (home,) = homes_of_one_mesh(tmp_path, "kitchen")

    assert b"no node runs in" in run(home, "invite").stderr
    assert b"is no time for a code: take 90s, 10m or 2h" in run(home, "invite", "--ttl", "soon").stderr
    assert b"0s is out of range: take more than 0s, and at most 7d" in run(home, "invite", "--ttl", "0s").stderr


def test_a_code_that_makes_an_admin_asks_for_the_recovery_code(kitchen: Node, tmp_path: Path) -> None:
    without, mistyped = (run(kitchen.home, "invite", "--admin", given=given) for given in (b"", b"ABC\n"))

    code = run(kitchen.home, "invite", "--admin", given=f"{RECOVERY_CODE}\n".encode())
    done = run(tmp_path / "study", "join", "--name", "study", "--peer", at(kitchen), code.stdout.decode().strip())

    assert b"no recovery code was given: type the one that was shown when the mesh was founded" in without.stderr
    assert b"a recovery code has 30 symbols, and this one 3" in mistyped.stderr
    assert code.stderr == b"recovery code: "
    assert " is in the mesh home now, as an admin; start it: `mesh " in done.stdout.decode()
    shown = json.loads(run(tmp_path / "study", "members", "--json").stdout)
    assert [(row["is_admin"], row["state"]) for row in shown] == [(True, "member")] * 2


def test_a_home_with_events_joins_only_if_both_commands_say_so(kitchen: Node, tmp_path: Path) -> None:
    porch = tmp_path / "porch"
    with Node("porch", home=porch, open=True, **LOOPBACK) as node:
        node.log.add({"type": "doorbell"}).get()
    codes = [run(kitchen.home, "invite", *options).stdout.decode().strip() for options in ((), ("--with-log",))]
    to_kitchen = ("--peer", at(kitchen))

    assert b"has 1 event of a time without a mesh" in run(porch, "join", codes[1], *to_kitchen).stderr
    assert b"run `mesh invite --with-log` there" in run(porch, "join", "--with-log", codes[0], *to_kitchen).stderr
    assert run(porch, "join", "--with-log", codes[1], *to_kitchen).returncode == 0


def test_join_without_a_code_says_where_to_get_one(tmp_path: Path) -> None:
    done = run(tmp_path / "study", "join", "--peer", "127.0.0.1:1")

    assert done.returncode == 1
    assert done.stderr.decode().endswith(
        "no invite code was given: `mesh invite` prints one on a machine of the mesh\n"
    )
    assert not (tmp_path / "study").exists()


def test_join_says_what_is_at_an_address_that_is_no_inviter(kitchen: Node, tmp_path: Path) -> None:
    code = run(kitchen.home, "invite").stdout.decode().strip()

    refused = run(tmp_path / "study", "join", code, "--peer", "127.0.0.1:1").stderr
    assert refused.startswith(b"cannot reach 127.0.0.1:1: refused; let the node that made this code run, or correct")
    with Node(home=tmp_path / "porch", open=True, **LOOPBACK) as porch:
        said = run(tmp_path / "study", "join", code, "--peer", at(porch)).stderr
    assert f"what runs at {at(porch)} is no node with certificates".encode() in said
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("ends", [KeyboardInterrupt, EOFError])
def test_ctrl_c_at_a_question_ends_the_command_and_the_end_of_the_input_is_no_answer(
    ends: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_text: str) -> str:
        raise ends

    monkeypatch.setattr("click.termui.visible_prompt_func", read)
    monkeypatch.setattr("mesh.cli.members.questions.is_terminal", lambda: True)

    with pytest.raises(KeyboardInterrupt if ends is KeyboardInterrupt else MeshError):
        asked_recovery_code()
    with pytest.raises(KeyboardInterrupt if ends is KeyboardInterrupt else MeshError):
        confirm("It is gone then.", "Go on?", is_yes=False)
