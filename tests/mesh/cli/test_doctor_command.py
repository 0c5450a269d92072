"""`mesh doctor` on one machine, without multicast: with and without a node, and with damaged homes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mesh import Limits, Node
from mesh.cli.commands import app
from mesh.control import server
from mesh.settings.home import Home, read_signer
from mesh.trust.recovery_code import mesh_signer
from peers.facts.fact import Revocation
from tests.support.commands import run
from tests.support.mesh_of_homes import RECOVERY_CODE, homes_of_one_mesh, put_facts
from tests.support.street import SECONDS, at, free_port, wait_until


def mesh(home: Path, *args: str, **variables: str | None) -> Result:
    # This machine's network is not asked: its other machines are none of ours.
    return CliRunner().invoke(
        app, ["--home", str(home), *args], env={"MESH_MDNS": "false", **variables}, prog_name="mesh"
    )


def doctor(home: Path, **variables: str | None) -> tuple[dict[str, dict[str, str]], int]:
    done = mesh(home, "doctor", "--json", **variables)
    return {row["check"]: row for row in json.loads(done.stdout)}, done.exit_code


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """One with a log, whose node has stopped."""
    with Node("kitchen", home=tmp_path / "home", listen=f"127.0.0.1:{free_port()}", mdns=False, open=True) as node:
        node.log.add({"type": "milk"}).get(SECONDS)
    return tmp_path / "home"


def test_a_machine_without_a_home_is_told_how_to_make_one(tmp_path: Path) -> None:
    found, code = doctor(tmp_path / "home")

    assert (found["home"]["state"], code) == ("look", 0)
    assert "`mesh up`" in found["home"]["remedy"]
    assert found["clock"]["remedy"] == "start the node to check this"
    assert not (tmp_path / "home").exists()


def test_a_stopped_node_is_checked_and_nothing_is_changed(home: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in home.iterdir()}

    found, code = doctor(home)

    assert code == 0, found
    assert [found[check]["state"] for check in ("home", "options", "disk", "key", "store", "interfaces", "port")] == [
        "ok"
    ] * 7
    assert found["store"]["found"].endswith("MB are intact")
    assert {path.name: path.stat().st_mtime_ns for path in home.iterdir()} == before


def test_a_line_for_each_check_and_below_it_what_to_do(home: Path) -> None:
    (home / "node.key").chmod(0o644)

    done = mesh(home, "doctor")

    lines = done.stdout.splitlines()
    assert done.exit_code == 1
    assert lines[0].split() == ["check", "state", "found,", "and", "->", "what", "to", "do"]
    assert lines[3].startswith("home") and "wrong" in lines[3]
    assert lines[4].lstrip().startswith(f"-> run `chmod 600 {home / 'node.key'}`")
    assert (
        lines[-2]
        .split(maxsplit=2)[2]
        .startswith("clock, neighbours, MTU, other meshes, releases: not checked: no node")
    )


def test_all_mistakes_of_the_file_are_named(home: Path) -> None:
    (home / "mesh.toml").write_text('lisen = ":4000"\nmdns = 3\n')

    found, code = doctor(home)

    assert (found["options"]["state"], code) == ("wrong", 1)
    assert "mesh.toml:1: there is no option lisen; did you mean listen" in found["options"]["found"]
    assert "mesh.toml:2:" in found["options"]["found"]
    assert found["interfaces"]["found"] == "not checked: the options cannot be used"
    assert not any(check.startswith("multicast") for check in found)


def test_the_limits_of_the_options_count(home: Path) -> None:
    found, code = doctor(home, MESH_LIMIT="disk_share_for_others=0.0001,disk_share_for_own=0.0002")

    assert (found["disk"]["state"], code) == ("wrong", 1)


@pytest.mark.parametrize("damage", ["header", "middle", "key"])
def test_a_damaged_file_is_wrong_and_named(home: Path, damage: str) -> None:
    path = home / ("node.key" if damage == "key" else "log.sqlite")
    content = bytearray(path.read_bytes())
    at_byte = 0 if damage != "middle" else 4096
    content[at_byte : at_byte + 4096] = b"\x17" * min(4096, len(content) - at_byte)
    path.write_bytes(content)

    found, code = doctor(home)

    check = "key" if damage == "key" else "store"
    assert (found[check]["state"], code) == ("wrong", 1), found
    assert found[check]["found"]


def test_a_log_whose_making_was_cut_short_is_no_damage(home: Path) -> None:
    (home / "log.sqlite").write_bytes(b"")

    found, code = doctor(home)

    assert (found["store"]["state"], found["store"]["remedy"], code) == ("look", "start the node", 0)

    (home / "log.sqlite-wal").write_bytes(bytes(5_000))

    assert doctor(home)[0]["store"]["state"] == "wrong"  # it had been made


def test_a_home_that_cannot_be_read_is_a_sentence(home: Path) -> None:
    file = home.parent / "file"
    file.write_text("")

    found, code = doctor(file / "home")

    assert (found["home"]["state"], code) in {("look", 0), ("wrong", 1)}


def test_a_running_node_is_dialled_by_its_neighbour(tmp_path: Path) -> None:
    options: Any = {"listen": "127.0.0.1:0", "mdns": False, "open": True}
    with (
        Node("kitchen", home=tmp_path / "kitchen", **options) as kitchen,
        Node("study", home=tmp_path / "study", peers=[at(kitchen)], **options) as study,
    ):
        wait_until(lambda: [row["session"] for row in study.status().get()["peers"]] == ["synchronized"], "they met")

        (kitchen.home / "mesh.toml").write_text('lisen = ":4000"\n')  # `mesh up` reads it, not an application
        done = run(kitchen.home, "doctor", "--json")

    found = {row["check"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 0, found
    assert found["port"]["found"].startswith("study~")
    assert found["port"]["found"].endswith(f"has dialled TCP port {kitchen.port} here just now")
    assert found["interfaces"]["found"] == "the node looks for no others: mDNS is switched off"
    assert found["options"]["found"] == "given in Python by the application that runs the node"
    assert found["neighbours"]["state"] == found["clock"]["state"] == found["releases"]["state"] == "ok"


def test_a_node_that_is_not_in_its_mesh_any_more_is_wrong_whether_it_runs_or_not(tmp_path: Path) -> None:
    (home,) = homes_of_one_mesh(tmp_path, "kitchen")
    mesh_key = mesh_signer(RECOVERY_CODE)
    end = Revocation(mesh_key.public, mesh_key.public, 9, b"", read_signer(home).public, (), ()).signed(mesh_key)
    put_facts(home, mesh_key.public, [end])

    stopped, _ = doctor(home)
    with Node(home=home, listen="127.0.0.1:0", mdns=False):
        running, code = doctor(home)

    assert (stopped["key"]["state"], running["key"]["state"], code) == ("wrong", "wrong", 1)
    for found in (stopped, running):
        assert "not in its mesh any more (revoked by the recovery code of the mesh)" in found["key"]["found"]


def test_the_limits_of_a_running_node_count(tmp_path: Path) -> None:
    limits = Limits(disk_share_for_others=0.0001, disk_share_for_own=0.0002)
    with Node("kitchen", home=tmp_path, listen="127.0.0.1:0", mdns=False, open=True, limits=limits):
        found, code = doctor(tmp_path)
        shown = mesh(tmp_path, "config")

    assert (found["disk"]["state"], code) == ("wrong", 1)
    assert "an application runs the node of this home, with options that it gave in Python" in shown.stderr
    assert "limits.disk_share_for_own" in shown.stdout


def test_a_view_that_has_stopped_is_wrong(home: Path) -> None:
    with Node("kitchen", home=home, listen="127.0.0.1:0", mdns=False, open=True) as node:
        before, _ = doctor(home)
        node.view("stock", lambda state, event, meta: state.update(n=event["n"])).get(SECONDS)
        found, code = doctor(home)

    assert ("views" in before, found["views"]["state"], code) == (False, "wrong", 1)
    assert "of type 'milk': KeyError: 'n'" in found["views"]["found"]
    assert "`retry()`" in found["views"]["remedy"]


def test_a_running_node_of_an_earlier_release_is_checked_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_line: bytes) -> Any:
        raise ValueError("the request cannot be understood")

    with Node("kitchen", home=tmp_path / "home", listen="127.0.0.1:0", mdns=False, open=True) as node:
        decode = server.messages.decode_request
        monkeypatch.setattr(
            server.messages,
            "decode_request",
            lambda line: (
                refuse(line) if any(one in line for one in (b"examine", b"options", b"facts")) else decode(line)
            ),
        )

        found, code = doctor(node.home)

    assert (found["links"]["state"], found["links"]["remedy"], code) == ("look", "restart it", 0)


def test_the_home_of_another_user_is_wrong(home: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file away")
    os.chown(home / "log.sqlite", 65534, 65534)

    found, code = doctor(home)

    assert (found["home"]["state"], code) == ("wrong", 1)
    assert "log.sqlite belongs to the user" in found["home"]["found"]


def test_a_kept_port_that_is_free_is_ok(tmp_path: Path) -> None:
    made = Home(tmp_path / "home", name="kitchen")
    made.keep_port(free_port())
    made.close()

    found, _ = doctor(tmp_path / "home")

    assert found["port"]["state"] == "ok"
