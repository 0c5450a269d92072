"""`mesh verify` in a shell."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from mesh import Node
from tests.support.commands import run
from tests.support.street import SECONDS, Street, wait_until


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a stopped node."""
    with Node("kitchen", home=tmp_path / "home", listen="127.0.0.1:0", open=True, mdns=False) as node:
        node.log.add_batch([({"type": "n", "number": number}, None) for number in range(1_000)]).get(SECONDS)
    return tmp_path / "home"


@pytest.mark.parametrize("options", [[], ["--deep"]])
def test_a_whole_log_is_ok(home: Path, options: list[str]) -> None:
    done = run(home, "verify", *options)

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == f"ok: nothing is wrong with the log in {home}\n"


def test_a_changed_event_is_found_and_the_line_says_what_to_do(home: Path) -> None:
    file = home / "log.sqlite"
    file.write_bytes(file.read_bytes().replace(b'"number":777}', b'"number":778}'))

    quick, deep = run(home, "verify"), run(home, "verify", "--deep", "--json")

    assert quick.returncode == 0
    assert deep.returncode == 1
    (finding,) = json.loads(deep.stdout)["findings"]
    assert "is not what was signed" in finding["what"]
    assert "`mesh restore` makes a home of a backup" in finding["fix"]
    assert run(home, "verify", "--deep").stdout.startswith(b"wrong: an entry of the epoch ")


def test_a_damaged_page_is_found_without_deep(home: Path) -> None:
    file = home / "log.sqlite"
    content = bytearray(file.read_bytes())
    content[8192:8200] = bytes(8)
    file.write_bytes(content)

    done = run(home, "verify")

    assert (done.returncode, done.stderr.count(b"Traceback")) == (1, 0)


def test_a_running_node_is_checked_while_it_writes_and_compared_with_its_neighbours(street: Street) -> None:
    kitchen, study = street.start("kitchen"), street.start("study")
    kitchen.add_peer(f"127.0.0.1:{study.port}").get(SECONDS)
    kitchen.log.add_batch([({"type": "n", "number": number}, None) for number in range(1_000)]).get(SECONDS)
    kitchen.synchronized(peers=1).get(SECONDS)
    same = run(kitchen.home, "verify", "--deep")
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            kitchen.log.add_batch([({"type": "n"}, None)] * 20).get(SECONDS)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        busy = run(kitchen.home, "verify", "--deep", "--json")
    finally:
        is_over.set()
        writer.join()

    assert (same.returncode, same.stderr) == (0, b"")
    assert same.stdout.decode() == (
        f"ok: {study.node_id} holds the same\nok: nothing is wrong with the log in {kitchen.home}\n"
    )
    assert (busy.returncode, json.loads(busy.stdout)["findings"]) == (0, [])
    assert [row["node_id"] for row in json.loads(busy.stdout)["neighbours"]] == [study.node_id]


def test_a_backup_and_an_archive_that_are_taken_under_adds_are_whole(street: Street, tmp_path: Path) -> None:
    kitchen = street.start("kitchen")
    is_over = threading.Event()
    before = 1_000
    kitchen.log.add_batch([({"type": "n"}, None)] * before).get(SECONDS)

    def write() -> None:
        while not is_over.is_set():
            kitchen.log.add_batch([({"type": "n"}, None)] * 100).get(SECONDS)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: kitchen.log.last_added > before, "the writer writes")
        backup = run(kitchen.home, "backup", "--json", str(tmp_path / "backup"))
        archive = run(kitchen.home, "export", "--archive", "--json", str(tmp_path / "archive"))
    finally:
        is_over.set()
        writer.join()
    restored = run(tmp_path / "new", "restore", str(tmp_path / "backup"))

    assert (backup.returncode, archive.returncode, restored.returncode) == (0, 0, 0)
    checked = run(tmp_path / "new", "verify", "--deep", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["findings"]) == (0, [])
    assert before < json.loads(backup.stdout)["events"] <= json.loads(archive.stdout)["count"] <= kitchen.log.last_added
    assert json.loads(run(tmp_path / "new", "import", "--json", str(tmp_path / "archive")).stdout)["left"] == {}


def test_where_no_log_is_there_is_a_sentence(tmp_path: Path) -> None:
    done = run(tmp_path / "none", "verify")

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"there is no home of a node in" in done.stderr
