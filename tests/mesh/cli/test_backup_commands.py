"""`mesh backup` and `mesh restore` in a shell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import Node
from tests.support.backups import node_id_in
from tests.support.commands import DEADLINE_SECONDS, run


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node("kitchen", home=tmp_path / "home", listen="127.0.0.1:0", open=True, mdns=False) as made:
        for name in ("milk", "bread"):
            made.log.add({"type": name}).get(DEADLINE_SECONDS)
        yield made


def types(home: Path) -> list[str]:
    return [json.loads(line)["event"]["type"] for line in run(home, "log", "--json").stdout.splitlines()]


def test_a_backup_of_a_running_node_says_what_it_holds_and_is_restored_as_a_new_node(
    node: Node, tmp_path: Path
) -> None:
    file, new = tmp_path / "kitchen.backup", tmp_path / "my new"

    done = run(node.home, "backup", str(file))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == (f"{file}: 2 events of {node.node_id}, without keys, {file.stat().st_size} bytes\n")

    done = run(new, "restore", str(file))
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.fullmatch(
        rf"{new}: 2 events, as of 20\d\d-\d\d-\d\d [\d:.]+, for a new node, kitchen~\w+; "
        rf"take it into a mesh with `mesh --home '{new}' join CODE`, or make one with `mesh --home '{new}' found`; "
        r"then start it: `.* up`, or the program that runs this node\n"
        rf"  from the others comes what {node.node_id} wrote after 20\d\d-\d\d-\d\d [\d:.]+\n",
        done.stdout.decode(),
    )
    assert types(new) == ["milk", "bread"]
    assert node_id_in(new) != node.node_id


def test_a_file_is_replaced_only_by_force(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "kitchen.backup"
    file.write_text("something of the user")

    refused = run(node.home, "backup", str(file))
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert refused.stderr.decode() == f"{file} exists already: name another file, or give --force to replace it\n"
    assert file.read_text() == "something of the user"

    assert run(node.home, "backup", "--force", str(file)).returncode == 0
    assert run(tmp_path / "new", "restore", str(file)).returncode == 0


def test_with_keys_both_commands_warn_of_two_live_copies_of_a_node(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "kitchen.backup"

    made = run(node.home, "backup", "--with-keys", "--json", str(file))
    assert json.loads(made.stdout) == {
        "file": str(file),
        "node_id": node.node_id,
        "events": 2,
        "bytes": file.stat().st_size,
        "with_keys": True,
    }
    assert re.fullmatch(
        rf"warning: {file} has the key of {node.node_id}: anyone who has the file can be this node\. Keep it secret, "
        r"and never run a node that was restored from it while this one runs\n",
        made.stderr.decode(),
    )

    restored = run(tmp_path / "new", "restore", "--json", str(file))
    shown = json.loads(restored.stdout)
    assert (shown["node_id"], shown["is_same_node"], shown["home"]) == (node.node_id, True, str(tmp_path / "new"))
    assert restored.stderr.decode() == (
        f"warning: this is {node.node_id} again: never run it while the node of the old home runs\n"
    )


def test_a_relative_name_is_a_file_in_the_current_folder(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run(node.home, "backup", "kitchen.backup").returncode == 0
    assert run(Path("new"), "restore", "kitchen.backup").returncode == 0
    assert types(tmp_path / "new") == ["milk", "bread"]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("backup", "{home}/log.sqlite"), "{home}/log.sqlite is in the home itself"),
        (("backup", "--force", "{home}/log.sqlite"), "{home}/log.sqlite is in the home itself"),
        (("backup", "{tmp}"), "{tmp} is a folder: name a file in it, as in {tmp}/mesh.backup"),
        (("backup", "{tmp}/no/file"), "no backup was made: {tmp}/no/file: No such file or directory; name another"),
        (("restore", "{tmp}/none"), "cannot read {tmp}/none: No such file or directory"),
        (("restore", "{home}/log.sqlite"), "{home}/log.sqlite is no whole backup: it was cut short, or it is the log"),
        (("restore", "{home}/node.json"), "{home}/node.json is not a backup: give a file that `mesh backup` has made"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_1(
    node: Node, tmp_path: Path, command: tuple[str, ...], sentence: str
) -> None:
    places = {"home": str(node.home), "tmp": str(tmp_path)}
    arguments = [word.format(**places) for word in command]

    done = run(tmp_path / "new" if command[0] == "restore" else node.home, *arguments)

    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().startswith(sentence.format(**places))
    assert done.stderr.count(b"\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_a_home_that_exists_is_not_restored_over(node: Node, tmp_path: Path) -> None:
    run(node.home, "backup", str(tmp_path / "kitchen.backup"))

    done = run(node.home, "restore", str(tmp_path / "kitchen.backup"))

    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == (
        f"{node.home} is the home of a node already: choose a folder that does not exist, with --home\n"
    )


def test_there_is_no_backup_without_a_home(tmp_path: Path) -> None:
    home = tmp_path / "none"
    done = run(home, "backup", str(tmp_path / "file"))

    assert (done.returncode, done.stderr.decode()) == (
        1,
        f"there is no home of a node in {home}: correct --home, or make one with `mesh --home {home} up`\n",
    )
    assert list(tmp_path.iterdir()) == []
