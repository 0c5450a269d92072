"""The first start of a node that is not open: a fresh home founds a mesh, one with a log is refused."""

from __future__ import annotations

import asyncio
import logging
import os
import pty
import re
import select
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mesh import MeshError, Node
from mesh.settings.home import Home, read_identity, read_signer
from mesh.trust.certificates import read_certificates
from mesh.trust.recovery_code import mesh_signer, write_recovery_code
from tests.support.commands import DEADLINE_SECONDS, arguments, environment, next_line, run, running
from tests.support.forked_process import ForkedProcess
from tests.support.joining_parts import files, invited, joined
from tests.support.old_logs import OldLogFile, old_event
from tests.support.street import SECONDS, at, types, wait_until

LOOPBACK: dict[str, Any] = {"listen": "127.0.0.1:0", "mdns": False}
LOCAL = ("--no-mdns", "--listen", "127.0.0.1:0")


def mesh_key(home: Path) -> bytes:
    return read_certificates(home, read_signer(home).public).mesh_key


def test_a_fresh_home_founds_a_mesh_and_keeps_the_recovery_code_in_a_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mesh")

    with Node("kitchen", home=tmp_path, mesh="garden", **LOOPBACK) as node:
        assert (node.is_trusted, node.mesh) == (True, "garden")
        assert node.status().get(SECONDS)["has_recovery_file"] is True

    file = tmp_path / "recovery-code.txt"
    assert file.stat().st_mode & 0o777 == 0o600
    assert mesh_key(tmp_path) == mesh_signer(file.read_text()).public
    founded, kept = caplog.messages[:2]
    assert founded.startswith("founded the mesh garden: `mesh invite` prints a code here, with which `mesh join CODE`")
    assert kept == f"the recovery code of this mesh is in {file}: write it down, put it away, and delete the file"


def test_the_next_start_is_in_the_same_mesh_and_asks_again_until_the_file_is_put_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Node("kitchen", home=tmp_path, **LOOPBACK):
        key = mesh_key(tmp_path)
    caplog.clear()

    with Node(home=tmp_path, **LOOPBACK):
        assert [message for message in caplog.messages if "the recovery code of this mesh is in" in message]
    (tmp_path / "recovery-code.txt").unlink()
    caplog.clear()
    with Node(home=tmp_path, **LOOPBACK) as node:
        assert node.is_trusted

    assert mesh_key(tmp_path) == key
    assert [message for message in caplog.messages if "recovery" in message or "founded" in message] == []


def test_a_program_may_show_the_code_itself(tmp_path: Path) -> None:
    shown: list[str] = []

    with Node("kitchen", home=tmp_path, on_recovery_code=shown.append, **LOOPBACK):
        assert mesh_key(tmp_path) == mesh_signer(*shown).public
    assert not any(shown[0].encode() in content for content in files(tmp_path).values())


def test_a_code_of_another_mesh_is_not_called_that_of_this_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Node("kitchen", home=tmp_path, on_recovery_code=lambda _: None, **LOOPBACK):
        pass
    (tmp_path / "recovery-code.txt").write_text(write_recovery_code(bytes(16)))
    caplog.set_level("INFO", "mesh")

    with Node(home=tmp_path, **LOOPBACK) as node:
        assert node.status().get()["has_recovery_file"] is False
    assert not any("recovery code" in message for message in caplog.messages)


def test_a_code_with_a_note_beside_it_is_one(tmp_path: Path) -> None:
    with Node("kitchen", home=tmp_path, **LOOPBACK), (tmp_path / "recovery-code.txt").open("a") as file:
        file.write("of the shop\n")

    with Node(home=tmp_path, **LOOPBACK) as node:
        assert node.status().get()["has_recovery_file"] is True


def test_where_the_code_cannot_be_shown_no_mesh_is_founded(tmp_path: Path) -> None:
    def fail(_code: str) -> None:
        raise MeshError("the display is off")

    with pytest.raises(MeshError, match="the display is off"):
        Node("kitchen", home=tmp_path, on_recovery_code=fail, **LOOPBACK).start()
    assert not (tmp_path / "certificates.pem").exists()

    with Node(home=tmp_path, **LOOPBACK) as node:
        assert node.is_trusted


def test_on_an_asyncio_loop_it_is_the_same(tmp_path: Path) -> None:
    async def start() -> bool:
        async with Node("kitchen", home=tmp_path, **LOOPBACK) as node:
            return node.is_trusted

    assert asyncio.run(start())


# A home with a log


def written(home: Path) -> None:
    with Node("kitchen", home=home, open=True, **LOOPBACK) as node:
        node.log.add({"type": "milk"}).get(SECONDS)


def of_an_earlier_release(home: Path) -> None:
    Home(home, name="kitchen").close()
    old = OldLogFile(clock_ms=9)
    old.show(old_event(1, "milk"), "kitchen-1", 1)
    old.write(home / "log.sqlite")


def without_certificates(home: Path) -> None:
    with Node("kitchen", home=home, **LOOPBACK):
        pass
    (home / "certificates.pem").unlink()
    (home / "recovery-code.txt").unlink()


@pytest.mark.parametrize("make", [written, of_an_earlier_release, without_certificates])
def test_a_home_with_a_log_and_no_mesh_is_refused_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path)
    before = files(tmp_path)

    with pytest.raises(MeshError) as refused:
        Node(home=tmp_path, **LOOPBACK).start()
    done = run(tmp_path, "up", *LOCAL)

    assert (done.returncode, done.stdout, done.stderr.decode()) == (1, b"", f"{refused.value.for_commands}\n")
    for way in ("`mesh found`", "`mesh join CODE`", 'with open="lan"', "certificates.pem"):
        assert way in str(refused.value)
    assert files(tmp_path) == before


def test_a_founding_that_was_killed_half_way_is_finished_by_its_recovery_code(tmp_path: Path) -> None:
    with Node("kitchen", home=tmp_path, **LOOPBACK):
        key = mesh_key(tmp_path)
    (tmp_path / "certificates.pem").unlink()  # it is written last

    with pytest.raises(MeshError, match=r"has a log of a mesh, but no certificates.pem \(.* or call `mesh recover`\)"):
        Node(home=tmp_path, **LOOPBACK).start()
    again = run(tmp_path, "found")
    assert (again.returncode, again.stdout) == (1, b"")
    assert b"was founded already: `mesh recover` takes this home into it" in again.stderr
    done = run(tmp_path, "recover", given=(tmp_path / "recovery-code.txt").read_bytes())

    assert (done.returncode, mesh_key(tmp_path)) == (0, key)
    with Node(home=tmp_path, **LOOPBACK) as node:
        assert node.is_trusted


def test_the_code_of_a_mesh_whose_certificates_cannot_be_written_stays_in_the_home_and_finishes_it(
    tmp_path: Path,
) -> None:
    in_the_way = tmp_path / "certificates.pem.new"
    in_the_way.mkdir()

    with pytest.raises(MeshError, match=r"the mesh was founded, but .*certificates.pem cannot be written \(Is a"):
        Node("kitchen", home=tmp_path, **LOOPBACK).start()
    in_the_way.rmdir()
    code = (tmp_path / "recovery-code.txt").read_text()
    done = run(tmp_path, "recover", given=code.encode())

    assert (done.returncode, mesh_key(tmp_path)) == (0, mesh_signer(code).public)


def test_where_the_code_cannot_be_written_no_mesh_is_founded(tmp_path: Path) -> None:
    in_the_way = tmp_path / "recovery-code.txt.new"
    in_the_way.mkdir()

    with pytest.raises(MeshError, match=r"no mesh was founded: .*recovery-code.txt cannot be written \(Is a .*mend"):
        Node("kitchen", home=tmp_path, **LOOPBACK).start()

    assert not (tmp_path / "certificates.pem").exists()


def test_such_a_home_runs_open_and_founds_a_mesh_when_it_is_told_so(tmp_path: Path) -> None:
    written(tmp_path)

    with Node(home=tmp_path, open="lan", **LOOPBACK) as node:
        assert types(node) == ["milk"]
    assert run(tmp_path, "found").returncode == 0

    with Node(home=tmp_path, **LOOPBACK) as node:
        assert (types(node), node.is_trusted) == (["milk"], True)


def test_the_log_of_an_earlier_release_is_in_a_mesh_after_one_command(tmp_path: Path) -> None:
    of_an_earlier_release(tmp_path)

    assert run(tmp_path, "found").returncode == 0

    with Node(home=tmp_path, **LOOPBACK) as node:
        assert (types(node), node.is_trusted) == (["milk"], True)


def test_a_home_that_has_run_open_and_wrote_nothing_is_fresh(tmp_path: Path) -> None:
    with Node("kitchen", home=tmp_path, open=True, **LOOPBACK) as node:
        node_id = node.node_id

    with Node(home=tmp_path, **LOOPBACK) as node:
        assert (node.node_id, node.is_trusted) == (node_id, True)


def test_a_file_that_is_no_recovery_code_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "recovery-code.txt").write_text("another one")

    with pytest.raises(
        MeshError, match=r"recovery-code.txt is in the way, which is not the recovery code of a founding "
    ):
        Node("kitchen", home=tmp_path, **LOOPBACK).start()

    assert (tmp_path / "recovery-code.txt").read_text() == "another one"


@pytest.mark.parametrize("is_shown", [False, True])
def test_a_founding_that_was_killed_before_the_log_had_it_goes_on_with_the_code_that_was_written(
    tmp_path: Path, *, is_shown: bool
) -> None:
    code, shown = write_recovery_code(bytes(16)), list[str]()
    Home(tmp_path, name="kitchen").close()
    (tmp_path / "recovery-code.txt").write_text(f"{code}\n")

    options: dict[str, Any] = {"on_recovery_code": shown.append} if is_shown else {}
    with Node(home=tmp_path, **options, **LOOPBACK) as node:
        assert node.is_trusted

    assert mesh_key(tmp_path) == mesh_signer(code).public
    assert (tmp_path / "recovery-code.txt").read_text() == f"{code}\n"
    assert shown == ([code] if is_shown else [])


# Joining


def test_a_fresh_home_that_joins_founds_nothing(tmp_path: Path) -> None:
    with Node("kitchen", home=tmp_path / "kitchen", mesh="garden", **LOOPBACK) as kitchen:
        joined(tmp_path / "study", invited(kitchen), kitchen)

        with Node(home=tmp_path / "study", peers=[at(kitchen)], **LOOPBACK) as study:
            study.synchronized().get(SECONDS)
            assert study.mesh == "garden"

    assert mesh_key(tmp_path / "study") == mesh_key(tmp_path / "kitchen")
    assert not (tmp_path / "study" / "recovery-code.txt").exists()


def test_a_node_that_was_started_too_early_still_joins_and_keeps_what_it_wrote(tmp_path: Path) -> None:
    with Node("study", home=tmp_path / "study", **LOOPBACK) as study:
        study.log.add({"type": "rake"}).get(SECONDS)
    assert (tmp_path / "study" / "recovery-code.txt").exists()

    with Node("kitchen", home=tmp_path / "kitchen", mesh="garden", **LOOPBACK) as kitchen:
        joined(tmp_path / "study", invited(kitchen), kitchen)
        with Node(home=tmp_path / "study", peers=[at(kitchen)], **LOOPBACK) as study:
            wait_until(lambda: types(kitchen) == ["rake"], "the event")
            assert study.mesh == "garden"

    assert not (tmp_path / "study" / "recovery-code.txt").exists()  # of a mesh that is no more


# The command


def test_up_says_how_others_join_and_where_the_code_is(tmp_path: Path) -> None:
    with running(tmp_path, "up", "--name", "kitchen", "--mesh", "garden", *LOCAL) as process:
        lines = [next_line(process).decode() for _ in range(4)]

    node_id = read_identity(tmp_path)[0]
    assert f"made a new home in {tmp_path}: a new node, {node_id}" in lines[0]
    assert f"{node_id} is up in mesh garden: " in lines[1]
    assert "founded the mesh garden: `mesh invite` prints a code here" in lines[2]
    assert f"the recovery code of this mesh is in {tmp_path}/recovery-code.txt: write it down" in lines[3]


def test_up_on_a_terminal_shows_the_code_once_and_writes_it_nowhere(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = arguments(tmp_path, "up", "--name", "kitchen", *LOCAL)
    shown = b""
    with ForkedProcess(command, stdout=theirs, stdin=theirs, env=environment()) as process:
        try:
            while b"founded the mesh home" not in shown:
                assert select.select([ours], [], [], DEADLINE_SECONDS)[0], shown
                shown += os.read(ours, 4096)
        finally:
            process.terminate()
    os.close(theirs)
    os.close(ours)

    (code,) = re.findall(rb"^recovery code: ([0-9A-Z-]{35})\r$", shown, re.MULTILINE)
    assert mesh_key(tmp_path) == mesh_signer(code.decode()).public
    assert not any(code in content for content in files(tmp_path).values())


def test_a_restored_home_without_keys_has_to_join_first(tmp_path: Path) -> None:
    with Node("kitchen", home=tmp_path / "kitchen", **LOOPBACK) as kitchen:
        kitchen.log.add({"type": "milk"}).get(SECONDS)
        home = tmp_path / "new" / "kitchen"
        home.parent.mkdir()
        run(kitchen.home, "backup", str(tmp_path / "backup"))
        assert b" join CODE`" in run(home, "restore", str(tmp_path / "backup")).stdout
        with pytest.raises(MeshError, match="`mesh join CODE`"):
            Node(home=home, **LOOPBACK).start()

        joined(home, invited(kitchen), kitchen)

        with Node(home=home, peers=[at(kitchen)], **LOOPBACK) as new:
            new.synchronized().get(SECONDS)
            assert types(new) == ["milk"]
